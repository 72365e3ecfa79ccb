/**
 * The seven scenarios of the pool, over connections in memory: what they cost
 * beside the dial, whose length is scripted.
 *
 * @module
 */

import { assert, assertEquals, assertNotStrictEquals } from "@std/assert";
import type { Connection } from "../pool/mod.ts";
import { memory, memoryPool } from "./kit/memory.ts";
import { claim, fact, factValue, reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import { timed, together } from "./kit/timing.ts";

reportOf(import.meta, "the pool itself, over connections in memory");

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

// What a dial of 1 ms lasts with this runtime's timers: 2 ms is usual.
const oneCaller = scenario({
  name: "1 caller on one host, 1 ms dial",
  n: size(100, 10),
  warmup: 5,
  fresh: true,
  open: () => memoryPool({ dialMs: 1 }),
  run: async ({ pool }) => void await pool.getConnection(HOST),
  check: ({ connector }) => assertEquals(connector.dials, 1),
  dials,
});

// A sample is what one caller waited, from the moment all of them called.
const callers = scenario({
  name: "100 callers on one host, 1 ms dial, each",
  n: size(50, 5),
  warmup: 5,
  fresh: true,
  open: () => ({ ...memoryPool({ dialMs: 1 }), got: new Set<Connection>() }),
  run: ({ pool, got }) =>
    together(100, async () => got.add(await pool.getConnection(HOST))),
  check({ connector, got }) {
    assertEquals(connector.dials, 1);
    assertEquals(got.size, 1);
  },
  dials,
});

const tenHosts = scenario({
  name: "10 hosts at once, 10 ms dial, each",
  n: size(50, 5),
  warmup: 3,
  fresh: true,
  open: () => ({ ...memoryPool({ dialMs: 10 }), names: hosts(10) }),
  run: ({ pool, names }) => together(10, (i) => pool.getConnection(names[i]!)),
  check({ pool, connector }) {
    assertEquals(connector.dials, 10);
    assertEquals(pool.size, 10);
  },
  dials,
});

const MEMORY = "heap per pooled connection in memory";

scenario({
  name: "100 hosts at once, no dial time, each",
  n: size(50, 5),
  warmup: 5,
  fresh: true,
  open: () => ({
    ...memoryPool(),
    names: hosts(100),
    heapBefore: memory().heapUsed,
  }),
  run: ({ pool, names }) => together(100, (i) => pool.getConnection(names[i]!)),
  check({ pool, connector, heapBefore }) {
    assertEquals(connector.dials, 100);
    assertEquals(pool.size, 100);
    // The smallest: whatever else is allocated meanwhile only adds.
    const each = (memory().heapUsed - heapBefore) / 100;
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
  // Most of a run is a wait until connections are idle for long enough.
  hasRate: false,
  check({ pool, connector }) {
    assertEquals(pool.activeHosts, [HOST]);
    assertEquals(connector.dials, 100);
  },
  dials,
});

scenario({
  name: "stale connection detected and redialled, 1 ms dial",
  n: size(100, 5),
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
  // Like against like: the timer of the dial has a tail of its own.
  text: "p99 of a caller among 100 beyond that of one alone, 1 ms dial",
  actual(rows) {
    const [all, one] = [rows.get(callers), rows.get(oneCaller)];
    return all?.p99 && one?.p99 && all.p99 - one.p99;
  },
  atMost: 1,
  unit: "ms",
});
claim({
  text: "10 hosts at once over one 10 ms dial",
  actual: (rows) => {
    const row = rows.get(tenHosts);
    return row && row.p50 / 10;
  },
  atMost: 1.5,
});
