/** Old connections, and the cap on those of one host. */

import { assertEquals } from "@std/assert";
import { FakeTime, flush, gate, Kit, range, stateOf } from "./_kit.ts";

const host = "ops@db1:22";

Deno.test("ConnectionPool.sftp() lends its session to the caller that started it, also on a connection that grew old meanwhile", async () => {
  using time = new FakeTime();
  await using kit = new Kit({
    // The server takes longer to open a session than a connection lives.
    onOpen: () => ({ delayMs: 100 }),
  }, { maxLifetimeMs: 1, maxConnectionsPerHost: 2 });
  const opening = kit.pool.sftp(host);
  await time.advance(150);
  const sftp = await opening;
  assertEquals([kit.connector.dials, kit.connector.live.size], [1, 1]);
  await sftp.writeTextFile("/tmp/a", "a");
  assertEquals(await sftp.readTextFile("/tmp/a"), "a");
  sftp.close();
  await flush();
  assertEquals(kit.connector.live.size, 0, "it was old, and ended with it");
});

Deno.test("ConnectionPool.sftp() gives each of those who wait together a session within the cap", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ onOpen: () => ({ delayMs: 100 }) }, {
    maxLifetimeMs: 1,
    maxConnectionsPerHost: 2,
  });
  let most = 0;
  const all = Promise.all(
    range(6).map(async () => {
      const sftp = await kit.pool.sftp(host);
      most = Math.max(most, kit.connector.live.size);
      await sftp.realPath(".");
      sftp.close();
    }),
  );
  await time.advance(5_000);
  await all;
  assertEquals(most <= 2, true, `${most} connections`);
  assertEquals(kit.connector.dials <= 6, true, `${kit.connector.dials} dials`);
});

Deno.test("ConnectionPool counts an old connection against the cap of its host until its command has ended", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxLifetimeMs: 1_000,
    maxConnectionsPerHost: 1,
  });
  const running = kit.pool.exec(host, "wait");
  await time.advance(2_000);
  const next = kit.pool.exec(host, "echo next");
  await time.advance(2_000);
  assertEquals(await stateOf(next), "pending");
  assertEquals(kit.connector.dials, 1);
  end.open();
  await running;
  assertEquals((await next).stdout, "next\n");
  assertEquals([kit.connector.dials, kit.connector.live.size], [2, 1]);
});

Deno.test("ConnectionPool keeps an old connection with a stream on it in use while there is no room for another", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { tail: () => end.promise } }, {
    maxLifetimeMs: 1_000,
    maxConnectionsPerHost: 1,
  });
  const tail = await kit.pool.spawn(host, "tail");
  await time.advance(2_000);
  assertEquals((await kit.pool.exec(host, "echo a")).stdout, "a\n");
  assertEquals(kit.connector.dials, 1);
  end.open();
  await tail.status;
  await time.advance(100);
  assertEquals(kit.connector.live.size, 0, "it ends as soon as it can");
});

Deno.test("ConnectionPool keeps an old connection with a stream on it in use while the pool has no room for another", async () => {
  using time = new FakeTime();
  const ends = [gate(), gate()];
  await using kit = new Kit({
    commands: { one: () => ends[0]!.promise, two: () => ends[1]!.promise },
  }, { maxLifetimeMs: 1_000, maxConnections: 2 });
  const one = await kit.pool.spawn(host, "one");
  const two = await kit.pool.spawn("ops@db2", "two");
  await time.advance(2_000);
  const beside = kit.pool.exec(host, "true");
  await time.advance(100);
  assertEquals(kit.connector.dials, 2);
  await beside;
  ends[1]!.open();
  await two.status;
  await time.advance(100);
  await kit.pool.exec(host, "true");
  assertEquals(kit.connector.dials, 3, "now there is room");
  ends[0]!.open();
  await one.status;
});

Deno.test("ConnectionPool keeps an old hop in use while tunnels are on it and there is no room for another", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, {
    maxLifetimeMs: 1_000,
    maxConnectionsPerHost: 1,
    idleTimeoutMs: 0,
  });
  const via = (hostname: string) => ({
    hostname,
    user: "ops",
    jump: ["ops@gate"],
  });
  using _ = await kit.pool.acquire(via("a"));
  await time.advance(2_000);
  using __ = await kit.pool.acquire(via("b"));
  assertEquals(kit.connector.dialsByHost.get("ops@gate:22"), 1);
});
