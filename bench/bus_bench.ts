/**
 * A pool behind a bus, beside the same pool without one: warm commands, many at
 * once, a host that another program uses, bulk output, and what they cost; and
 * a hundred thousand hosts on fifty workers, of which one dies.
 *
 * Client and worker are one process here, so that its processor time is that of
 * both; the server of the bus is not counted.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { ConnectionPool, type SshHost } from "../mod.ts";
import { MemoryConnector } from "../transport/testing/mod.ts";
import { shardOf } from "../tests/kit/shards.ts";
import { natsHint, noNats, openBus } from "./kit/bus.ts";
import { memory } from "./kit/memory.ts";
import { scenario, size } from "./kit/scenario.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import {
  claim,
  fact,
  factValue,
  rateRatio,
  ratio,
  reportOf,
} from "./report/report.ts";

reportOf(import.meta, "a pool behind a bus");

const ignore = noSshd || noNats;
const hint = `${sshdHint}${noSshd ? "" : natsHint}`;

/** Runs commands on a host, directly or over the bus. */
interface Way extends AsyncDisposable {
  readonly pool: ConnectionPool;
  readonly host: string | SshHost;
}

async function direct(): Promise<Way> {
  const pool = new ConnectionPool({ config: false });
  const host = (await sharedSshd()).host();
  await pool.exec(host, "true", { check: true });
  return { pool, host, [Symbol.asyncDispose]: () => pool.close() };
}

/** A worker that has the one host under every name. */
async function workerSite() {
  const host = (await sharedSshd()).host();
  const pool = new ConnectionPool({ config: false });
  const bus = await openBus({
    pool,
    host: ({ name }) => ({ ...host, hostKeyAlias: name }),
  });
  return {
    bus,
    pool,
    async [Symbol.asyncDispose]() {
      await bus[Symbol.asyncDispose]();
      await pool.close();
    },
  };
}

async function overBus(): Promise<Way> {
  const site = await workerSite();
  const pool = await site.bus.client();
  await pool.exec("web-1", "true", { check: true });
  return {
    pool,
    host: "web-1",
    [Symbol.asyncDispose]: () => site[Symbol.asyncDispose](),
  };
}

const WAYS = { direct, "over the bus": overBus } as const;

function both(
  spec: Omit<Parameters<typeof scenario<Way>>[0], "name" | "open">,
): [string, string] {
  return Object.entries(WAYS).map(([name, open], i) =>
    scenario({ ...spec, ignore, name, baseline: i === 0, open })
  ) as [string, string];
}

const [warmDirect, warmBus] = both({
  group: `warm exec("true")${hint}`,
  n: size(300, 10),
  warmup: size(20, 1),
  run: async ({ pool, host }) =>
    void await pool.exec(host, "true", { check: true }),
});

const MANY = size(1_000, 64);
const cpuFact = (callers: number, name: string) =>
  `processor time of a command of ${callers} callers, ${name}`;

async function runMany({ pool, host }: Way, callers: number): Promise<void> {
  let left = MANY;
  await Promise.all(Array.from({ length: callers }, async () => {
    while (left-- > 0) await pool.exec(host, "true", { check: true });
  }));
}

/** The least that a command has taken, of several runs. */
async function measureCpu(name: string, way: Way, callers: number) {
  const before = process.cpuUsage();
  await runMany(way, callers);
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000 / MANY;
  const known = factValue(cpuFact(callers, name)) ?? Infinity;
  fact(cpuFact(callers, name), Math.min(ms, known), "ms");
}

/** As many as have a slot each, and so many that most of them wait. */
const CALLERS = { few: 8, many: 64 } as const;
const [, [manyDirect, manyBus]] = Object.values(CALLERS).map((callers) => {
  const group = `${MANY} commands of ${callers} callers${hint}`;
  const shared = { group, ignore, n: size(4, 1), batch: MANY };
  return [
    scenario({
      ...shared,
      name: "direct",
      baseline: true,
      open: direct,
      run: (way) => runMany(way, callers),
    }),
    scenario({
      ...shared,
      name: "over the bus",
      async open() {
        const [own, bus] = [await direct(), await overBus()];
        return {
          own,
          bus,
          async [Symbol.asyncDispose]() {
            await bus[Symbol.asyncDispose]();
            await own[Symbol.asyncDispose]();
          },
        };
      },
      run: ({ bus }) => runMany(bus, callers),
      // In turns: what else runs on the machine makes both of them dearer.
      async check({ own, bus }) {
        await measureCpu("direct", own, callers);
        await measureCpu("over the bus", bus, callers);
      },
    }),
  ];
}) as [[string, string], [string, string]];

const BYTES = size(64 * 1024 * 1024, 1024 * 1024);
const [bulkDirect, bulkBus] = both({
  group: `${BYTES / 1024 / 1024} MiB of output${hint}`,
  n: size(4, 1),
  bytes: BYTES,
  async run({ pool, host }) {
    const { stdout } = await pool.exec(host, `head -c ${BYTES} /dev/zero`, {
      encoding: "bytes",
      maxOutputBytes: Infinity,
    });
    assertEquals(stdout.length, BYTES);
  },
});

const first = { group: `the first command on a host${hint}`, n: size(20, 2) };
scenario({
  ...first,
  ignore,
  name: "direct",
  baseline: true,
  fresh: true,
  async open() {
    const pool = new ConnectionPool({ config: false });
    const host = (await sharedSshd()).host();
    return { pool, host, [Symbol.asyncDispose]: () => pool.close() };
  },
  run: async ({ pool, host }) => void await pool.exec(host, "true"),
});
scenario({
  ...first,
  ignore,
  name: "over the bus, another client uses it",
  fresh: true,
  async open() {
    const site = await workerSite();
    await (await site.bus.client()).exec("web-1", "true");
    const pool = await site.bus.client();
    return { pool, [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() };
  },
  run: async ({ pool }) => void await pool.exec("web-1", "true"),
});

const CLIENTS = 20;
const PER_HOST = "most connections to a host, for 200 commands of 20 clients";
scenario({
  group: `200 commands of ${CLIENTS} clients on 10 hosts${hint}`,
  name: "over the bus",
  ignore,
  n: size(3, 1),
  fresh: true,
  async open() {
    const dials = new Map<string, number>();
    const pool = new ConnectionPool({
      config: false,
      observer(event) {
        if (event.type !== "dial") return;
        dials.set(event.host, (dials.get(event.host) ?? 0) + 1);
      },
    });
    // 127.0.1.1 and so on: each a host of its own.
    const sshd = await sharedSshd({ listen: "0.0.0.0" });
    const bus = await openBus({
      pool,
      host: ({ name }) => sshd.host({ hostname: name }),
    });
    const clients = [];
    for (let i = 0; i < CLIENTS; i++) clients.push(await bus.client());
    return {
      dials,
      clients,
      async [Symbol.asyncDispose]() {
        await bus[Symbol.asyncDispose]();
        await pool.close();
      },
    };
  },
  run: async ({ clients }) =>
    void await Promise.all(clients.flatMap((pool) =>
      Array.from(
        { length: 10 },
        (_, i) => pool.exec(`127.0.1.${i + 1}`, "true", { check: true }),
      )
    )),
  check({ dials }) {
    const most = Math.max(...dials.values(), factValue(PER_HOST) ?? 0);
    fact(PER_HOST, most, "");
  },
});

const VIRTUAL = size(1_000, 200);
const PER_VIRTUAL = "memory of a virtual connection, client and worker";
scenario({
  group: `a client connects to ${VIRTUAL} hosts that others use`,
  name: "over the bus, on fake hosts",
  ignore: noNats,
  n: 1,
  warmup: 0,
  fresh: true,
  async open() {
    const pool = new ConnectionPool({
      connector: new MemoryConnector(),
      maxConnections: Infinity,
    });
    const bus = await openBus({ pool, host: ({ name }) => name });
    const names = Array.from({ length: VIRTUAL }, (_, i) => `ops@host-${i}`);
    const connectAll = async () => {
      const client = await bus.client({ maxConnections: Infinity });
      await Promise.all(names.map((name) => client.getConnection(name)));
    };
    await connectAll();
    // What a first collection has finalized is collected by the second.
    memory();
    return {
      before: memory(),
      connectAll,
      async [Symbol.asyncDispose]() {
        await bus[Symbol.asyncDispose]();
        await pool.close();
      },
    };
  },
  run: ({ connectAll }) => connectAll(),
  check({ before }) {
    memory();
    const grown = memory().inUse - before.inUse;
    fact(PER_VIRTUAL, grown / VIRTUAL / 1024, "KiB");
  },
});

const HOSTS = size(100_000, 5_000);
const WORKERS = 50;
const SHARDS = 1_024;

const hostsOf = (shards: ReadonlySet<number>) =>
  Array.from({ length: HOSTS }, (_, i) => `ops@host-${i}`)
    .filter((name) => shards.has(shardOf(SHARDS, "teama", name)));

const MOVED = "hosts of others that are dialled again when a worker dies";
const SPREAD = "the busiest worker over the mean, after one of 50 has died";
const PER_HOST_KIB = "memory of the pools per host, over a fake";

/** Fifty pools, each with its shards; the first one dies. */
scenario({
  group: `${HOSTS} hosts on ${WORKERS} workers`,
  name: "one dies, and its hosts are used",
  n: 1,
  warmup: 0,
  fresh: true,
  async open() {
    const before = await memory();
    const workers = Array.from({ length: WORKERS }, (_, index) => {
      const connector = new MemoryConnector();
      const shards = new Set<number>();
      for (let i = index; i < SHARDS; i += WORKERS) shards.add(i);
      const pool = new ConnectionPool({
        connector,
        maxConnections: Infinity,
        idleTimeoutMs: 0,
        keepaliveIntervalMs: 0,
      });
      return { connector, shards, pool };
    });
    await Promise.all(
      workers.map(({ pool, shards }) =>
        Promise.all(hostsOf(shards).map((name) => pool.exec(name, "true")))
      ),
    );
    const { inUse } = await memory();
    fact(PER_HOST_KIB, (inUse - before.inUse) / HOSTS / 1024, "KiB");
    return {
      workers,
      async [Symbol.asyncDispose]() {
        await Promise.all(workers.map(({ pool }) => pool.close()));
      },
    };
  },
  async run({ workers }) {
    const [dead, ...alive] = workers;
    await dead!.pool.close({ drainTimeoutMs: 0 });
    // Its shards are dealt to those that have least.
    const sorted = alive.sort((a, b) => a.shards.size - b.shards.size);
    [...dead!.shards].forEach((shard, i) =>
      sorted[i % sorted.length]!.shards.add(shard)
    );
    await Promise.all(
      alive.map(({ pool, shards }) =>
        Promise.all(hostsOf(shards).map((name) => pool.exec(name, "true")))
      ),
    );
  },
  check({ workers }) {
    const [dead, ...alive] = workers;
    const all = workers.reduce((sum, it) => sum + it.connector.dials, 0);
    const moved = all - HOSTS - hostsOf(dead!.shards).length;
    fact(MOVED, moved, "");
    const most = Math.max(...alive.map(({ pool }) => pool.size));
    fact(SPREAD, most / (HOSTS / alive.length), "times");
    for (const { connector } of alive) {
      assert(connector.maxDialsInFlight <= 32, "dials are throttled");
    }
  },
});

claim({
  text: "warm exec, the time over the bus over that of a direct pool",
  actual: (rows) => ratio(rows, warmBus, warmDirect),
  atMost: 1.6,
});
const cpuRatio = (callers: number) => {
  const [bus, own] = ["over the bus", "direct"].map((name) =>
    factValue(cpuFact(callers, name))
  );
  return bus === undefined || own === undefined ? undefined : bus / own;
};
claim({
  text: "processor time of a command, over the bus over direct",
  actual: () => cpuRatio(CALLERS.few),
  atMost: 2.2,
});
claim({
  text: "the same where each waits, which takes a second word over the bus",
  actual: () => cpuRatio(CALLERS.many),
  atMost: 3,
});
claim({
  text: "commands of many callers, the rate over the bus over that of a pool",
  actual: (rows) => rateRatio(rows, manyBus, manyDirect),
  atLeast: 0.6,
});
claim({
  text: "bulk output, the rate over the bus over that of a direct pool",
  actual: (rows) => rateRatio(rows, bulkBus, bulkDirect),
  atLeast: 0.25,
});
claim({ text: PER_VIRTUAL, actual: () => factValue(PER_VIRTUAL), atMost: 48 });
claim({ text: PER_HOST, actual: () => factValue(PER_HOST), atMost: 2 });
claim({ text: MOVED, actual: () => factValue(MOVED), atMost: 0 });
claim({ text: SPREAD, actual: () => factValue(SPREAD), atMost: 1.15 });
