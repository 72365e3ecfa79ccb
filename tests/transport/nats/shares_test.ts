// How shards, and with them a hundred thousand hosts, are shared by fifty
// workers, and what moves when one of them dies.

import { assert, assertEquals } from "@std/assert";
import type { BusMessage, BusStatus } from "../../../transport/nats/bus.ts";
import {
  type Bus,
  type LeaseBucket,
  type LeaseEntry,
  Leases,
  type LeaseStore,
  type ShardOwner,
} from "../../../transport/nats/mod.ts";
import { NatsServer } from "../../kit/nats.ts";
import { shardOf } from "../../kit/shards.ts";
import { until } from "../../kit/until.ts";
import { testNats } from "./_kit.ts";

const SHARDS = 1_024;
const WORKERS = 50;
const HOSTS = 100_000;
/** The machine may be busy: nobody is to count as dead for that. */
const TTL_MS = 4_000;

testNats("a host has the shard that the server makes of it", async () => {
  await using server = await NatsServer.start({ shards: SHARDS });
  const bus = await server.connect();
  const found = new Map<string, number>();
  bus.subscribe("ssh.shard.*.*.*", {
    callback(_error, { subject }) {
      const [, , shard, group, host] = subject.split(".");
      found.set(`${group}.${host}`, Number(shard));
    },
  });
  const names = Array.from({ length: 200 }, (_, i) => `ops%40host-${i}`);
  for (const name of names) bus.publish(`ssh.dial.teama.${name}`);
  await bus.flush();
  await until(() => found.size === names.length);
  for (const name of names) {
    assertEquals(found.get(`teama.${name}`), shardOf(SHARDS, "teama", name));
  }
});

/** What a bucket has, for all who look at it. */
class Values {
  readonly entries = new Map<string, LeaseEntry>();
  readonly watches = new Set<(entry: LeaseEntry) => void>();
  #revision = 0;

  set(key: string, operation: "PUT" | "DEL", value = ""): number {
    const revision = ++this.#revision;
    const entry = { key, operation, revision, string: () => value };
    if (operation === "PUT") this.entries.set(key, entry);
    else this.entries.delete(key);
    for (const tell of this.watches) tell(entry);
    return revision;
  }
}

/** A store and a bus in memory, for as many workers as there are. */
class World {
  readonly dead = new Set<string>();
  readonly #buckets = new Map<string, Values>();

  /** What one worker sees of it: nothing any more once it is dead. */
  of(id: string): { readonly bus: Bus; readonly store: LeaseStore } {
    const alive = async () => {
      await Promise.resolve();
      if (this.dead.has(id)) throw new Error("dead");
    };
    const bus = {
      isClosed: () => false,
      flush: alive,
      status: () => never<BusStatus>(),
      async request(subject: string) {
        await alive();
        const [, , to = ""] = subject.split(".");
        if (world.dead.has(to)) throw new Error("no responders");
        return {} as BusMessage;
      },
    } as unknown as Bus;
    // deno-lint-ignore no-this-alias -- two of them are at work here
    const world = this;
    const store: LeaseStore = {
      create: (name) => Promise.resolve(bucket(world.#bucket(name), alive)),
    };
    return { bus, store };
  }

  #bucket(name: string): Values {
    const known = this.#buckets.get(name);
    if (known !== undefined) return known;
    const made = new Values();
    this.#buckets.set(name, made);
    return made;
  }
}

// deno-lint-ignore require-yield -- nothing ever happens
async function* never<T>(): AsyncGenerator<T> {
  await new Promise(() => {});
}

function bucket(values: Values, alive: () => Promise<void>): LeaseBucket {
  const expect = (key: string, revision: number | undefined) => {
    const is = values.entries.get(key)?.revision;
    if (is !== revision) throw new Error("wrong last sequence");
  };
  return {
    async put(key, value) {
      await alive();
      return values.set(key, "PUT", value);
    },
    async create(key, value) {
      await alive();
      expect(key, undefined);
      return values.set(key, "PUT", value);
    },
    async update(key, value, revision) {
      await alive();
      expect(key, revision);
      return values.set(key, "PUT", value);
    },
    async delete(key, options) {
      await alive();
      if (options?.previousSeq !== undefined) expect(key, options.previousSeq);
      values.set(key, "DEL");
    },
    async watch() {
      await alive();
      const queue = [...values.entries.values()];
      let wake = () => {};
      let isOver = false;
      const tell = (entry: LeaseEntry) => {
        queue.push(entry);
        wake();
      };
      values.watches.add(tell);
      return {
        stop() {
          isOver = true;
          values.watches.delete(tell);
          wake();
        },
        async *[Symbol.asyncIterator]() {
          while (!isOver) {
            const entry = queue.shift();
            if (entry !== undefined) yield entry;
            else await new Promise<void>((resolve) => wake = resolve);
          }
        },
      };
    },
  };
}

/** A worker, as far as its shards go. */
class Owner implements ShardOwner {
  readonly shardCount = SHARDS;
  readonly id: string;
  readonly #shards = new Set<number>();

  constructor(id: string) {
    this.id = id;
  }

  get shards(): readonly number[] {
    return [...this.#shards];
  }

  take(shard: number): void {
    this.#shards.add(shard);
  }

  give(shard: number): void {
    this.#shards.delete(shard);
  }
}

/** Whether each shard has one owner, and none has one more than another. */
function areEven(owners: readonly Owner[]): boolean {
  const counts = owners.map(({ shards }) => shards.length);
  const all = new Set(owners.flatMap(({ shards }) => shards));
  return all.size === SHARDS && counts.reduce((a, b) => a + b) === SHARDS &&
    Math.max(...counts) - Math.min(...counts) <= 1;
}

Deno.test("of 100,000 hosts on 50 workers, those of one that dies move, evenly, and no other", async () => {
  const world = new World();
  const workers = Array.from({ length: WORKERS }, (_, i) => {
    const owner = new Owner(`w${String(i).padStart(2, "0")}`);
    const { bus, store } = world.of(owner.id);
    const leases = new Leases(bus, store, {
      ttlMs: TTL_MS,
      movesAtOnce: SHARDS,
    });
    return { owner, leases };
  });
  await using _end = {
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map(({ leases }) => leases.stop()));
    },
  };
  await Promise.all(workers.map(({ owner, leases }) => leases.start(owner)));
  const owners = workers.map(({ owner }) => owner);
  await until(() => areEven(owners));

  const shardOfHost = Array.from(
    { length: HOSTS },
    (_, i) => shardOf(SHARDS, "teama", `ops%40host-${i}`),
  );
  /** Hosts of each shard's owner, checked to be spread. */
  const spread = (among: readonly Owner[]) => {
    const ownerOf = new Map(
      among.flatMap((it) => it.shards.map((shard) => [shard, it.id])),
    );
    const hosts = shardOfHost.map((shard) => ownerOf.get(shard));
    const counts = new Map<string | undefined, number>();
    for (const id of hosts) counts.set(id, (counts.get(id) ?? 0) + 1);
    const mean = HOSTS / among.length;
    for (const [id, count] of counts) {
      const off = Math.abs(count / mean - 1);
      assert(off <= 0.15, `${id} has ${count} hosts, the mean is ${mean}`);
    }
    return hosts;
  };
  const before = spread(owners);

  const { owner: dead } = workers[17]!;
  world.dead.add(dead.id);
  const alive = owners.filter((it) => it !== dead);
  await until(() => areEven(alive));
  const after = spread(alive);
  const moved = before.filter((id, i) => id !== after[i]).length;
  const lost = before.filter((id) => id === dead.id).length;
  assertEquals(moved, lost);
});
