// Leases over a real KV store: each shard has one owner, those of a worker that
// is gone are taken by the others, and a worker that joins gets its share.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Kvm } from "@nats-io/kv";
import { ConnectionPool } from "../../../pool/mod.ts";
import {
  fleetPool,
  FleetWorker,
  type LeaseBucket,
  Leases,
  type LeaseStore,
} from "../../../pool/nats.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { isNoResponders } from "../../../transport/nats/bus.ts";
import { type NatsConnection, NatsServer, SHARDS } from "../../kit/nats.ts";
import { until } from "../../kit/until.ts";
import { Ends, PING_MS, testNats } from "./_kit.ts";

const TTL_MS = 1_500;

/** A store that can be away, while the bus is there, and one of a cluster. */
class FadingStore implements LeaseStore {
  isAway = false;
  /** A server that has not heard of the latest changes looks keys up. */
  isBehind = false;
  /** So many shards cannot be given back. */
  stuck = 0;
  readonly #store: Kvm;

  constructor(store: Kvm) {
    this.#store = store;
  }

  async create(...args: Parameters<LeaseStore["create"]>) {
    const bucket = await this.#store.create(...args);
    const check = <T>(ask: () => Promise<T>): Promise<T> =>
      this.isAway ? Promise.reject(new Error("no leader")) : ask();
    return {
      put: (key, value) => check(() => bucket.put(key, value)),
      create: (key, value) =>
        check(async () =>
          this.isBehind && await bucket.get(key) !== null
            ? Promise.reject(new Error("wrong last sequence"))
            : await bucket.create(key, value)
        ),
      update: (key, value, revision) =>
        check(() => bucket.update(key, value, revision)),
      delete: (key, options) =>
        check(() =>
          this.stuck-- > 0
            ? Promise.reject(new Error("no leader"))
            : bucket.delete(key, options)
        ),
      watch: () => check(() => bucket.watch()),
    } satisfies LeaseBucket;
  }
}

/** Workers with leases, each over a bus of its own. */
async function site(ttlMs = TTL_MS) {
  const ends = new Ends();
  const server = ends.add(
    await NatsServer.start({ jetStream: true }),
    (it) => it[Symbol.asyncDispose](),
  );
  const memory = new MemoryConnector();
  const pool = ends.add(
    new ConnectionPool({ connector: memory }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  /** One that does not serve yet. */
  async function newWorker(id: string) {
    const bus: NatsConnection = await server.connect();
    const worker = new FleetWorker(bus, {
      id,
      pool,
      host: ({ name }) => name,
      shards: SHARDS,
      pingMs: PING_MS,
      freshMs: 60_000,
    });
    ends.add(worker, (it) => it.close({ drainTimeoutMs: 0 }));
    return { worker, bus };
  }
  async function addWorker(id: string) {
    const { worker, bus } = await newWorker(id);
    const store = new FadingStore(new Kvm(bus));
    await worker.serve(new Leases(bus, store, { ttlMs, movesAtOnce: 4 }));
    return { worker, bus, store };
  }
  return {
    server,
    memory,
    newWorker,
    addWorker,
    [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose](),
  };
}

/** Whether each shard has one owner, and none has more than its share. */
function areDealt(workers: readonly FleetWorker[]): boolean {
  const all = workers.flatMap(({ shards }) => shards);
  const fair = Math.ceil(SHARDS / workers.length);
  return all.length === SHARDS && new Set(all).size === SHARDS &&
    workers.every(({ shards }) => shards.length <= fair);
}

testNats(
  "Leases deal all shards, move some to a worker that joins, and those of one that died",
  async () => {
    await using fleet = await site();
    const one = await fleet.addWorker("w1");
    await until(() => areDealt([one.worker]));
    const two = await fleet.addWorker("w2");
    await until(() => areDealt([one.worker, two.worker]));
    const kept = new Set(one.worker.shards);
    await using pool = fleetPool(await fleet.server.connect(), {
      pingMs: PING_MS,
    });
    const hosts = Array.from({ length: 12 }, (_, i) => `ops@host-${i}`);
    await Promise.all(hosts.map((host) => pool.exec(host, "true")));
    const { begun } = two.worker.stats();
    assert(begun > 0 && one.worker.stats().begun > 0);
    // It dies without a word.
    await two.bus.close();
    await until(() => areDealt([one.worker]));
    for (const shard of kept) {
      assert(one.worker.shards.includes(shard), `shard ${shard} has moved`);
    }
    await Promise.all(hosts.map((host) => pool.exec(host, "true")));
    assertEquals(two.worker.stats().begun, begun);
  },
);

testNats("a worker that ends gives its shards back in order", async () => {
  await using fleet = await site();
  const one = await fleet.addWorker("w1");
  const two = await fleet.addWorker("w2");
  await until(() => areDealt([one.worker, two.worker]));
  await one.worker.close();
  assertEquals(one.worker.shards, []);
  // It is not counted any more, so that the other may have all of them.
  const workers = await new Kvm(two.bus).create("ssh_workers");
  assertEquals((await workers.get("w1"))?.operation, "DEL");
  await until(() => areDealt([two.worker]));
  await assertRejects(
    () => one.worker.serve({ index: 0, of: 1 }),
    TypeError,
    "closed",
  );
});

testNats(
  "a worker without its store stops by its own clock, and takes its own shards back",
  () => withTime(takeBack),
);

async function takeBack(ttlMs: number): Promise<void> {
  await using fleet = await site(ttlMs);
  const one = await fleet.addWorker("w1");
  const two = await fleet.addWorker("w2");
  await until(() => areDealt([one.worker, two.worker]));
  const before = [...one.worker.shards].sort();
  fleet.server.signal("SIGSTOP");
  await until(() => one.worker.shards.length === 0);
  await until(() => two.worker.shards.length === 0);
  fleet.server.signal("SIGCONT");
  await until(() => areDealt([one.worker, two.worker]));
  assertEquals([...one.worker.shards].sort(), before);
}

/**
 * A worker that is kept from its turn for a quarter of a lease has slept, as far
 * as it can tell: on a busy machine the leases have to be longer.
 */
async function withTime(body: (ttlMs: number) => Promise<void>): Promise<void> {
  try {
    await body(TTL_MS);
  } catch {
    await body(8 * TTL_MS);
  }
}

testNats(
  "workers serve on while their store is away, and agree when it is back",
  () => withTime(serveWithoutStore),
);

async function serveWithoutStore(ttlMs: number): Promise<void> {
  await using fleet = await site(ttlMs);
  const workers = [await fleet.addWorker("w1"), await fleet.addWorker("w2")];
  const all = workers.map(({ worker }) => worker);
  await until(() => areDealt(all));
  await using pool = fleetPool(await fleet.server.connect(), {
    pingMs: PING_MS,
  });
  const hosts = Array.from({ length: 12 }, (_, i) => `ops@host-${i}`);
  for (const { store } of workers) store.isAway = true;
  // Beyond the life of each lease, and of what others know of it.
  for (const end = performance.now() + 2 * ttlMs; performance.now() < end;) {
    await Promise.all(hosts.map((host) => pool.exec(host, "true")));
    assert(areDealt(all));
  }
  for (const { store } of workers) store.isAway = false;
  // A third that joins gets its share of both.
  const third = await fleet.addWorker("w3");
  await until(() => areDealt([...all, third.worker]));
  await Promise.all(hosts.map((host) => pool.exec(host, "true")));
}

testNats(
  "shards that were given back are taken though a server of the cluster is behind",
  async () => {
    await using fleet = await site();
    const one = await fleet.addWorker("w1");
    one.store.isBehind = true;
    await until(() => areDealt([one.worker]));
    const two = await fleet.addWorker("w2");
    two.store.isBehind = true;
    await until(() => areDealt([one.worker, two.worker]));
    await two.worker.close();
    await until(() => areDealt([one.worker]));
  },
);

testNats(
  "a shard that cannot be given back is given back later, and is not nobody's",
  async () => {
    await using fleet = await site();
    const one = await fleet.addWorker("w1");
    await until(() => areDealt([one.worker]));
    one.store.stuck = 6;
    const two = await fleet.addWorker("w2");
    await until(() => areDealt([one.worker, two.worker]));
    assert(one.store.stuck <= 0);
  },
);

testNats(
  "a worker whose store is not there says why, and ends as any other",
  async () => {
    await using fleet = await site();
    const { worker, bus } = await fleet.newWorker("w1");
    const why = () => Promise.reject(new Error("JetStream is not enabled"));
    await assertRejects(
      () => worker.serve(new Leases(bus, { create: why })),
      Error,
      "JetStream is not enabled; they need JetStream, which the line 'jetstream",
    );
    await worker.close();
    // It answers nobody any more.
    const asked = bus.request("ssh.w.w1.ping", undefined, { timeout: 5_000 });
    assert(isNoResponders(await asked.catch((error) => error)));
  },
);

testNats(
  "a worker that ends while its store is awaited begins nothing later",
  async () => {
    await using fleet = await site();
    const { worker, bus } = await fleet.newWorker("w1");
    const store = new Kvm(bus);
    const gate = Promise.withResolvers<void>();
    const serving = worker.serve(
      new Leases(bus, {
        create: (name, options) =>
          gate.promise.then(() => store.create(name, options)),
      }),
    );
    await worker.close();
    gate.resolve();
    await serving;
    const workers = await store.create("ssh_workers");
    assertEquals(await workers.get("w1"), null);
    assertEquals(worker.shards, []);
  },
);

testNats("a watch that comes too late is stopped", async () => {
  await using fleet = await site();
  const { worker, bus } = await fleet.newWorker("w1");
  const store = new Kvm(bus);
  const gate = Promise.withResolvers<void>();
  let opened = 0;
  let stopped = 0;
  const leases = new Leases(bus, {
    async create(...args) {
      const bucket = await store.create(...args);
      return {
        put: (key, value) => bucket.put(key, value),
        create: (key, value) => bucket.create(key, value),
        update: (key, value, revision) => bucket.update(key, value, revision),
        delete: (key, options) => bucket.delete(key, options),
        async watch() {
          // The first two are those that nobody waits for any more.
          if (++opened <= 2) await gate.promise;
          const watch = await bucket.watch();
          const stop = watch.stop.bind(watch);
          return Object.assign(watch, { stop: () => (stopped++, stop()) });
        },
      };
    },
  }, { ttlMs: TTL_MS });
  await worker.serve(leases);
  await until(() => areDealt([worker]));
  assertEquals([opened, stopped], [4, 0]);
  gate.resolve();
  await until(() => stopped === 2);
});

testNats(
  "a lease that another has taken is not given back by who had it before",
  async () => {
    await using fleet = await site();
    const { worker, bus } = await fleet.newWorker("w1");
    const store = new Kvm(bus);
    const leases = new Leases(bus, {
      async create(name, options) {
        const bucket = await store.create(name, options);
        return {
          put: (key, value) => bucket.put(key, value),
          create: (key, value) => bucket.create(key, value),
          update: (key, value, revision) => bucket.update(key, value, revision),
          watch: () => bucket.watch(),
          async delete(key, options) {
            if (name === "ssh_shards") await bucket.put(key, "w2");
            await bucket.delete(key, options);
          },
        };
      },
    }, { ttlMs: TTL_MS });
    await worker.serve(leases);
    await until(() => areDealt([worker]));
    await worker.close();
    const owners = await store.create("ssh_shards");
    for (let shard = 0; shard < SHARDS; shard++) {
      assertEquals((await owners.get(`${shard}`))?.string(), "w2");
    }
  },
);
