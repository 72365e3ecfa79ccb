/** Session channels that a busy connection opens ahead of need. */

import { assertEquals } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import { SessionLimit } from "../../../pool/connection/session_limit.ts";
import { SpareSessions } from "../../../pool/connection/spare_sessions.ts";
import type {
  Connection,
  SpareChannels,
} from "../../../transport/connector.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { FakeTime, flush, gate, Kit } from "../_kit.ts";

const host = "ops@db1:22";

/** Servers with spare channels, at a distance that makes them worth it. */
const far = { spareChannels: true, roundTripMs: 2 };

/** The spares of the first connection, and the channels it has asked for. */
function spares({ connector }: Kit): [spares: number, asked: number] {
  const [connection] = connector.connections;
  return [connection!.spares!.count, connection!.channelsAsked];
}

Deno.test("ConnectionPool.exec() takes a channel that was opened while the connection was busy", async () => {
  await using kit = new Kit(far);
  await kit.pool.exec(host, "true");
  assertEquals(spares(kit), [0, 1]);
  await kit.pool.exec(host, "true");
  // The second within a second: one more is opened beside it.
  assertEquals(spares(kit), [1, 3]);
  await kit.pool.exec(host, "true");
  // It used the spare, and another one was opened.
  assertEquals(spares(kit), [1, 4]);
});

Deno.test("ConnectionPool opens no spare channel for commands that are far apart, and closes one that is not used", async () => {
  using time = new FakeTime();
  await using kit = new Kit(far, {
    idleTimeoutMs: 60_000,
    keepaliveIntervalMs: 0,
  });
  const exec = async (ms: number) => {
    const running = kit.pool.exec(host, "true");
    await time.advance(ms);
    await running;
  };
  for (let i = 0; i < 3; i++) {
    await exec(2_000);
    assertEquals(spares(kit), [0, i + 1]);
  }
  await exec(50);
  await exec(50);
  assertEquals(spares(kit)[0], 1);
  await time.advance(10_050);
  assertEquals(spares(kit)[0], 0);
  assertEquals(kit.connection(0).openChannels, 0);
});

Deno.test("ConnectionPool opens no spare channel where it would take the place of a command", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({
    ...far,
    commands: { wait: async () => await end.promise },
  }, {
    maxSessionsPerConnection: 3,
    maxConnectionsPerHost: 1,
    keepaliveIntervalMs: 0,
  });
  const running = [1, 2, 3].map(() => kit.pool.exec(host, "wait"));
  await time.advance(50);
  assertEquals(spares(kit), [0, 3]);
  end.open();
  await time.advance(50);
  await Promise.all(running);
});

Deno.test("ConnectionPool.exec() does not fail when the server refuses a spare channel, or loses it", async () => {
  await using kit = new Kit({ ...far, maxSessions: 1 });
  for (let i = 0; i < 5; i++) {
    assertEquals((await kit.pool.exec(host, "echo on")).stdout, "on\n");
  }
  // One was refused, and no other one was asked for soon after that.
  assertEquals(spares(kit), [0, 6]);
  kit.connection(0).drop();
  assertEquals((await kit.pool.exec(host, "echo on")).stdout, "on\n");
});

Deno.test("ConnectionPool.exec() costs one round trip on a busy connection, and two on another", async () => {
  using time = new FakeTime();
  await using kit = new Kit(
    { spareChannels: true, roundTripMs: 100 },
    { keepaliveIntervalMs: 0 },
  );
  const costs: number[] = [];
  for (let i = 0; i < 4; i++) {
    const startedAt = performance.now();
    let isOver = false;
    const running = kit.pool.exec(host, "true").then(() => isOver = true);
    while (!isOver) {
      await flush();
      if (!isOver) await time.advance(50);
      await flush();
    }
    await running;
    costs.push((performance.now() - startedAt) / 100);
    // The spare that was asked for meanwhile is there.
    await time.advance(100);
  }
  assertEquals(costs, [7, 2, 1, 1]);
});

/** Spare channels of a server that answers when it is told to. */
class FakeChannels implements SpareChannels {
  count = 0;
  asked = 0;
  #answers: (() => void)[] = [];

  open(): Promise<void> {
    this.asked++;
    this.count++;
    return new Promise((resolve) => this.#answers.push(resolve));
  }

  close(): Promise<void> {
    this.count--;
    return new Promise(() => {});
  }

  answer(): Promise<void> {
    for (const answer of this.#answers.splice(0)) answer();
    return flush();
  }
}

/** How many spares two sessions lead to, where the server takes so long. */
async function sparesAt(tookMs: number): Promise<number> {
  using time = new FakeTime();
  const limit = new SessionLimit();
  const channels = new FakeChannels();
  const spares = new SpareSessions(channels, limit);
  for (let i = 0; i < 2; i++) {
    const attempt = spares.take() ?? limit.begin();
    await time.advance(tookMs);
    limit.opened(attempt);
    spares.answered(attempt);
    spares.refill(1, 9);
    limit.ended(attempt, false);
  }
  spares.stop();
  return channels.asked;
}

Deno.test("SpareSessions opens a channel ahead of need where a round trip is worth it", async () => {
  assertEquals(await sparesAt(50), 1);
  assertEquals(await sparesAt(2), 1);
});

Deno.test("SpareSessions opens none where the server is so near that none is worth it", async () => {
  assertEquals(await sparesAt(0), 0);
});

Deno.test("SpareSessions takes the shortest answer for the round trip, also that of a spare", async () => {
  using time = new FakeTime();
  const limit = new SessionLimit();
  const channels = new FakeChannels();
  const spares = new SpareSessions(channels, limit);
  // A server that is busy with something else, at first.
  for (let i = 0; i < 2; i++) {
    const attempt = limit.begin();
    await time.advance(20);
    spares.answered(attempt);
    spares.refill(1, 9);
  }
  assertEquals(channels.asked, 1);
  await channels.answer();
  assertEquals(spares.take()?.isOpen, true);
  channels.count--;
  spares.refill(1, 9);
  assertEquals(channels.asked, 1, "it is near");
  spares.stop();
});

Deno.test("ConnectionPool leaves one session free for what the server has not freed yet, and opens no spare channel in it", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({
    ...far,
    commands: { wait: async () => await end.promise },
  }, {
    maxSessionsPerConnection: 4,
    maxConnectionsPerHost: 1,
    keepaliveIntervalMs: 0,
  });
  const running: Promise<unknown>[] = [];
  for (const asked of [1, 3, 4]) {
    running.push(kit.pool.exec(host, "wait"));
    await time.advance(50);
    // The second brings a spare, which the third uses; no other one fits.
    assertEquals(spares(kit)[1], asked === 4 ? 3 : asked);
  }
  assertEquals(spares(kit), [0, 3]);
  end.open();
  await time.advance(50);
  await Promise.all(running);
});

Deno.test("SpareSessions gives out no attempt of a spare that the server has closed", async () => {
  using time = new FakeTime();
  const limit = new SessionLimit();
  const channels = new FakeChannels();
  const spares = new SpareSessions(channels, limit);
  const first = limit.begin();
  await time.advance(5);
  limit.opened(first);
  spares.answered(first);
  spares.refill(1, 9);
  spares.refill(1, 9);
  await channels.answer();
  assertEquals([channels.asked, channels.count], [1, 1]);
  channels.count--;
  assertEquals(spares.take(), undefined, "the next counts by its own attempt");
  spares.stop();
});

Deno.test("ConnectionPool.close() does not wait for a server to close a spare channel", async () => {
  using time = new FakeTime();
  const memory = new MemoryConnector();
  const spares = new FakeChannels();
  await using pool = new ConnectionPool({
    connector: {
      async connect(host, options): Promise<Connection> {
        const connection = await memory.connect(host, options);
        return new Proxy(connection, {
          get(target, name) {
            if (name === "spares") return spares;
            // One spare, which the server keeps open.
            if (name === "openChannels") return target.openChannels + 1;
            const value = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    },
  });
  await pool.getConnection("ops@db1");
  spares.count = 1;
  const startedAt = performance.now();
  await pool.close();
  assertEquals([spares.count, performance.now() - startedAt], [0, 0]);
  await time.advance(0);
});
