import { assert, assertEquals } from "@std/assert";
import { errorOf, FakeTime, flush, gate, Kit, range, stateOf } from "./_kit.ts";

const open = (kit: Kit) => [...kit.pool.activeHosts].sort();

Deno.test("ConnectionPool evicts the least recently used connection at the cap", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { maxConnections: 3 });
  for (const name of ["a", "b", "c"]) {
    await kit.pool.getConnection(`ops@${name}`);
    await time.advance(1);
  }
  await kit.pool.getConnection("ops@a"); // used again: b is the oldest now
  await time.advance(1);
  const d = kit.pool.exec("ops@d", "true");
  await time.advance(1);
  await d;
  assertEquals(open(kit), ["ops@a:22", "ops@c:22", "ops@d:22"]);
  const e = kit.pool.exec("ops@e", "true");
  await time.advance(1);
  await e;
  assertEquals(open(kit), ["ops@a:22", "ops@d:22", "ops@e:22"]);
  assertEquals(kit.pool.stats().counters.closed.lru, 2);
});

Deno.test("ConnectionPool never evicts a connection with a running command", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnections: 2,
  });
  const running = kit.pool.exec("ops@a", "wait");
  await kit.pool.exec("ops@b", "true");
  await kit.pool.exec("ops@c", "true");
  assertEquals(open(kit), ["ops@a:22", "ops@c:22"]);
  const all = range(5).map((i) => kit.pool.exec(`ops@x${i}`, "true"));
  await time.advance(1_000);
  await Promise.all(all);
  assert(open(kit).includes("ops@a:22"));
  end.open();
  assertEquals((await running).code, 0);
});

Deno.test("ConnectionPool never evicts a connection whose lease or process is out", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnections: 2,
  });
  const lease = await kit.pool.acquire("ops@a");
  const process = await kit.pool.spawn("ops@b", "wait");
  const waiter = kit.pool.exec("ops@c", "echo c");
  assertEquals(await stateOf(waiter), "pending");
  assertEquals(open(kit), ["ops@a:22", "ops@b:22"]);
  end.open();
  await process.output();
  assertEquals((await waiter).stdout, "c\n");
  assertEquals(lease.connection.isClosed, false);
  lease.release();
});

Deno.test("ConnectionPool serves those who wait at the cap in the order of arrival, across hosts", async () => {
  await using kit = new Kit({}, {
    maxConnections: 1,
    maxSessionsPerConnection: 1,
  });
  const first = await kit.pool.acquire("ops@a");
  const order: number[] = [];
  const all = range(6).map(async (i) => {
    using _lease = await kit.pool.acquire(`ops@h${i}`);
    order.push(i);
    await flush();
  });
  await flush();
  assertEquals(kit.connector.dials, 1);
  first.release();
  await Promise.all(all);
  assertEquals(order, range(6));
  assertEquals(kit.connector.live.size, 1);
});

Deno.test("ConnectionPool never has more than maxConnections, whatever is asked", async () => {
  await using kit = new Kit({ dialMs: 1 }, { maxConnections: 5 });
  let most = 0;
  kit.connector.options.onOpen = () => {
    most = Math.max(most, kit.connector.live.size);
  };
  const results = await Promise.all(
    range(100).map((i) => kit.pool.exec(`ops@h${i % 30}`, `echo ${i}`)),
  );
  assertEquals(results.map((r) => r.stdout), range(100).map((i) => `${i}\n`));
  assert(most <= 5, `${most} connections`);
});

Deno.test("ConnectionPool gives a hand-out a moment before it may be evicted", async () => {
  await using kit = new Kit({}, { maxConnections: 1 });
  // Both at once: the first has its connection but has not run yet when the
  // second needs the room.
  const results = await Promise.all(["a", "b"].map(async (name) => {
    const connection = await kit.pool.getConnection(`ops@${name}`);
    return (await connection.exec(`echo ${name}`)).stdout;
  }));
  assertEquals(results, ["a\n", "b\n"]);
});

Deno.test("ConnectionPool does not evict another host's connection for a host that has just lost its own", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnections: 2,
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const lost = errorOf(kit.pool.exec("ops@a", "wait"));
  const waiter = kit.pool.exec("ops@a", "echo again");
  await kit.pool.exec("ops@b", "true");
  await time.advance(10);
  kit.connection(0).drop();
  await lost;
  assertEquals((await waiter).stdout, "again\n");
  assertEquals(kit.connection(1).isClosed, false);
  assertEquals(kit.pool.stats().counters.closed.lru, 0);
});

Deno.test("ConnectionPool does not evict a connection for a caller that has left", async () => {
  await using kit = new Kit({}, { maxConnections: 1 });
  const held = await kit.pool.acquire("ops@a");
  const controller = new AbortController();
  const { signal } = controller;
  const left = errorOf(kit.pool.acquire("ops@b", { signal }));
  await flush();
  controller.abort();
  await left;
  held.release();
  await flush();
  assertEquals(open(kit), ["ops@a:22"]);
});

Deno.test("ConnectionPool does not evict a hop, whose end makes no room", async () => {
  await using kit = new Kit({}, { maxConnections: 1 });
  const target = { hostname: "db", user: "ops", jump: "ops@gate" };
  await kit.pool.exec(target, "true");
  await kit.pool.removeConnection(target);
  const held = await kit.pool.acquire("ops@a");
  const waiter = kit.pool.exec("ops@b", "echo b");
  assertEquals(await stateOf(waiter), "pending");
  assertEquals(open(kit), ["ops@a:22", "ops@gate:22"]);
  held.release();
  assertEquals((await waiter).stdout, "b\n");
});

Deno.test("ConnectionPool evicts when a lease is released before the channel on it has ended", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnections: 1,
  });
  const lease = await kit.pool.acquire("ops@a");
  const running = lease.connection.exec("wait");
  await flush();
  lease.release();
  const waiter = kit.pool.exec("ops@b", "echo b");
  assertEquals(await stateOf(waiter), "pending", "a command runs on it");
  end.open();
  assertEquals((await running).code, 0);
  await time.advance(10_000);
  assertEquals((await waiter).stdout, "b\n");
});
