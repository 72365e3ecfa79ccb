import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { until } from "../../kit/until.ts";
import { embeddedTest, rejection, sshdTest } from "./_kit.ts";
import { scriptedTest } from "./_scripted_server.ts";

const MiB = 1024 * 1024;
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

{
  let written = 0;
  embeddedTest(
    "Connection.spawn() stops the remote writer while nobody reads",
    {
      commands: {
        flood: async ({ write, signal }) => {
          const chunk = new Uint8Array(64 * 1024);
          while (!signal.aborted && written < 32 * MiB) {
            await write(chunk);
            written += chunk.length;
          }
        },
      },
    },
    async (connection) => {
      await using process = await connection.spawn("flood");
      // As many round trips as it takes for the writer to stand still.
      let before = -1;
      while (before !== written) {
        before = written;
        for (let i = 0; i < 5; i++) await connection.exec("true");
      }
      assert(written < 16 * MiB, `${written} bytes were taken unread`);
      const { stdout, code } = await process.output();
      assertEquals([stdout.length, code], [32 * MiB, 0]);
    },
  );
}

embeddedTest(
  "Connection.spawn() makes a writer wait while the remote does not read",
  {
    commands: {
      deaf: ({ signal }) =>
        new Promise((resolve) =>
          signal.addEventListener("abort", () => resolve())
        ),
    },
  },
  async (connection) => {
    await using process = await connection.spawn("deaf");
    const writer = process.stdin.getWriter();
    let sent = 0;
    const writing = (async () => {
      for (; sent < 64 * MiB; sent += MiB) {
        await writer.ready;
        await writer.write(new Uint8Array(MiB));
      }
    })();
    writing.catch(() => {});
    let before = -1;
    while (before !== sent) {
      before = sent;
      for (let i = 0; i < 5; i++) await connection.exec("true");
    }
    assert(sent < 32 * MiB, `${sent} bytes were sent to who does not read`);
    await process[Symbol.asyncDispose]();
    await rejection(writing);
  },
);

embeddedTest(
  "RemoteProcess errors its streams and its status when the connection is lost",
  {},
  async (connection, server) => {
    const process = await connection.spawn("cat");
    const reading = rejection(process.stdout.getReader().read());
    server.dropAll();
    const error = await reading;
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, true);
    assertStrictEquals(await rejection(process.status), error);
    assertStrictEquals(
      await rejection(process.stdin.getWriter().write(new Uint8Array(1))),
      error,
    );
  },
);

embeddedTest(
  "RemoteProcess that nobody looks at is no unhandled rejection when it is lost",
  {},
  async (connection, server) => {
    await connection.spawn("cat");
    server.dropAll();
    await connection.closed;
    await new Promise((resolve) => setTimeout(resolve));
  },
);

embeddedTest(
  "Connection.spawn() rejects when the server refuses the command",
  { refuseExec: true },
  async (connection) => {
    const error = await rejection(connection.spawn("true"));
    assertInstanceOf(error, ChannelOpenError);
    assertEquals(error.reason, 0);
    await until(() => connection.openChannels === 0);
  },
);

embeddedTest(
  "Connection.spawn() rejects with the reason of an abort, at each of its steps",
  { delayOpenMs: 20 },
  async (connection) => {
    const reason = new Error("enough");
    const before = connection.spawn("cat", {
      signal: AbortSignal.abort(reason),
    });
    assertStrictEquals(await rejection(before), reason);
    assertEquals(connection.openChannels, 0);
    const opening = new AbortController();
    const starting = connection.spawn("cat", { signal: opening.signal });
    opening.abort(reason);
    assertStrictEquals(await rejection(starting), reason);
    const running = new AbortController();
    const process = await connection.spawn("cat", { signal: running.signal });
    running.abort(reason);
    assertStrictEquals(await rejection(process.status), reason);
    assertStrictEquals(
      await rejection(process.stdout.getReader().read()),
      reason,
    );
    await until(() => connection.openChannels === 0);
  },
);

embeddedTest(
  "RemoteProcess is stopped when its output is cancelled, and goes on without its error output",
  {},
  async (connection) => {
    const stopped = await connection.spawn(`bulk ${8 * MiB}`);
    await stopped.stderr.cancel();
    await stopped.stdout.cancel();
    assertInstanceOf(await rejection(stopped.status), DOMException);
    await until(() => connection.openChannels === 0);
    const left = await connection.spawn(`bulk ${8 * MiB}`);
    for await (const _ of left.stdout) break;
    assertInstanceOf(await rejection(left.status), DOMException);
    await until(() => connection.openChannels === 0);
    const silent = await connection.spawn(`bulk ${8 * MiB}`);
    await silent.stderr.cancel();
    assertEquals((await silent.text()).length, 8 * MiB);
    assertEquals((await silent.status).code, 0);
  },
);

embeddedTest(
  "RemoteProcess.kill() refuses a signal that SSH does not have",
  {},
  async (connection) => {
    await using process = await connection.spawn("cat");
    assertThrows(() => process.kill("WINCH"), TypeError, "WINCH");
    assertEquals(connection.isClosed, false);
  },
);

embeddedTest(
  "RemoteProcess.kill() does nothing once the process has ended",
  {},
  async (connection) => {
    const process = await connection.spawn("true");
    await process.output();
    process.kill();
    await process[Symbol.asyncDispose]();
    assertEquals(connection.isClosed, false);
  },
);

embeddedTest(
  "RemoteProcess tells a writer that the process has ended",
  {},
  async (connection) => {
    const process = await connection.spawn("exit 3");
    assertEquals((await process.status).code, 3);
    await assertRejects(() =>
      process.stdin.getWriter().write(new Uint8Array(1))
    );
  },
);

sshdTest(
  "RemoteProcess copies 4 MB through cat of sshd, both ways at once",
  async (connection) => {
    const process = await connection.spawn("cat");
    const source = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 64; i++) {
          controller.enqueue(new Uint8Array(64 * 1024).fill(i));
        }
        controller.close();
      },
    });
    const sending = source.pipeTo(process.stdin);
    const { stdout, code } = await process.output();
    await sending;
    assertEquals([stdout.length, code], [4 * MiB, 0]);
    assertEquals([stdout[0], stdout.at(-1)], [0, 63]);
  },
);

sshdTest(
  "Connection.spawn() runs in a terminal when it is asked to",
  async (connection) => {
    const process = await connection.spawn("tty; echo oops >&2", { pty: true });
    const { stdout, stderr } = await process.output();
    assert(/^\/dev\/pts\/\d+\r\noops\r\n$/.test(text(stdout)), text(stdout));
    assertEquals(stderr.length, 0);
  },
);

sshdTest(
  "RemoteProcess is ended by asyncDispose, and gives its slot back",
  async (connection) => {
    {
      await using process = await connection.spawn("sleep 60");
      assertEquals(connection.openChannels, 1);
      assertEquals(process.stdin.locked, false);
    }
    await until(() => connection.openChannels === 0);
  },
);

scriptedTest(
  "RemoteProcess that is left waits two seconds for a server that cannot end its program, and no longer",
  {
    onClose() {}, // the program runs on
  },
  async (connection) => {
    const process = await connection.spawn("sleep 60");
    let isOver = false;
    const leaving = process[Symbol.asyncDispose]().then(() => isOver = true);
    await assertRejects(() => process.status, DOMException, "disposed");
    assertEquals(isOver, false);
    await leaving;
    assertEquals(connection.openChannels, 1);
  },
  { closeMs: 60_000 },
);
