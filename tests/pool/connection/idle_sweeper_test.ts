import { assert, assertEquals } from "@std/assert";
import { FakeTime, flush, gate, Kit, range, stateOf } from "../_kit.ts";

const host = "ops@db1";

Deno.test("ConnectionPool ends an idle connection after idleTimeoutMs and an eighth of it at most", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 8_000 });
  await kit.pool.exec(host, "true");
  await time.advance(7_999);
  assertEquals(kit.pool.size, 1);
  await time.advance(1_001);
  assertEquals(kit.pool.size, 0);
  assertEquals(kit.pool.stats().counters.closed.idle, 1);
  const [gone] = await kit.told("disconnected");
  assert(gone?.type === "disconnected" && gone.cause === "idle");
});

Deno.test("ConnectionPool counts idleness from the end of the last channel, and from a hand-out", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    idleTimeoutMs: 8_000,
  });
  const running = kit.pool.exec(host, "wait");
  await time.advance(60_000);
  assertEquals(kit.pool.size, 1, "a command runs");
  end.open();
  await running;
  await time.advance(7_900);
  assertEquals(kit.pool.size, 1);
  await kit.pool.getConnection(host);
  await time.advance(7_900);
  assertEquals(kit.pool.size, 1, "handed out meanwhile");
  await time.advance(1_200);
  assertEquals(kit.pool.size, 0);
});

Deno.test("ConnectionPool ends each connection within its own bounds, however uses overlap", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 8_000 });
  const usedAt: number[] = [];
  let now = 0;
  for (const i of range(40)) {
    await kit.pool.exec(`ops@h${i}`, "true");
    usedAt[i] = now;
    await time.advance(170);
    now += 170;
  }
  while (kit.pool.size > 0) {
    await time.advance(10);
    now += 10;
    for (const i of range(40)) {
      const isOpen = !kit.connection(i).isClosed;
      const idleMs = now - usedAt[i]!;
      if (isOpen) assert(idleMs <= 9_010, `${i} is idle for ${idleMs} ms`);
      else assert(idleMs >= 8_000, `${i} ended after ${idleMs} ms`);
    }
  }
});

Deno.test("ConnectionPool never ends a connection with a lease, a process or a tunnel on it", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    idleTimeoutMs: 1_000,
  });
  const lease = await kit.pool.acquire("ops@a");
  const process = await kit.pool.spawn("ops@b", "wait");
  const hop = await kit.pool.getConnection("ops@c");
  const tunnel = await hop.forwardOut!({ hostname: "x", port: 1 });
  await time.advance(60_000);
  assertEquals(kit.pool.size, 3);
  lease.release();
  end.open();
  await process.output();
  tunnel.close();
  await time.advance(1_200);
  assertEquals(kit.pool.size, 0);
});

Deno.test("ConnectionPool shared again at connections whose lease was released under a running channel", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    idleTimeoutMs: 1_000,
  });
  const running = await Promise.all(
    range(3).map(async (i) => {
      using lease = await kit.pool.acquire(`ops@h${i}`);
      return await lease.connection.spawn("wait");
    }),
  );
  await time.advance(10_000);
  assertEquals(kit.pool.size, 3, "their commands run");
  end.open();
  await Promise.all(running.map((process) => process.output()));
  await time.advance(2_300);
  assertEquals(kit.pool.size, 0);
});

Deno.test("ConnectionPool keeps one unref'd timer for all idle connections, and none without", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 8_000 });
  assertEquals(time.pending, 0);
  for (const i of range(50)) {
    await kit.pool.exec(`ops@h${i}`, "true");
    await time.advance(20);
    assertEquals([time.pending, time.referenced], [1, 0]);
  }
  await time.advance(20_000);
  assertEquals([kit.pool.size, time.pending], [0, 0]);
});

Deno.test("ConnectionPool ends an idle connection also where the one before it was gone early", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 8_000 });
  await kit.pool.exec(host, "true");
  await kit.pool.removeConnection(host);
  await kit.pool.exec(host, "true");
  await time.advance(10_000);
  assertEquals([kit.connector.dials, kit.pool.size], [2, 0]);
});

Deno.test("ConnectionPool keeps connections for ever with an idleTimeoutMs of 0, without a timer", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 0 });
  await kit.pool.exec(host, "true");
  assertEquals(time.pending, 0);
  await time.advance(24 * 3_600_000);
  assertEquals(kit.pool.size, 1);
});

Deno.test("ConnectionPool survives a clock that is set back", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 8_000 });
  await kit.pool.exec(host, "true");
  await time.advance(2_000);
  time.shiftDate(-3_600_000);
  await time.advance(18_000);
  assertEquals(kit.pool.size, 0);
});

Deno.test("ConnectionPool ends an idle connection at maxLifetimeMs, give or take a tenth", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 0, maxLifetimeMs: 10_000 });
  await kit.pool.warm(range(20).map((i) => `ops@h${i}`));
  await time.advance(8_990);
  assertEquals(kit.pool.size, 20);
  const sizes = new Set<number>();
  for (const _ of range(27)) {
    await time.advance(100);
    sizes.add(kit.pool.size);
  }
  assertEquals(kit.pool.size, 0);
  assert(sizes.size > 2, "jittered: they do not all go together");
  assertEquals(kit.pool.stats().counters.closed.lifetime, 20);
  await time.advance(1_000);
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool drains a connection at maxLifetimeMs, and never kills its command", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    idleTimeoutMs: 0,
    maxLifetimeMs: 10_000,
  });
  const running = kit.pool.exec(host, "wait");
  await time.advance(12_000);
  assertEquals(await stateOf(running), "pending");
  const fresh = kit.pool.exec(host, "echo fresh");
  await flush();
  assertEquals((await fresh).stdout, "fresh\n");
  assertEquals(kit.connector.dials, 2, "the old one gives no slots");
  assertEquals(kit.connection(0).channelsAsked, 1);
  end.open();
  assertEquals((await running).code, 0);
  assert(kit.connection(0).isClosed);
  assertEquals(kit.pool.size, 1);
});
