/**
 * The warm path against the resource pools of npm, and its cost as hosts and
 * waiters grow in number.
 *
 * The rivals hold one plain object, which is ready: what is timed is the
 * hand-out alone. Each is used as its README shows, with its own defaults.
 *
 * @module
 */

import { assertEquals, assertStrictEquals } from "@std/assert";
import { createPool } from "generic-pool";
import { Pool as LightningPool } from "lightning-pool";
import { Pool as TarnPool } from "tarn";
import type { ConnectionPool } from "../pool/mod.ts";
import { memoryPool, type PoolOverMemory } from "./kit/memory.ts";
import { claim, fastestRatio, reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";

reportOf(import.meta, "the warm path beside the resource pools of npm");

const BATCH = 1000;
const N = size(400, 100);
// Enough for the optimising compiler, in the short mode too: it takes 50 ms.
const WARMUP = 200;
const HOST = "ops@db1:22";
const group = "warm hand-out";

const RIVALS = ["generic-pool", "tarn", "lightning-pool"];

const common = { group, n: N, warmup: WARMUP, batch: BATCH };

/** Returns a warm pool: one host, one connection, dialled. */
async function warm(): Promise<PoolOverMemory> {
  const fixture = memoryPool();
  await fixture.pool.getConnection(HOST);
  return fixture;
}

const get = scenario({
  ...common,
  name: "sshpool getConnection",
  baseline: true,
  open: warm,
  async run({ pool }) {
    for (let i = 0; i < BATCH; i++) await pool.getConnection(HOST);
  },
  check: ({ connector }) => assertEquals(connector.dials, 1),
  dials: ({ connector }) => connector.dials,
});

const acquire = scenario({
  ...common,
  name: "sshpool acquire + release",
  open: warm,
  async run({ pool }) {
    for (let i = 0; i < BATCH; i++) (await pool.acquire(HOST)).release();
  },
  check({ pool, connector }) {
    assertEquals(connector.dials, 1);
    assertNoneWaits(pool);
  },
  dials: ({ connector }) => connector.dials,
});

const floor = scenario({
  ...common,
  name: "floor: await of a promise in a Map",
  open: () => new Map([[HOST, Promise.resolve({})]]),
  async run(memo) {
    for (let i = 0; i < BATCH; i++) await memo.get(HOST);
  },
});

/** What the three have in common once each is called its own way. */
interface Rival {
  handOut(times: number): Promise<Resource | undefined>;
}

interface Resource {
  readonly name: string;
}
const resource: Resource = { name: HOST };
const factory = {
  create: (): Promise<Resource> => Promise.resolve(resource),
  destroy: (): Promise<void> => Promise.resolve(),
};

const rivals: Record<string, () => Rival & AsyncDisposable> = {
  "generic-pool"() {
    const pool = createPool(factory, { max: 10 });
    return {
      async handOut(times) {
        let client: Resource | undefined;
        for (let i = 0; i < times; i++) {
          client = await pool.acquire();
          await pool.release(client);
        }
        return client;
      },
      async [Symbol.asyncDispose]() {
        await pool.drain();
        await pool.clear();
      },
    };
  },
  tarn() {
    const pool = new TarnPool<Resource>({ ...factory, min: 0, max: 10 });
    return {
      async handOut(times) {
        let client: Resource | undefined;
        for (let i = 0; i < times; i++) {
          client = await pool.acquire().promise;
          pool.release(client);
        }
        return client;
      },
      async [Symbol.asyncDispose]() {
        await pool.destroy();
      },
    };
  },
  "lightning-pool"() {
    const pool = new LightningPool<Resource>(factory, { max: 10 });
    pool.start();
    return {
      async handOut(times) {
        let client: Resource | undefined;
        for (let i = 0; i < times; i++) {
          client = await pool.acquire();
          pool.release(client);
        }
        return client;
      },
      async [Symbol.asyncDispose]() {
        await pool.close();
      },
    };
  },
};

const rivalKeys = RIVALS.map((name) =>
  scenario({
    ...common,
    name: `${name} acquire + release`,
    async open() {
      const rival = rivals[name]!();
      assertStrictEquals(await rival.handOut(1), resource);
      return rival;
    },
    run: async (rival) => void await rival.handOut(BATCH),
  })
);

claim({
  text: "acquire + release, the fastest of the three pools over sshpool",
  actual(rows) {
    const all = rivalKeys.map((key) => fastestRatio(rows, key, acquire));
    return all.includes(undefined) ? undefined : Math.min(...all as number[]);
  },
  atLeast: 3,
});
claim({
  text: "getConnection over the floor",
  actual: (rows) => fastestRatio(rows, get, floor),
  atMost: 2.5,
});
claim({
  text: "acquire + release over getConnection",
  actual: (rows) => fastestRatio(rows, acquire, get),
  atMost: 3,
});

// The curve over hosts: each acquire takes the next host of them all.
const HOSTS = [1, 100, size(10_000, 1000)];
const hostsName = (count: number) =>
  `${count.toLocaleString("en-US")} ${count === 1 ? "host" : "hosts"}`;

const overHosts = HOSTS.map((count) =>
  scenario({
    name: hostsName(count),
    group: "acquire + release, as hosts grow in number",
    baseline: count === 1,
    n: N,
    warmup: WARMUP,
    batch: BATCH,
    async open() {
      const fixture = memoryPool({
        maxConnections: count,
        maxConcurrentDials: 1000,
      });
      const names = Array.from({ length: count }, (_, i) => `ops@host${i}:22`);
      await Promise.all(names.map((name) => fixture.pool.getConnection(name)));
      return { ...fixture, names, next: 0 };
    },
    async run(fixture) {
      const { pool, names } = fixture;
      for (let i = 0; i < BATCH; i++) {
        const name = names[fixture.next++ % count]!;
        (await pool.acquire(name)).release();
      }
    },
    check({ connector, pool }) {
      assertEquals(connector.dials, count);
      assertEquals(pool.size, count);
    },
    dials: ({ connector }) => connector.dials,
  })
);

// The curve over waiters: so many callers at once for the one slot there is.
// A sample is one caller's share: the time of them all over their number.
const WAITERS = [1, 100, size(10_000, 1000)];
const waitersName = (count: number) =>
  `${count.toLocaleString("en-US")} ${count === 1 ? "waiter" : "waiters"}`;

const overWaiters = WAITERS.map((count) => {
  const rounds = Math.max(1, BATCH / count);
  return scenario({
    name: waitersName(count),
    group: "acquire + release, as waiters grow in number",
    baseline: count === 1,
    n: size(100, 5),
    warmup: size(20, 2),
    batch: rounds * count,
    async open() {
      const fixture = memoryPool({
        maxConnectionsPerHost: 1,
        maxSessionsPerConnection: 1,
      });
      await fixture.pool.getConnection(HOST);
      return { ...fixture, served: [] as number[] };
    },
    async run({ pool, served }) {
      for (let round = 0; round < rounds; round++) {
        served.length = 0;
        const first = await pool.acquire(HOST);
        const waiting = Array.from({ length: count }, async (_, i) => {
          const lease = await pool.acquire(HOST);
          served.push(i);
          lease.release();
        });
        first.release();
        await Promise.all(waiting);
      }
    },
    check({ pool, connector, served }) {
      assertEquals(connector.dials, 1);
      assertEquals(served, Array.from({ length: count }, (_, i) => i));
      assertNoneWaits(pool);
    },
    dials: ({ connector }) => connector.dials,
  });
});

// Nothing is searched, but 10,000 hosts are not in the processor's cache: 2.1.
claim({
  text: `acquire + release, ${HOSTS.at(-1)} hosts over 1`,
  actual: (rows) => fastestRatio(rows, overHosts.at(-1)!, overHosts[0]!),
  atMost: 3,
});
claim({
  text: `acquire + release, ${WAITERS.at(-1)} waiters over 1`,
  actual: (rows) => fastestRatio(rows, overWaiters.at(-1)!, overWaiters[0]!),
  atMost: 3,
});

function assertNoneWaits(pool: ConnectionPool): void {
  const { waiting, slotsInUse } = pool.stats();
  assertEquals({ waiting, slotsInUse }, { waiting: 0, slotsInUse: 0 });
}
