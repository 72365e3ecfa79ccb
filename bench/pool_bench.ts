/**
 * The seven scenarios of the pool, over connections in memory: what they cost
 * beside the dial, whose length is scripted.
 *
 * @module
 */

import { assert, assertEquals, assertNotStrictEquals } from "@std/assert";
import type { Connection } from "../pool/mod.ts";
import { memoryPool, timed } from "./_memory.ts";
import { claim, fact, factValue, reportOf } from "./_report.ts";
import { scenario, size } from "./_scenario.ts";

reportOf(import.meta);

const HOST = "ops@db1:22";
const hosts = (count: number) =>
  Array.from({ length: count }, (_, i) => `ops@host${i}:22`);
const dials = ({ connector }: { connector: { readonly dials: number } }) =>
  connector.dials;

scenario({
  name: "cold start, 10 ms dial",
  n: size(100, 5),
  fresh: true,
  open: () => memoryPool({ dialMs: 10 }),
  run: async ({ pool }) => void await pool.getConnection(HOST),
  check({ pool, connector }) {
    assertEquals(connector.dials, 1);
    assertEquals(pool.activeHosts, [HOST]);
  },
  dials,
});

scenario({
  name: "warm retrieval",
  n: size(200, 10),
  warmup: 20,
  batch: 1000,
  async open() {
    const fixture = memoryPool({ dialMs: 10 });
    const first = await fixture.pool.getConnection(HOST);
    return { ...fixture, first, last: undefined as Connection | undefined };
  },
  async run(fixture) {
    for (let i = 0; i < 1000; i++) {
      fixture.last = await fixture.pool.getConnection(HOST);
    }
  },
  check({ connector, first, last }) {
    assertEquals(connector.dials, 1);
    assert(first === last, "warm retrieval gave another connection");
  },
  dials,
});

const CALLER = "1 caller on one host, 1 ms dial";

// What a dial of 1 ms lasts with this runtime's timers: 2 ms is usual.
scenario({
  name: CALLER,
  n: size(100, 10),
  warmup: 5,
  fresh: true,
  open: () => memoryPool({ dialMs: 1 }),
  run: async ({ pool }) => void await pool.getConnection(HOST),
  check: ({ connector }) => assertEquals(connector.dials, 1),
  dials,
});

const CALLERS = "100 callers on one host, 1 ms dial, each";

// A sample is what one caller waited, from the moment all of them called.
scenario({
  name: CALLERS,
  n: size(50, 5),
  warmup: 5,
  fresh: true,
  open: () => ({ ...memoryPool({ dialMs: 1 }), got: new Set<Connection>() }),
  run({ pool, got }) {
    return Promise.all(
      Array.from(
        { length: 100 },
        () => timed(async () => got.add(await pool.getConnection(HOST))),
      ),
    );
  },
  check({ connector, got }) {
    assertEquals(connector.dials, 1);
    assertEquals(got.size, 1);
  },
  dials,
});

const TEN_HOSTS = "10 hosts at once, 10 ms dial, all";

scenario({
  name: TEN_HOSTS,
  n: size(50, 5),
  callers: 10,
  warmup: 3,
  fresh: true,
  open: () => memoryPool({ dialMs: 10 }),
  run: async ({ pool }) =>
    void await Promise.all(hosts(10).map((host) => pool.getConnection(host))),
  check({ pool, connector }) {
    assertEquals(connector.dials, 10);
    assertEquals(pool.size, 10);
  },
  dials,
});

const MEMORY = "heap per pooled connection in memory";

scenario({
  name: "100 connections, opened at once",
  n: size(50, 5),
  callers: 100,
  warmup: 5,
  fresh: true,
  open: () => ({ ...memoryPool(), heapBefore: heap() }),
  run: async ({ pool }) =>
    void await Promise.all(hosts(100).map((host) => pool.getConnection(host))),
  check({ pool, connector, heapBefore }) {
    assertEquals(connector.dials, 100);
    assertEquals(pool.size, 100);
    // The smallest: whatever else is allocated meanwhile only adds. A run in
    // which garbage was collected says nothing.
    const each = (heap() - heapBefore) / 100;
    if (each > 0) {
      fact(MEMORY, Math.min(each, factValue(MEMORY) ?? each), "bytes");
    }
  },
  dials,
});

// 99 hosts go idle for long enough while one is asked for: the sweep of the
// others must not be felt by it.
scenario({
  name: "getConnection while idle connections are closed, each",
  n: size(20, 3),
  fresh: true,
  async open() {
    const fixture = memoryPool({ idleTimeoutMs: 25 });
    await Promise.all(
      [HOST, ...hosts(99)].map((host) => fixture.pool.getConnection(host)),
    );
    assertEquals(fixture.pool.size, 100);
    return fixture;
  },
  async run({ pool }) {
    const latencies: number[] = [];
    for (const deadline = performance.now() + 5000; pool.size > 1;) {
      assert(performance.now() < deadline, "idle connections stay open");
      for (let i = 0; i < 20; i++) {
        latencies.push(await timed(() => pool.getConnection(HOST)));
      }
      // The timer of the sweep gets its turn.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return latencies;
  },
  check({ pool, connector }) {
    assertEquals(pool.activeHosts, [HOST]);
    assertEquals(connector.dials, 100);
  },
  dials,
});

scenario({
  name: "stale connection detected and redialled, 1 ms dial",
  n: size(50, 5),
  warmup: 3,
  fresh: true,
  async open() {
    const fixture = memoryPool({ dialMs: 1 });
    const stale = await fixture.pool.getConnection(HOST);
    fixture.connector.dropAll();
    assert(stale.isClosed);
    return { ...fixture, stale, live: stale };
  },
  async run(fixture) {
    fixture.live = await fixture.pool.getConnection(HOST);
  },
  check({ pool, connector, stale, live }) {
    assertEquals(connector.dials, 2);
    assertNotStrictEquals(live, stale);
    assert(!live.isClosed);
    assertEquals(pool.size, 1);
  },
  dials,
});

claim({
  text: "p99 of a caller among 100 over a 1 ms dial, beyond the dial",
  actual(rows) {
    const [all, one] = [rows.get(CALLERS), rows.get(CALLER)];
    return all && one && all.p99 - one.p50;
  },
  atMost: 1,
  unit: "ms",
});
claim({
  text: "10 hosts at once over one 10 ms dial",
  actual: (rows) => {
    const row = rows.get(TEN_HOSTS);
    return row && row.p50 / 10;
  },
  atMost: 1.5,
});

function heap(): number {
  return Deno.memoryUsage().heapUsed;
}
