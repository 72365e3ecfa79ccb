/** Session channels that a busy connection opens ahead of need. */

import { assertEquals } from "@std/assert";
import { FakeTime, flush, gate, Kit } from "./_kit.ts";

const host = "ops@db1:22";

/** The spares of the first connection, and the channels it has asked for. */
function spares({ connector }: Kit): [spares: number, asked: number] {
  const [connection] = connector.connections;
  return [connection!.spares!.count, connection!.channelsAsked];
}

Deno.test("ConnectionPool.exec() takes a channel that was opened while the connection was busy", async () => {
  await using kit = new Kit({ spareChannels: true });
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
  await using kit = new Kit({ spareChannels: true }, { idleTimeoutMs: 60_000 });
  for (let i = 0; i < 3; i++) {
    await kit.pool.exec(host, "true");
    assertEquals(spares(kit), [0, i + 1]);
    await time.advance(2_000);
  }
  await kit.pool.exec(host, "true");
  await kit.pool.exec(host, "true");
  assertEquals(spares(kit)[0], 1);
  await time.advance(10_000);
  assertEquals(spares(kit)[0], 0);
  assertEquals(kit.connection(0).openChannels, 0);
});

Deno.test("ConnectionPool opens no spare channel where it would take the place of a command", async () => {
  const end = gate();
  await using kit = new Kit({
    spareChannels: true,
    commands: { wait: async () => await end.promise },
  }, { maxSessionsPerConnection: 3, maxConnectionsPerHost: 1 });
  const running = [1, 2, 3].map(() => kit.pool.exec(host, "wait"));
  await flush();
  assertEquals(spares(kit), [0, 3]);
  end.open();
  await Promise.all(running);
});

Deno.test("ConnectionPool.exec() does not fail when the server refuses a spare channel, or loses it", async () => {
  await using kit = new Kit({ spareChannels: true, maxSessions: 1 });
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
