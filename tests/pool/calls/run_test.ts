import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import type { ConnectionExecOptions } from "../../../transport/process.ts";
import { PoolClosedError } from "../../../pool/mod.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
  DialError,
  ExecTimeoutError,
} from "../../../transport/errors.ts";
import {
  errorOf,
  FakeTime,
  flush,
  gate,
  Kit,
  range,
  stateOf,
} from "../_kit.ts";

const host = "ops@db1";

/** A kit whose first connection drops as the n-th command is under way. */
function dropping(at: "open" | "exec"): Kit {
  const kit = new Kit({
    onOpen: (connection) => {
      if (at === "open" && connection === kit.connector.connections[0]) {
        connection.drop("cable cut");
      }
    },
    onExec: (_command, connection) => {
      if (at === "exec" && connection === kit.connector.connections[0]) {
        connection.drop("cable cut");
      }
    },
  });
  return kit;
}

Deno.test("ConnectionPool.exec() runs a command again that was lost before it was sent", async () => {
  await using kit = dropping("open");
  assertEquals((await kit.pool.exec(host, "echo hi")).stdout, "hi\n");
  assertEquals(kit.connector.dials, 2);
  assertEquals(kit.pool.stats().counters.retries["not-sent"], 1);
  assertEquals((await kit.told("retry")).length, 1);
});

Deno.test("ConnectionPool.spawn() starts a command again that was lost before it was sent", async () => {
  await using kit = dropping("open");
  const process = await kit.pool.spawn(host, "echo hi");
  const { stdout } = await process.output();
  assertEquals(new TextDecoder().decode(stdout), "hi\n");
});

Deno.test("ConnectionPool.exec() counts tries that were never answered as a wait, and says what became of the last", async () => {
  using time = new FakeTime();
  const kit = new Kit({
    // As a connection does that has waited for an answer for 20 s.
    onOpen: (connection) =>
      new Promise((resolve) =>
        setTimeout(() => {
          connection.drop("the server does not answer");
          resolve("ok");
        }, 20_000)
      ),
  }, { acquireTimeoutMs: 30_000, keepaliveIntervalMs: 0 });
  await using _kit = kit;
  const running = errorOf(kit.pool.exec(host, "true"));
  await time.advance(39_999);
  assertEquals(await stateOf(running), "pending");
  assertEquals(kit.connector.dials, 2, "once more, on another connection");
  await time.advance(1);
  const error = await running;
  assertInstanceOf(error, ConnectionLostError);
  assertMatch(error.message, /the server does not answer/);
  assertEquals(error.mayHaveRun, false);
  assertEquals(kit.pool.stats().counters.retries["not-sent"], 1);
});

Deno.test("ConnectionPool.exec() never runs a command again whose request was written", async () => {
  await using kit = dropping("exec");
  const error = await errorOf(kit.pool.exec(host, "rm -r /"));
  assertInstanceOf(error, ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  assertEquals(kit.connector.channelsOpened, 1);
  const { retries } = kit.pool.stats().counters;
  assertEquals(retries, { "channel-open": 0, "not-sent": 0, "idempotent": 0 });
});

Deno.test("ConnectionPool.exec() runs an idempotent command once more, on a fresh connection", async () => {
  await using kit = dropping("exec");
  const result = await kit.pool.exec(host, "echo hi", { idempotent: true });
  assertEquals(result.stdout, "hi\n");
  assertEquals(kit.connector.dials, 2);
  assertEquals(kit.pool.stats().counters.retries.idempotent, 1);
});

Deno.test("ConnectionPool.exec() says that an idempotent command may have run when only its second try is sure not to have", async () => {
  await using kit = dropping("exec");
  kit.connector.options.onDial = (_host, attempt) =>
    attempt === 1 ? "ok" : new Error("no route");
  const error = await errorOf(
    kit.pool.exec(host, "true", { idempotent: true }),
  );
  assertInstanceOf(error, ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  assert(error.message.includes("could not be run again"), error.message);
  assertInstanceOf(error.cause, DialError);
});

Deno.test("ConnectionPool.exec() says that an idempotent command may have run when the pool closes before its second try", async () => {
  const end = gate();
  let runs = 0;
  let closing: Promise<void> | undefined;
  await using kit = new Kit({
    commands: { wait: () => end.promise },
    onExec: () => void runs++,
    onOpen: (connection, n) => {
      if (connection !== kit.connector.connections[1] || n < 2) return;
      closing = kit.pool.close();
      return new ChannelOpenError("full", { host, reason: 2 });
    },
  });
  const calls = range(2).map(() =>
    kit.pool.exec(host, "wait", { idempotent: true })
  );
  const refused = errorOf(calls[1]!);
  await flush();
  assertEquals(runs, 2);
  kit.connector.dropAll();
  const error = await refused;
  end.open();
  await Promise.all([calls[0], closing]);
  assertInstanceOf(error, ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  assertInstanceOf(error.cause, PoolClosedError);
});

Deno.test("ConnectionPool.exec() runs an idempotent command no third time", async () => {
  let runs = 0;
  await using kit = new Kit({
    onExec: (_command, connection) => {
      runs++;
      connection.drop("cable cut");
    },
  });
  const error = await errorOf(
    kit.pool.exec(host, "true", { idempotent: true }),
  );
  assertInstanceOf(error, ConnectionLostError);
  assertEquals(runs, 2);
});

Deno.test("ConnectionPool.exec() does not repeat a command that reads a stream", async () => {
  await using kit = dropping("exec");
  const stdin = new Blob(["input"]).stream();
  const error = await errorOf(
    kit.pool.exec(host, "cat", { idempotent: true, stdin }),
  );
  assertInstanceOf(error, ConnectionLostError);
  await using again = dropping("exec");
  const { stdout } = await again.pool.exec(host, "cat", {
    idempotent: true,
    stdin: "input",
  });
  assertEquals(stdout, "input", "a string can be sent twice");
});

Deno.test("ConnectionPool.exec() runs a command once that ends with an error of the caller's, of another host", async () => {
  const calls: [string, (throws: () => never) => ConnectionExecOptions][] = [
    ["echo hi", (throws) => ({ onStdout: throws })],
    ["cat", (throws) => ({ stdin: new ReadableStream({ pull: throws }) })],
    ["cat", (throws) => ({
      stdin: { [Symbol.asyncIterator]: () => ({ next: throws }) },
    })],
    ["cat", (throws) => ({ stdin: { [Symbol.asyncIterator]: throws } })],
  ];
  for (const [command, make] of calls) {
    const reason = new ConnectionLostError("it has ended", { host: "ops@db2" });
    assertEquals(reason.mayHaveRun, false);
    const options = make(() => {
      throw reason;
    });
    let runs = 0;
    await using kit = new Kit({ onExec: () => void runs++ });
    const error = await errorOf(kit.pool.exec(host, command, options));
    assertStrictEquals(error, reason);
    assertEquals(runs, 1, command);
  }
});

Deno.test("ConnectionPool calls onOpen once whose error is one of another host", async () => {
  for (const mayHaveRun of [false, true]) {
    let reason: ConnectionLostError;
    let calls = 0;
    const throws = () => {
      calls++;
      throw reason;
    };
    await using kit = new Kit();
    const { pool } = kit;
    for (const onOpen of [throws, () => Promise.resolve().then(throws)]) {
      const options = { onOpen, idempotent: true };
      const tries = [
        () => pool.exec(host, "echo hi", options),
        () => pool.exec(host, "cat", { ...options, stdin: "hi" }),
        () => pool.spawn(host, "echo hi", { onOpen }),
        () => pool.shell(host, { onOpen }),
      ];
      for (const attempt of tries) {
        calls = 0;
        const details = { host: "ops@db2", mayHaveRun };
        reason = new ConnectionLostError("it has ended", details);
        assertStrictEquals(await errorOf(attempt()), reason);
        assertEquals(calls, 1);
      }
    }
    assertEquals(kit.connector.dials, 1);
  }
});

Deno.test("ConnectionPool.exec() gives a lost command's output so far, and never exit 0", async () => {
  await using kit = new Kit({
    commands: {
      half: async ({ write }) => {
        await write("first half");
        await new Promise(() => {});
      },
    },
  });
  const running = errorOf(kit.pool.exec(host, "half"));
  await flush();
  kit.connection(0).drop("cable cut");
  const error = await running;
  assertInstanceOf(error, ConnectionLostError);
  assertEquals(
    new TextDecoder().decode(error.output?.stdout),
    "first half",
  );
  assertEquals((await kit.pool.exec(host, "echo on")).stdout, "on\n");
});

Deno.test("ConnectionPool.exec() does not try again after an abort", async () => {
  await using kit = new Kit({ onOpen: () => "never" });
  const controller = new AbortController();
  const { signal } = controller;
  const running = errorOf(
    kit.pool.exec(host, "true", { signal, idempotent: true }),
  );
  await flush();
  const reason = new Error("enough");
  controller.abort(reason);
  kit.connection(0).drop();
  assertEquals(await running, reason);
  assertEquals(kit.pool.stats().slotsInUse, 0);
  assertEquals(kit.connector.dials, 1);
});

Deno.test("ConnectionPool.exec() keeps its place in the queue when it is tried again", async () => {
  await using kit = new Kit({ dialMs: 1 }, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const order: string[] = [];
  kit.connector.options.onOpen = (connection) => {
    if (connection === kit.connection(0)) connection.drop();
  };
  await Promise.all(
    ["first", "second", "third"].map(async (name) => {
      await kit.pool.exec(host, name);
      order.push(name);
    }),
  );
  assertEquals(order, ["first", "second", "third"]);
});

Deno.test("ConnectionPool.exec() that is tried again goes before a stream that waits", async () => {
  await using kit = new Kit({ dialMs: 1 }, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const order: string[] = [];
  kit.connector.options.onOpen = (connection) => {
    if (connection === kit.connection(0)) connection.drop();
  };
  await Promise.all([
    kit.pool.exec(host, "true").then(() => order.push("command")),
    kit.pool.spawn(host, "true").then((process) => {
      order.push("stream");
      return process.output();
    }),
  ]);
  assertEquals(order, ["command", "stream"]);
});

Deno.test("ConnectionPool.exec() on a frozen link fails when the keepalive does, and the next caller gets a fresh connection", async () => {
  using time = new FakeTime();
  await using kit = new Kit({
    commands: { wait: () => new Promise(() => {}) },
  }, { keepaliveIntervalMs: 1_000, keepaliveCountMax: 2 });
  const running = errorOf(kit.pool.exec(host, "wait"));
  await flush();
  kit.connection(0).freeze();
  const opening = kit.pool.exec(host, "echo opened elsewhere");
  await time.advance(2_999);
  assertEquals(await stateOf(running), "pending");
  await time.advance(1);
  assertInstanceOf(await running, ConnectionLostError);
  assertEquals((await opening).stdout, "opened elsewhere\n");
  assertEquals(kit.connector.dials, 2);
});

Deno.test("ConnectionPool.exec() gives its slot back after a timeout and after a failure", async () => {
  using time = new FakeTime();
  await using kit = new Kit({
    commands: { wait: () => new Promise(() => {}) },
  });
  const running = errorOf(kit.pool.exec(host, "wait", { timeoutMs: 50 }));
  await time.advance(50);
  assertInstanceOf(await running, ExecTimeoutError);
  await errorOf(kit.pool.exec(host, "bulk 100000", { maxOutputBytes: 10 }));
  assertEquals(kit.pool.stats().slotsInUse, 0);
  assertEquals((await kit.pool.exec(host, "false")).code, 1);
});

Deno.test("ConnectionPool.spawn() holds its slot until the process has ended", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const process = await kit.pool.spawn(host, "wait");
  const waiter = kit.pool.exec(host, "echo later");
  assertEquals(await stateOf(waiter), "pending");
  end.open();
  await process.output();
  assertEquals((await waiter).stdout, "later\n");
});

Deno.test("ConnectionPool.exec() passes its options on, and calls onOpen once", async () => {
  await using kit = dropping("open");
  let opened = 0;
  const { stdout } = await kit.pool.exec(host, "printenv LC_NAME", {
    env: { LC_NAME: "value" },
    encoding: "bytes",
    onOpen: () => opened++,
  });
  assertEquals(new TextDecoder().decode(stdout), "value\n");
  assertEquals(opened, 1);
});

Deno.test("ConnectionPool.exec() quotes an array and refuses a bad command before it dials", async () => {
  await using kit = new Kit();
  const { stdout } = await kit.pool.exec(host, ["echo", "it's", "$HOME"]);
  assertEquals(stdout, "it's $HOME\n");
  await using cold = new Kit();
  const error = await errorOf(cold.pool.exec(host, 7 as unknown as string));
  assert(error instanceof TypeError);
  assertEquals(cold.connector.dials, 0);
});

Deno.test("Connection of getConnection() schedules its commands as the pool does", async () => {
  await using kit = new Kit({ maxSessions: 10 });
  const connection = await kit.pool.getConnection(host);
  const results = await Promise.all(
    range(50).map((i) => connection.exec(`echo ${i}`)),
  );
  assertEquals(results.map((r) => r.stdout), range(50).map((i) => `${i}\n`));
  await connection.close();
  assertEquals(connection.isClosed, true);
  assertInstanceOf(await errorOf(connection.exec("true")), ConnectionLostError);
  assertInstanceOf(
    await errorOf(connection.spawn("true")),
    ConnectionLostError,
  );
  assertEquals(kit.pool.size, 0);
});
