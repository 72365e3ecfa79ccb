// The seven scenarios of the pool that this one began from. Each is a bench,
// too, in bench/; here only the outcome counts.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { FakeTime, flush, gate, Kit, range } from "./_kit.ts";

Deno.test("ConnectionPool.getConnection() dials a cold host once", async () => {
  await using kit = new Kit({ dialMs: 10 });
  const startedAt = performance.now();
  const connection = await kit.pool.getConnection("ops@db1");
  assertEquals(connection.host.hostname, "db1");
  assert(performance.now() - startedAt >= 9, "the dial was not waited for");
  assertEquals(kit.connector.dials, 1);
  assertEquals(kit.pool.size, 1);
  assertEquals(kit.pool.activeHosts, ["ops@db1:22"]);
});

Deno.test("ConnectionPool.getConnection() gives a warm host's connection without a dial", async () => {
  await using kit = new Kit({ dialMs: 1 });
  const first = await kit.pool.getConnection("ops@db1");
  const again = kit.pool.getConnection("ops@db1");
  assertStrictEquals(await again, first);
  assertStrictEquals(
    kit.pool.getConnection("ops@db1"),
    again,
    "a warm hand-out allocates no promise",
  );
  assertEquals(kit.connector.dials, 1);
});

Deno.test("ConnectionPool.getConnection() serves 100 callers of one host from one dial", async () => {
  await using kit = new Kit({ dialMs: 1 });
  const connections = await Promise.all(
    range(100).map(() => kit.pool.getConnection("ops@db1")),
  );
  assertEquals(kit.connector.dials, 1);
  assertEquals(new Set(connections).size, 1);
});

Deno.test("ConnectionPool.exec() serves 100 callers of one host, and none is refused", async () => {
  await using kit = new Kit({ dialMs: 1, maxSessions: 10 });
  const results = await Promise.all(
    range(100).map((i) => kit.pool.exec("ops@db1", ["echo", `${i}`])),
  );
  assertEquals(results.map((r) => r.stdout), range(100).map((i) => `${i}\n`));
  assertEquals(kit.connector.dials, 1);
  assert(kit.connector.maxChannels <= 10);
});

Deno.test("ConnectionPool.getConnection() dials 10 hosts in parallel", async () => {
  const open = gate();
  await using kit = new Kit({ onDial: () => open.promise });
  const all = range(10).map((i) => kit.pool.getConnection(`ops@db${i}`));
  await flush();
  // All ten are in flight before any is let through: time proves nothing.
  assertEquals(kit.connector.maxDialsInFlight, 10);
  assertEquals(kit.connector.dials, 10);
  open.open();
  const hosts = (await Promise.all(all)).map((c) => c.host.hostname);
  assertEquals(hosts, range(10).map((i) => `db${i}`));
  assertEquals(kit.pool.size, 10);
});

Deno.test("ConnectionPool.closeAll() keeps nothing of 100 connections", async () => {
  await using kit = new Kit();
  await Promise.all(
    range(100).map((i) => kit.pool.getConnection(`ops@db${i}`)),
  );
  assertEquals(kit.pool.size, 100);
  assertEquals(kit.pool.activeHosts.length, 100);
  await kit.pool.closeAll();
  assertEquals(kit.pool.size, 0);
  assertEquals(kit.pool.activeHosts, []);
  assertEquals(kit.pool.stats().hosts, []);
  assertEquals([kit.connector.opened, kit.connector.closed], [100, 100]);
});

Deno.test("ConnectionPool.getConnection() answers at once while idle connections are swept", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 800 });
  await Promise.all(
    range(50).map((i) => kit.pool.getConnection(`ops@db${i}`)),
  );
  await time.advance(500);
  const used = await kit.pool.getConnection("ops@db7");
  const seen: unknown[] = [];
  // Asked from within the sweep itself: at the first connection that it ends.
  kit.connector.options.onClose = () => {
    if (seen.length === 0) seen.push(kit.pool.getConnection("ops@db7"));
  };
  await time.advance(450);
  assertStrictEquals(await seen[0], used);
  assertEquals(kit.pool.activeHosts, ["ops@db7:22"]);
  assertEquals(kit.connector.dials, 50);
});

Deno.test("ConnectionPool.getConnection() sees a stale connection at once and dials again", async () => {
  await using kit = new Kit();
  const stale = await kit.pool.getConnection("ops@db1");
  kit.connection(0).drop("gone");
  // Nothing was awaited since: only isClosed can have told.
  const fresh = kit.pool.getConnection("ops@db1");
  assert(await fresh !== stale);
  assertEquals((await fresh).isClosed, false);
  assertEquals(kit.connector.dials, 2);
  assertEquals(kit.pool.size, 1);
});
