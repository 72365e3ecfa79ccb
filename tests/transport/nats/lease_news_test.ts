// What a worker makes of its own clock, and of the news of others: it stops in
// time, and goes by nothing that is old.

import { assert, assertEquals } from "@std/assert";
import { Freshness } from "../../../transport/nats/_freshness.ts";
import { LeaseNews } from "../../../transport/nats/_lease_news.ts";
import { LeaseTerm } from "../../../transport/nats/_lease_term.ts";
import {
  type LeaseBucket,
  type LeaseEntry,
  Leases,
} from "../../../transport/nats/mod.ts";
import { sleep } from "../../../transport/abort.ts";
import { FakeTime, flush } from "../../pool/_kit.ts";
import { MemoryBus } from "./_memory_bus.ts";

const TTL_MS = 4_000;

/** A term that has begun now, and what becomes of it. */
function startTerm(reachesBus: (ms: number) => Promise<boolean>) {
  let ends = 0;
  const term = new LeaseTerm(TTL_MS, reachesBus, () => void ends++);
  term.renew(performance.now());
  return { term, ends: () => ends };
}

Deno.test("LeaseTerm ends half a second before others may begin, however long the bus is silent", async () => {
  using time = new FakeTime();
  const { term, ends } = startTerm((ms) => sleep(ms).then(() => false));
  await time.advance(TTL_MS - 501);
  assertEquals([term.isOn, ends()], [true, 0]);
  await time.advance(1);
  assertEquals([term.isOn, ends(), time.pending], [false, 1, 0]);
});

Deno.test("LeaseTerm goes on where the bus answers, until it is stopped", async () => {
  using time = new FakeTime();
  const { term, ends } = startTerm(() => Promise.resolve(true));
  await time.advance(5 * TTL_MS);
  assertEquals([term.isOn, ends()], [true, 0]);
  term.stop();
  await time.advance(5 * TTL_MS);
  assertEquals([term.isOn, ends(), time.pending], [false, 0, 0]);
});

Deno.test("LeaseTerm ends if its process has slept, though the bus answers", async () => {
  using time = new FakeTime();
  let asked = 0;
  const { term, ends } = startTerm(() => Promise.resolve(++asked > 0));
  const now = performance.now;
  performance.now = () => now() + 2 * TTL_MS;
  await time.advance(TTL_MS);
  assertEquals([term.isOn, ends(), asked], [false, 1, 0]);
});

Deno.test("LeaseTerm does not begin with what was asked for too long ago", () => {
  using time = new FakeTime();
  const { term, ends } = startTerm(() => Promise.resolve(true));
  term.renew(performance.now() - TTL_MS + 500);
  assertEquals([term.isOn, ends(), time.pending], [false, 1, 0]);
});

Deno.test("Freshness counts from when the server was asked, not from its answer", async () => {
  using time = new FakeTime();
  const bus = new MemoryBus();
  const freshness = new Freshness(bus, 3_000);
  const gate = Promise.withResolvers<void>();
  bus.flushed = gate.promise;
  await time.advance(2_000);
  const proving = freshness.prove();
  await time.advance(2_000);
  assertEquals(freshness.isProven, false);
  // What is received now may have been sent up to two seconds ago.
  gate.resolve();
  await proving;
  assertEquals(freshness.isProven, true);
  await time.advance(1_000);
  assertEquals(freshness.isProven, false);
});

/** A bucket whose watch a test feeds and ends. */
class FedBucket implements LeaseBucket {
  readonly deleted: string[] = [];
  tell: (entry: LeaseEntry | undefined) => void = () => {};

  put = () => Promise.resolve(1);
  create = this.put;
  update = this.put;

  delete(key: string): Promise<void> {
    this.deleted.push(key);
    return Promise.resolve();
  }

  watch() {
    const queue: (LeaseEntry | undefined)[] = [];
    let wake = () => {};
    this.tell = (entry) => {
      queue.push(entry);
      wake();
    };
    const stop = () => this.tell(undefined);
    async function* entries() {
      for (;;) {
        while (queue.length === 0) {
          await new Promise<void>((resolve) => wake = resolve);
        }
        const entry = queue.shift();
        if (entry === undefined) return;
        yield entry;
      }
    }
    return Promise.resolve(Object.assign(entries(), { stop }));
  }
}

/** News of a worker that serves shard 3 of four. */
async function startNews() {
  const presence = new FedBucket();
  const owners = new FedBucket();
  const taken: number[] = [];
  const worker = {
    id: "w1",
    shardCount: 4,
    shards: [3],
    take: () => {},
    give: () => {},
  };
  const news = new LeaseNews({
    worker,
    bus: new MemoryBus(),
    prefix: "ssh",
    ttlMs: TTL_MS,
    presence,
    owners,
    within: (work) => work,
    onGone: () => {},
    onTaken: (shard) => void taken.push(shard),
    onError: () => {},
  });
  await news.watch();
  const own = (shard: number, owner: string, revision: number) => {
    const operation = "PUT";
    const key = `${shard}`;
    owners.tell({ key, operation, revision, string: () => owner });
    return flush();
  };
  return {
    news,
    presence,
    owners,
    taken,
    own,
    [Symbol.dispose]: () => news.stop(),
  };
}

Deno.test("LeaseNews believes nothing that is older than what it knows", async () => {
  using site = await startNews();
  site.news.leases.set(3, { owner: "w1", revision: 10 });
  await site.own(3, "w2", 9);
  assertEquals(site.news.leases.get(3)?.owner, "w1");
  assertEquals(site.taken, []);
  await site.own(3, "w2", 11);
  assertEquals(site.news.leases.get(3)?.owner, "w2");
  assertEquals(site.taken, [3]);
});

Deno.test("Leases looks for a shard that another has among its own only if it had it", async () => {
  using time = new FakeTime();
  const presence = new FedBucket();
  const owners = new FedBucket();
  const own = new Set<number>();
  const given: number[] = [];
  let looks = 0;
  const worker = {
    id: "w1",
    shardCount: 100,
    get shards() {
      looks++;
      return [...own];
    },
    take: (shard: number) => void own.add(shard),
    give: (shard: number) => void (own.delete(shard) && given.push(shard)),
  };
  const create = (name: string) =>
    Promise.resolve(name === "ssh_workers" ? presence : owners);
  const bus = new MemoryBus();
  const leases = new Leases(bus, { create }, { ttlMs: TTL_MS });
  const starting = leases.start(worker);
  await flush();
  const tell = (shard: number, revision: number) => {
    const operation = "PUT";
    owners.tell({ key: `${shard}`, operation, revision, string: () => "w2" });
    return flush();
  };
  for (let shard = 1; shard < 100; shard++) await tell(shard, 1);
  assert(looks < 10, `${looks} looks`);
  await time.advance(TTL_MS / 10);
  await starting;
  assertEquals([[...own], given], [[0], []]);
  await tell(0, 2);
  assertEquals([[...own], given], [[], [0]]);
  await leases.stop();
  bus.close();
});

Deno.test("LeaseNews is not fresh any more once a watch has ended by itself", async () => {
  for (const which of ["presence", "owners"] as const) {
    using site = await startNews();
    assert(site.news.isFresh);
    site[which].tell(undefined);
    await flush();
    assertEquals(site.news.isFresh, false);
  }
});

Deno.test("LeaseNews takes nobody for gone before it has heard of all, after a sleep too", async () => {
  using time = new FakeTime();
  using site = await startNews();
  const { news } = site;
  await site.own(0, "w2", 1);
  const none = new Set<number>();
  const others = () => news.free(new Set(["w1"]), new Set([3]), none).others;
  const awake = async (ms: number) => {
    for (let left = ms; left > 0; left -= TTL_MS / 4) {
      news.noteAwake(performance.now());
      await time.advance(TTL_MS / 4);
    }
  };
  // What nobody has ever had is free from the start.
  assertEquals(others(), [1, 2]);
  await awake(TTL_MS);
  assertEquals(others(), [1, 2]);
  await awake(TTL_MS / 4);
  assertEquals(others(), [0, 1, 2]);
  await time.advance(2 * TTL_MS);
  await awake(TTL_MS);
  assertEquals(others(), [1, 2]);
  await awake(TTL_MS / 4);
  assertEquals(others(), [0, 1, 2]);
});
