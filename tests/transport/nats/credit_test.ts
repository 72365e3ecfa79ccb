// What is under way on a link is bounded, and a reader that has stopped to read
// stops nobody else.

import { assert, assertEquals } from "@std/assert";
import type { RemoteProcess } from "../../../transport/process.ts";
import { until } from "../../kit/until.ts";
import { PING_MS, site, testNats } from "./_kit.ts";

const RESOLVED = { hostname: "web-1", port: 22, user: "ops", alias: "web-1" };
const KIB = 1024;
const MIB = 1024 * KIB;
/** Streams that nobody reads: without a budget each would get a full window. */
const UNREAD = 48;
/** Of which streams may have some, and commands the rest. */
const SLOTS = 128;
/** So much is read of each before: that is what makes its window grow. */
const READ = 2 * MIB;
/** What a process holds for its reader, what a first window lets on, a chunk. */
const OF_EACH = (256 + 32 + 32) * KIB;
/** What all windows together may grow to. */
const BUDGET = 32 * MIB;

testNats(
  "what nobody reads is bounded for all streams of a link together, and given back at their end",
  async () => {
    await using fleet = await site({ maxSessions: SLOTS }, {
      pool: { maxSessionsPerConnection: SLOTS, maxConnectionsPerHost: 1 },
      // Both sides are this process, which is busy with all those bytes.
      client: { pingMs: 10 * PING_MS },
      worker: { pingMs: 10 * PING_MS },
    });
    const connection = await fleet.connector.connect(RESOLVED);
    /** Starts streams, and returns what was sent and not read when all stand still. */
    const flood = async (): Promise<[RemoteProcess[], number]> => {
      const before = fleet.bus.data;
      const all = await Promise.all(
        Array.from(
          { length: UNREAD },
          () => connection.spawn(`bulk ${16 * MIB}`),
        ),
      );
      let read = 0;
      await Promise.all(all.map(async ({ stdout }) => {
        const reader = stdout.getReader();
        for (let left = READ; left > 0;) {
          const { value = new Uint8Array() } = await reader.read();
          left -= value.length;
          read += value.length;
        }
        reader.releaseLock();
      }));
      let last = -1;
      let same = 0;
      await until(() => {
        same = fleet.bus.data === last ? same + 1 : 0;
        last = fleet.bus.data;
        // More than the first windows alone let through.
        return same >= 20 && last - before - read > UNREAD * OF_EACH;
      });
      return [all, last - before - read];
    };
    const [first, sent] = await flood();
    assert(sent <= UNREAD * OF_EACH + BUDGET, `${sent / MIB} MiB`);

    // One that is read has all of its bytes, though there is no budget left.
    const { stdout } = await connection.exec(`bulk ${4 * MIB}`, {
      encoding: "bytes",
    });
    assertEquals(stdout.length, 4 * MIB);

    await Promise.all(first.map((it) => it[Symbol.asyncDispose]()));
    const [second] = await flood();
    await Promise.all(second.map((it) => it[Symbol.asyncDispose]()));
  },
);

testNats(
  "a reader that has stopped holds up its own stream, which goes on when it reads",
  async () => {
    await using fleet = await site();
    const connection = await fleet.connector.connect(RESOLVED);
    const slow = await connection.spawn(`bulk ${8 * MIB}`);
    const reader = slow.stdout.getReader();
    const { value } = await reader.read();
    let read = value?.length ?? 0;
    const beside = await Promise.all(
      Array.from(
        { length: 4 },
        () =>
          connection.exec(`bulk ${2 * MIB}`, {
            encoding: "bytes",
          }),
      ),
    );
    assertEquals(beside.map(({ stdout }) => stdout.length), [
      ...Array(4).fill(2 * MIB),
    ]);
    // All that came of it: its window, and what its process holds.
    const unread = fleet.bus.data - 4 * 2 * MIB;
    assert(unread <= 2 * MIB, `${unread / MIB} MiB`);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      read += value.length;
    }
    assertEquals(read, 8 * MIB);
    assertEquals((await slow.status).success, true);
  },
);

testNats(
  "output, input and files cross a server that takes small messages alone",
  async () => {
    await using fleet = await site({}, {
      server: { config: "max_payload: 16KB" },
    });
    const connection = await fleet.connector.connect(RESOLVED);
    const bytes = new Uint8Array(100_000).fill(120);
    const text = "x".repeat(bytes.length);
    assertEquals(
      (await connection.exec(`bulk ${bytes.length}`)).stdout.length,
      bytes.length,
    );
    assertEquals(
      (await connection.exec("cat", { stdin: bytes })).stdout,
      text,
    );
    await using sftp = await connection.sftp!();
    await sftp.writeFile("/file", bytes);
    assertEquals(await sftp.readTextFile("/file"), text);
  },
);

testNats("a command may fill both of its outputs at once", async () => {
  const bulk = "x".repeat(MIB);
  await using fleet = await site({
    commands: {
      both: ({ write, writeError }) =>
        Promise.all([write(bulk), writeError(bulk)]).then(() => ({})),
    },
  });
  const connection = await fleet.connector.connect(RESOLVED);
  const { stdout, stderr } = await connection.exec("both");
  assertEquals([stdout.length, stderr.length], [MIB, MIB]);
});
