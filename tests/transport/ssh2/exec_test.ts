import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import {
  ChannelOpenError,
  ConnectionLostError,
  ExecTimeoutError,
  OutputLimitError,
} from "../../../transport/errors.ts";
import { until } from "../../kit/until.ts";
import {
  connect,
  embeddedTest,
  rejection,
  resolved,
  sshdTest,
} from "./_kit.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

embeddedTest(
  "Connection.exec() makes no exit code up when the server says none",
  { exitWithoutStatus: true },
  async (connection) => {
    assertEquals(await connection.exec("echo hello"), {
      success: false,
      code: null,
      signal: null,
      stdout: "hello\n",
      stderr: "",
    });
    assertEquals(connection.isClosed, false);
  },
);

embeddedTest(
  "Connection.exec() gives the slot of a refused command back",
  { refuseExec: true, maxSessions: 1 },
  async (connection, server) => {
    for (let i = 0; i < 3; i++) {
      const error = await rejection(connection.exec("true"));
      assertInstanceOf(error, ChannelOpenError);
      assertEquals([error.reason, error.mayHaveRun], [0, false]);
      await until(() => connection.openChannels === 0);
    }
    server.options.refuseExec = false;
    assertEquals((await connection.exec("true")).code, 0);
  },
);

embeddedTest(
  "Connection.exec() rejects when the connection is lost before the channel opens",
  { neverOpen: true },
  async (connection, server) => {
    const running = rejection(connection.exec("true"));
    assertEquals(connection.openChannels, 1);
    await until(() => true);
    server.dropAll();
    const error = await running;
    assertInstanceOf(error, ConnectionLostError);
    assertEquals([error.mayHaveRun, error.output], [false, undefined]);
    assertEquals(connection.openChannels, 0);
  },
);

embeddedTest(
  "Connection.exec() keeps what had arrived when the connection is lost",
  {
    commands: {
      talk: async ({ write, writeError, signal }) => {
        await write("out");
        await writeError("err");
        await new Promise((resolve) =>
          signal.addEventListener("abort", resolve)
        );
      },
    },
  },
  async (connection, server) => {
    const running = rejection(connection.exec("talk"));
    // Whatever comes after it on the same connection comes after its output.
    await connection.exec("true");
    await connection.exec("true");
    server.dropAll();
    const error = await running;
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, true);
    assertEquals(text(error.output?.stdout), "out");
    assertEquals(text(error.output?.stderr), "err");
    assert(!Object.keys(error).includes("output"), "output is not for a log");
  },
);

{
  let ran = 0;
  embeddedTest(
    "Connection.exec() sends nothing when it is aborted before the channel opens",
    { delayOpenMs: 50, commands: { count: () => void ran++ } },
    async (connection) => {
      const controller = new AbortController();
      const reason = new Error("enough");
      const running = rejection(
        connection.exec("count", { signal: controller.signal }),
      );
      controller.abort(reason);
      assertStrictEquals(await running, reason);
      // The slot is taken until the server has opened the channel and closed it.
      assertEquals(connection.openChannels, 1);
      await until(() => connection.openChannels === 0);
      assertEquals((await connection.exec("true")).code, 0);
      assertEquals(ran, 0);
    },
  );
}

embeddedTest(
  "Connection.exec() says that a command has not run when its channel never opens in time",
  { neverOpen: true },
  async (connection) => {
    const error = await rejection(connection.exec("true", { timeoutMs: 30 }));
    assertInstanceOf(error, ExecTimeoutError);
    assertEquals([error.mayHaveRun, error.timeoutMs], [false, 30]);
  },
);

embeddedTest(
  "Connection.exec() does not wait for input that a command did not read",
  {},
  async (connection) => {
    // More than a window: the rest of it is never sent.
    const stdin = new Uint8Array(5 * 1024 * 1024);
    assertEquals((await connection.exec("exit 7", { stdin })).code, 7);
  },
);

embeddedTest(
  "Connection.exec() cancels an endless input when the command ends",
  {},
  async (connection) => {
    const cancelled = Promise.withResolvers<void>();
    const stdin = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(64 * 1024));
      },
      cancel: () => cancelled.resolve(),
    });
    assertEquals((await connection.exec("exit 7", { stdin })).code, 7);
    await cancelled.promise;
  },
);

embeddedTest(
  "Connection.exec() stops the command when its input fails",
  {},
  async (connection) => {
    const reason = new Error("no more input");
    const stdin = new ReadableStream<Uint8Array>({
      start: (controller) => controller.error(reason),
    });
    assertStrictEquals(
      await rejection(connection.exec("cat", { stdin })),
      reason,
    );
    await until(() => connection.openChannels === 0);
  },
);

embeddedTest(
  "Connection.exec() decodes a character that comes in two pieces",
  {
    commands: {
      euro: async ({ write }) => {
        const bytes = new TextEncoder().encode("€");
        await write(bytes.subarray(0, 1));
        await new Promise((resolve) => setTimeout(resolve, 5));
        await write(bytes.subarray(1));
      },
    },
  },
  async (connection) => {
    assertEquals((await connection.exec("euro")).stdout, "€");
  },
);

embeddedTest(
  "Connection.exec() keeps a byte order mark, as the command wrote it",
  { commands: { mark: { stdout: "\ufeffa" } } },
  async (connection) => {
    assertEquals((await connection.exec("mark")).stdout, "\ufeffa");
  },
);

embeddedTest(
  "Connection.exec() allows output of just maxOutputBytes, both outputs together",
  { commands: { talk: { stdout: "12345", stderr: "67890" } } },
  async (connection) => {
    const { stdout } = await connection.exec("talk", { maxOutputBytes: 10 });
    assertEquals(stdout, "12345");
    const error = await rejection(
      connection.exec("talk", { maxOutputBytes: 9 }),
    );
    assertInstanceOf(error, OutputLimitError);
    assertEquals(connection.isClosed, false);
  },
);

/** Counts the listeners that a signal gets from now on, and still has. */
function listenersOf(signal: AbortSignal): () => number {
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    listeners++;
    Reflect.apply(addEventListener, signal, args);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    listeners--;
    Reflect.apply(removeEventListener, signal, args);
  };
  return () => listeners;
}

embeddedTest(
  "Connection.exec() leaves no listener on its signal",
  {},
  async (connection) => {
    const { signal } = new AbortController();
    const listeners = listenersOf(signal);
    await connection.exec("true", { signal });
    await rejection(connection.exec("sleep 9", { signal, timeoutMs: 20 }));
    assertEquals(listeners(), 0);
  },
);

embeddedTest(
  "Connection leaves no listener on the signal of a dial, a tunnel, a subsystem, an SFTP session or a process that goes on",
  {},
  async (_, server) => {
    const { signal } = new AbortController();
    const listeners = listenersOf(signal);
    await using connection = await connect(server.host(), { signal });
    assertEquals(listeners(), 0, "dial");
    const { port } = resolved(server.host());
    const target = { hostname: "127.0.0.1", port };
    const tunnel = await connection.forwardOut!(target, { signal });
    assertEquals(listeners(), 0, "tunnel");
    const subsystem = await connection.subsystem!("sftp", { signal });
    assertEquals(listeners(), 0, "subsystem");
    await using _sftp = await connection.sftp!({ signal });
    assertEquals(listeners(), 0, "SFTP");
    for (const it of [tunnel, subsystem]) it.close();
    const process = await connection.spawn("true", { signal });
    await process.status;
    assertEquals(listeners(), 0, "process");
  },
);

embeddedTest(
  "Connection.exec() rejects when onOpen throws, and runs nothing",
  { maxSessions: 1 },
  async (connection) => {
    const reason = new Error("not now");
    const error = await rejection(connection.exec("true", {
      onOpen() {
        throw reason;
      },
    }));
    assertStrictEquals(error, reason);
    await until(() => connection.openChannels === 0);
    assertEquals((await connection.exec("true")).code, 0);
  },
);

embeddedTest(
  "Connection.closed tells a frozen link after (keepaliveCountMax + 1) intervals",
  { keepaliveIntervalMs: 300, keepaliveCountMax: 2 },
  async (connection, server) => {
    const running = rejection(connection.exec("sleep 9"));
    await connection.exec("true");
    server.freeze();
    const opening = rejection(connection.exec("true"));
    const reason = await connection.closed;
    assertEquals(reason.kind, "lost");
    assertEquals(connection.isClosed, true);
    for (const error of [await running, await opening]) {
      assertInstanceOf(error, ConnectionLostError);
    }
    server.thaw();
  },
);

embeddedTest(
  "Connection.closed stays open while a keepalive is answered",
  // Long enough for a busy machine to answer in time, short enough for a few.
  { keepaliveIntervalMs: 300, keepaliveCountMax: 3 },
  async (connection) => {
    assertEquals((await connection.exec("sleep 1.5")).code, 0);
    assertEquals(connection.isClosed, false);
  },
);

embeddedTest(
  "Connection.close() settles though the link is frozen",
  {},
  async (connection, server) => {
    server.freeze();
    const running = rejection(connection.exec("true"));
    await connection.close();
    assertInstanceOf(await running, ConnectionLostError);
    assertEquals(await connection.closed, { kind: "local" });
    server.thaw();
  },
);

sshdTest(
  "Connection.exec() returns 8 MB from sshd whole, both outputs at once",
  async (connection) => {
    const { stdout, stderr } = await connection.exec(
      "head -c 4194304 /dev/zero >&2 & head -c 4194304 /dev/zero; wait",
      { encoding: "bytes" },
    );
    assertEquals([stdout.length, stderr.length], [4194304, 4194304]);
  },
);

sshdTest(
  "Connection.exec() stops the remote process when it is aborted",
  async (connection) => {
    const controller = new AbortController();
    const file = `/tmp/sshpool-exec-${crypto.randomUUID()}`;
    const running = rejection(connection.exec(
      `echo $$ > ${file}; exec sleep 60`,
      { signal: controller.signal },
    ));
    let pid = "";
    await until(async () => {
      pid = (await connection.exec(`cat ${file}`)).stdout.trim();
      return pid !== "";
    });
    controller.abort(new Error("enough"));
    await running;
    // It would outlive its channel by a minute if it got no signal.
    const { stdout } = await connection.exec(
      `for i in $(seq 200); do kill -0 ${pid} || break; sleep 0.05; done; ` +
        `kill -0 ${pid} || echo gone; rm -f ${file}`,
    );
    assertEquals(stdout, "gone\n");
  },
);

sshdTest(
  "Connection.exec() gives its slot back in time for the next of 50",
  async (connection) => {
    for (let i = 0; i < 50; i++) {
      const { stdout } = await connection.exec(`echo ${i}`);
      assertEquals([stdout, connection.openChannels], [`${i}\n`, 0]);
    }
  },
);

sshdTest(
  "Connection.exec() does not take sshd's death for an exit",
  async (connection, sshd) => {
    const running = rejection(connection.exec("echo up; sleep 60"));
    await connection.exec("sleep 0.1");
    await sshd.kill();
    const error = await running;
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(text(error.output?.stdout), "up\n");
  },
);

sshdTest(
  "Connection.close() says goodbye to the server",
  async (connection, sshd) => {
    await connection.exec("true");
    await connection.close();
    for (let left = 400; left > 0; left--) {
      if ((await sshd.log()).includes("Received disconnect from")) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error("sshd has not heard of it");
  },
);

embeddedTest(
  "Connection.exec() has one listener on a signal, however many commands have it",
  { maxSessions: 100 },
  async (connection) => {
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    let most = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: unknown[]) => {
      most = Math.max(most, ++listeners);
      Reflect.apply(addEventListener, signal, args);
    };
    signal.removeEventListener = (...args: unknown[]) => {
      listeners--;
      Reflect.apply(removeEventListener, signal, args);
    };
    const sixty = Array.from(
      { length: 60 },
      (_, i) =>
        i % 2 === 0
          ? connection.exec("sleep 60", { signal })
          : connection.spawn("sleep 60", { signal }).then((it) => it.status),
    );
    const ends = Promise.allSettled(sixty);
    await connection.exec("true");
    assertEquals(most, 1);
    const reason = new Error("enough");
    controller.abort(reason);
    for (const end of await ends) {
      assertEquals(end, { status: "rejected", reason });
    }
    await until(() => connection.openChannels === 0);
  },
);
