/** Processes that are told to end, or are left, with output that nobody reads. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import type { Connection } from "../../../transport/connector.ts";
import { until } from "../../kit/until.ts";
import { embeddedTest, rejection, sshdTest } from "./_kit.ts";
import { connectWithin, scriptedTest } from "./_scripted_server.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** As many round trips as it takes for the server to fill what it can. */
async function settle(connection: Connection): Promise<void> {
  for (let i = 0; i < 10; i++) await connection.exec("sleep 0.02");
}

/** Reads the first bytes, and lets the lock go. */
async function first(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return text(value);
}

/** Whether a process of the host has ended, or ends soon. */
async function isGone(connection: Connection, pid: string): Promise<boolean> {
  const { stdout } = await connection.exec(
    `for i in $(seq 200); do kill -0 ${pid} || break; sleep 0.05; done; ` +
      `kill -0 ${pid} || echo gone`,
  );
  return stdout === "gone\n";
}

sshdTest(
  "RemoteProcess.kill() settles status and frees the slot though both outputs are full and unread",
  async (connection) => {
    const process = await connection.spawn("yes >&2 & exec yes");
    await settle(connection);
    assertEquals(connection.openChannels, 1);
    process.kill();
    const { success, code, signal } = await process.status;
    assertEquals([success, code, signal], [false, null, "TERM"]);
    assertEquals(connection.openChannels, 0);
  },
);

sshdTest(
  "RemoteProcess gives what was kept after kill(), and then says that the rest was dropped",
  async (connection) => {
    const process = await connection.spawn("exec yes");
    await settle(connection);
    process.kill("KILL");
    assertEquals((await process.status).signal, "KILL");
    let kept = "";
    const reader = process.stdout.getReader();
    const error = await rejection((async () => {
      for (;;) kept += text((await reader.read()).value);
    })());
    assert(error instanceof Error && /were dropped/.test(error.message));
    assert(kept.length >= 256 * 1024, `${kept.length} bytes were kept`);
    assertEquals(kept, "y\n".repeat(kept.length / 2));
  },
);

sshdTest(
  "RemoteProcess.kill() takes nothing from a reader that is at work, though it is slow",
  async (connection) => {
    const process = await connection.spawn(
      "trap 'head -c 3000000 /dev/zero; exit 3' TERM; echo on; " +
        "while :; do sleep 0.05; done",
    );
    let bytes = 0;
    for await (const chunk of process.stdout) {
      if (bytes === 0) process.kill();
      bytes += chunk.length;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    assertEquals([bytes, (await process.status).code], [3_000_003, 3]);
  },
);

sshdTest(
  "RemoteProcess.kill() drops nothing after a signal that does not mean the end",
  async (connection) => {
    const process = await connection.spawn(
      "trap 'head -c 3000000 /dev/zero; exit 0' USR1; echo on; " +
        "while :; do sleep 0.05; done",
    );
    assertEquals(await first(process.stdout), "on\n");
    process.kill("USR1");
    await settle(connection);
    const { stdout, code } = await process.output();
    assertEquals([stdout.length, code], [3_000_000, 0]);
  },
);

Deno.test("RemoteProcess.kill() does not wait for a reader that has stopped to read", async () => {
  await using server = await EmbeddedServer.start({
    commands: {
      flood: async ({ write }) => {
        for (;;) await write(new Uint8Array(64 * 1024));
      },
    },
  });
  await using connection = await connectWithin(server.host(), { stallMs: 50 });
  const process = await connection.spawn("flood");
  for await (const _ of process.stdout) {
    process.kill();
    // The lock is held, and nobody reads until this has settled.
    assertEquals((await process.status).signal, "TERM");
    break;
  }
  await until(() => connection.openChannels === 0);
});

sshdTest(
  "RemoteProcess is stopped when a loop over its output is left, and frees the slot",
  async (connection) => {
    for (const read of ["stdout", "lines"] as const) {
      const process = await connection.spawn("echo $$; exec yes");
      let pid = "";
      const output = read === "stdout" ? process.stdout : process.lines();
      for await (const piece of output) {
        [pid = ""] = (typeof piece === "string" ? piece : text(piece))
          .split("\n");
        break;
      }
      assertInstanceOf(await rejection(process.status), DOMException);
      await until(() => connection.openChannels === 0);
      assert(await isGone(connection, pid), read);
    }
  },
);

sshdTest(
  "RemoteProcess is stopped when an output is cancelled that is full",
  async (connection) => {
    const process = await connection.spawn("echo $$; exec yes");
    const pid = (await first(process.stdout)).split("\n")[0]!;
    await settle(connection);
    await process.stdout.cancel();
    await until(() => connection.openChannels === 0);
    assert(await isGone(connection, pid));
  },
);

sshdTest(
  "RemoteProcess has given its slot back when asyncDispose has resolved",
  async (connection) => {
    for (const command of ["sleep 60", "exec yes", "true"]) {
      {
        await using _process = await connection.spawn(command);
        await settle(connection);
      }
      assertEquals(connection.openChannels, 0, command);
    }
    const process = await connection.spawn("sleep 60");
    await Promise.all([
      process[Symbol.asyncDispose](),
      process[Symbol.asyncDispose](),
    ]);
    assertEquals(connection.openChannels, 0);
  },
);

embeddedTest(
  "RemoteProcess.stdin closes in order after the process has ended, and refuses a write",
  {},
  async (connection) => {
    const closed = await connection.spawn("true");
    await closed.status;
    await closed.stdin.close();
    const written = await connection.spawn("true");
    await written.status;
    const writer = written.stdin.getWriter();
    await assertRejects(
      () => writer.write(new Uint8Array(1)),
      TypeError,
      "has ended",
    );
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
  },
);

embeddedTest(
  "RemoteProcess.stdin that nobody waits for is no unhandled rejection",
  {},
  async (connection) => {
    const process = await connection.spawn("true");
    await process.status;
    process.stdin.close();
    const { stdout, code } = await process.output();
    assertEquals([stdout.length, code], [0, 0]);
    // A turn later it would have been told.
    await new Promise((resolve) => setTimeout(resolve));
  },
);

scriptedTest(
  "RemoteProcess.stdin rejects a write that the end of the process overtook",
  {
    onRequest(channel, { type }) {
      if (type === "exec") channel.succeed();
      if (type === "signal") {
        channel.status(0);
        channel.eof();
        channel.close();
      }
    },
  },
  async (connection) => {
    const process = await connection.spawn("deaf");
    const writer = process.stdin.getWriter();
    // More than the window: the rest waits, and is never sent.
    const writing = rejection(writer.write(new Uint8Array(5 * 1024 * 1024)));
    process.kill("USR1");
    assertEquals((await process.status).code, 0);
    assertInstanceOf(await writing, TypeError);
    assertEquals(connection.isClosed, false);
  },
);

scriptedTest(
  "RemoteProcess.stdin refuses what is no bytes, and fails nobody else",
  {
    onRequest(channel, { type, data }) {
      if (data === "good") return channel.complete("good");
      if (type === "exec") channel.succeed();
    },
  },
  async (connection) => {
    const process = await connection.spawn("cat");
    const writer = process.stdin.getWriter();
    const bad = "text" as unknown as Uint8Array;
    await assertRejects(() => writer.write(bad), TypeError, "Uint8Array");
    assertEquals((await connection.exec("good")).stdout, "good");
    await process[Symbol.asyncDispose]();
  },
);
