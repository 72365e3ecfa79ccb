/**
 * {@linkcode Leases}: which worker serves which shard, by leases in a KV store.
 *
 * @module
 */

import { sleep } from "../abort.ts";
import { accepting, callback, count, duration } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";
import { type Bus, isNoResponders, watchBus } from "./bus.ts";
import { isToken } from "./_frames.ts";
import type { ShardOwner, ShardSource } from "./shards.ts";

/** An entry of a bucket. */
export interface LeaseEntry {
  /** Its key. */
  readonly key: string;
  /** What happened to it: `"PUT"`, or it is gone. */
  readonly operation: string;
  /** Its number; each change has a higher one. */
  readonly revision: number;
  /** Its value as text. */
  string(): string;
}

/** A bucket of a KV store: that of `@nats-io/kv`. */
export interface LeaseBucket {
  /** Sets a value. */
  put(key: string, value: string): Promise<number>;
  /** Sets a value that there is not. */
  create(key: string, value: string): Promise<number>;
  /** Sets a value, if nobody else has since this revision. */
  update(key: string, value: string, revision: number): Promise<number>;
  /** Deletes a value, if nobody else has changed it since. */
  delete(
    key: string,
    options?: { readonly previousSeq?: number },
  ): Promise<void>;
  /** Gives what there is, and then each change. */
  watch(): Promise<AsyncIterable<LeaseEntry> & { stop(): void }>;
}

/** A KV store: a `Kvm` of `@nats-io/kv`. */
export interface LeaseStore {
  /** Opens a bucket, and makes it if there is none. */
  create(
    name: string,
    options?: { readonly ttl?: number; readonly replicas?: number },
  ): Promise<LeaseBucket>;
}

/** Options for {@linkcode Leases}. */
export interface LeasesOptions {
  /**
   * The first part of every subject, as of the worker.
   *
   * @default {"ssh"}
   */
  readonly prefix?: string;
  /**
   * How long a worker counts as alive that says nothing, in milliseconds. It
   * says that it is there three times as often.
   *
   * @default {3_000}
   */
  readonly ttlMs?: number;
  /**
   * How many servers of a cluster keep the leases.
   *
   * @default {1}
   */
  readonly replicas?: number;
  /**
   * How many shards a worker gives away at once, each third of `ttlMs`, when
   * another has joined. Default: a 64th of all.
   */
  readonly movesAtOnce?: number;
  /** Told of what fails, and is tried again. Must not throw. */
  readonly onError?: (error: unknown) => void;
}

const OPTIONS = new OptionTable<LeasesOptions>("make the leases", {
  prefix: accepting(
    "letters, digits, - and _",
    (value) => isToken(value) && !value.includes("%"),
  ),
  ttlMs: duration({ zero: false }),
  replicas: count,
  movesAtOnce: count,
  onError: callback,
});

/** By how much a worker stops before others may begin, in milliseconds. */
const MARGIN_MS = 500;
/** The pause before a turn that cannot wait, in milliseconds. */
const HURRY_MS = 50;
/** So many times in the life of a lease a turn is tried that fails. */
const RETRIES = 12;
/** So many times in the life of a lease the next of the ring is asked. */
const RING_PINGS = 12;
/** So often in a row nobody must listen there: a link that breaks is soon back. */
const ABSENT = 2;
/** How many shards are asked for at once. */
const BATCH = 128;

/** Who serves a shard: nobody, once it was given back. */
interface Lease {
  readonly owner: string | undefined;
  readonly revision: number;
}

/**
 * Deals the shards among the workers that there are: each takes its share, and
 * gives some away when another joins; those of a worker that died are taken by
 * the others. Leases say who dials a host, and nothing more: the bus gives each
 * request to one worker, so two owners at a time cost a connection, and no
 * command runs twice.
 *
 * A worker that slept, or that the bus does not answer, stops by its own clock
 * before its lease has run out. One whose store alone does not answer serves on:
 * a cluster is without it for some seconds when one of its servers dies, and
 * nobody can take a shard meanwhile. Shards that it had are taken back first, so
 * that a break of the bus moves few hosts.
 *
 * @example Usage
 * ```ts ignore
 * import { Kvm } from "@nats-io/kv";
 * import { FleetWorker, Leases } from "@sshpool/sshpool/nats";
 *
 * const worker = new FleetWorker(bus, { pool, host: ({ name }) => name });
 * await worker.serve(new Leases(bus, new Kvm(bus)));
 * ```
 */
export class Leases implements ShardSource {
  readonly #bus: Bus;
  readonly #store: LeaseStore;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #options: LeasesOptions;
  #worker!: ShardOwner;
  #presence!: LeaseBucket;
  #owners!: LeaseBucket;
  readonly #leases = new Map<number, Lease>();
  /** When each worker was last heard of. */
  readonly #seen = new Map<string, number>();
  /** Shards that this worker had, and may take back. */
  readonly #had = new Set<number>();
  #watches: { stop(): void }[] = [];
  /** Whether it hears of the others, and since when. */
  #hears = false;
  #hearsSince = 0;
  #tickedAt = 0;
  /** Turns in a row in which somebody else was always faster. */
  #futile = 0;
  #loop: ReturnType<typeof setTimeout> | undefined;
  #ring: ReturnType<typeof setInterval> | undefined;
  #isPinging = false;
  /** The next of the ring, if nobody listens there, and how often that was so. */
  #absent = { id: "", times: 0 };
  #lapse: ReturnType<typeof setTimeout> | undefined;
  #unwatch: (() => void) | undefined;
  #isLeased = false;
  #isUrgent = false;
  #isOver = false;
  /** Ends what waits for an answer that may never come. */
  readonly #waits = new Set<(error: Error) => void>();
  #running: Promise<void> = Promise.resolve();

  /**
   * Makes leases for one worker.
   *
   * @param bus The connection to the bus.
   * @param store Where the leases are.
   * @param options Their time, and how fast shards move.
   * @throws {TypeError | RangeError} If an option is unknown or wrong.
   */
  constructor(bus: Bus, store: LeaseStore, options: LeasesOptions = {}) {
    const given = OPTIONS.check(options);
    this.#bus = bus;
    this.#store = store;
    this.#options = given;
    this.#prefix = given.prefix ?? "ssh";
    this.#ttlMs = given.ttlMs ?? 3_000;
  }

  /**
   * Begins to take shards for a worker: `FleetWorker.serve()` calls it.
   *
   * @param worker The worker.
   * @returns Settles when it has its first shards, or there is none for it yet.
   */
  async start(worker: ShardOwner): Promise<void> {
    this.#worker = worker;
    const { replicas = 1 } = this.#options;
    const ttl = this.#ttlMs;
    this.#presence = await this.#store.create(`${this.#prefix}_workers`, {
      ttl,
      replicas,
    });
    this.#owners = await this.#store.create(`${this.#prefix}_shards`, {
      replicas,
    });
    this.#unwatch = watchBus(this.#bus, {
      onDown: () => {},
      onUp: () => this.#onUp(),
      onRefused: () => {},
    });
    const ringMs = this.#ttlMs / RING_PINGS;
    this.#ring = setInterval(() => void this.#pingNext(), ringMs);
    await this.#turn();
  }

  /** Gives all shards back, for others to take. */
  async stop(): Promise<void> {
    if (this.#isOver || this.#worker === undefined) return;
    this.#isOver = true;
    clearTimeout(this.#loop);
    clearTimeout(this.#lapse);
    clearInterval(this.#ring);
    this.#unwatch?.();
    await this.#running;
    await Promise.all(this.#worker.shards.map((shard) => this.#release(shard)));
    await this.#presence.delete(this.#worker.id).catch(() => {});
    for (const watch of this.#watches) watch.stop();
  }

  #tell(error: unknown): void {
    this.#options.onError?.(error);
  }

  /** Hears of workers and of leases; anew when the bus is back. */
  async #watch(): Promise<void> {
    for (const watch of this.#watches.splice(0)) watch.stop();
    const [workers, owners] = await this.#within(
      Promise.all([this.#presence.watch(), this.#owners.watch()]),
    );
    this.#watches = [workers, owners];
    this.#leases.clear();
    this.#seen.clear();
    this.#hears = true;
    this.#hearsSince = performance.now();
    void this.#follow(workers, ({ key, operation }) => {
      if (operation === "PUT") this.#seen.set(key, performance.now());
      else if (this.#seen.delete(key)) this.#hurry();
    });
    void this.#follow(owners, (entry) => this.#onLease(entry));
    if (this.#isOver) { for (const watch of this.#watches) watch.stop(); }
  }

  async #follow(
    entries: AsyncIterable<LeaseEntry> & { stop(): void },
    take: (entry: LeaseEntry) => void,
  ): Promise<void> {
    try {
      for await (const entry of entries) {
        if (this.#watches.includes(entries)) take(entry);
      }
    } catch (error) {
      this.#tell(error);
    }
    // A watch that ended by itself: who does not hear would go by old news.
    if (this.#watches.includes(entries)) this.#hears = false;
  }

  #onLease(entry: LeaseEntry): void {
    const shard = Number(entry.key);
    const { shardCount, id, shards } = this.#worker;
    if (!Number.isInteger(shard) || shard < 0 || shard >= shardCount) return;
    const known = this.#leases.get(shard);
    // Ours may be told after a later one that we made.
    if (known !== undefined && known.revision > entry.revision) return;
    const owner = entry.operation === "PUT" ? entry.string() : undefined;
    this.#leases.set(shard, { owner, revision: entry.revision });
    if (owner !== undefined && owner !== id && shards.includes(shard)) {
      this.#had.delete(shard);
      this.#worker.give(shard);
    }
  }

  /** The bus is back: what was asked before may have no answer. */
  #onUp(): void {
    this.#hears = false;
    for (const end of [...this.#waits]) end(new Error("The bus was away"));
    this.#hurry();
  }

  async #turn(): Promise<void> {
    let pauseMs = this.#ttlMs / 3;
    this.#running = this.#tick().catch((error) => {
      this.#tell(error);
      // Its store may not be ready yet.
      pauseMs = this.#ttlMs / RETRIES;
    });
    await this.#running;
    if (this.#isOver) return;
    if (this.#isUrgent) pauseMs = HURRY_MS;
    this.#isUrgent = false;
    this.#loop = setTimeout(
      () => {
        this.#loop = undefined;
        void this.#turn();
      },
      pauseMs,
    );
  }

  /** A worker has gone: its shards are looked for now, or right after this turn. */
  #hurry(): void {
    if (this.#isOver) return;
    if (this.#loop === undefined) {
      this.#isUrgent = true;
      return;
    }
    clearTimeout(this.#loop);
    this.#loop = undefined;
    void this.#turn();
  }

  async #tick(): Promise<void> {
    const { id, shards, shardCount } = this.#worker;
    const before = performance.now();
    await this.#within(this.#presence.put(id, id));
    if (this.#isOver) return;
    this.#renew(before);
    // After a sleep the others are heard again before they count as gone.
    if (before - this.#tickedAt > this.#ttlMs) this.#hearsSince = before;
    this.#tickedAt = before;
    if (!this.#hears) {
      await this.#watch();
      // What there is comes at once.
      await sleep(this.#ttlMs / 10);
    }
    if (this.#isOver) return;
    const live = this.#live();
    const fair = shareOf(live.indexOf(id), live.length, shardCount);
    if (shards.length > fair) {
      const { movesAtOnce = Math.ceil(shardCount / 64) } = this.#options;
      const count = Math.min(movesAtOnce, shards.length - fair);
      await Promise.all(
        shards.slice(0, count).map((shard) => this.#release(shard)),
      );
      return;
    }
    const { own, others } = this.#free(new Set(live), new Set(shards));
    const room = Math.min(BATCH, fair - shards.length);
    const wanted = [...own, ...others].slice(0, room);
    const taken = await this.#within(
      Promise.all(wanted.map((shard) => this.#take(shard))),
    );
    const isFutile = wanted.length > 0 && !taken.includes(true);
    this.#futile = isFutile ? this.#futile + 1 : 0;
    // Nobody is faster each time: what is known here is wrong.
    if (this.#futile >= 3) this.#hears = false;
    // Leases of a former self beyond its share: nobody serves those.
    await Promise.all(own.slice(room).map((shard) => this.#release(shard)));
    // There are more: not in a third of the time, but now.
    if (wanted.length === BATCH && !isFutile && !this.#isOver) {
      await this.#tick();
    }
  }

  /** The workers that are there, this one among them, in the order of the ring. */
  #live(): string[] {
    const oldest = performance.now() - this.#ttlMs;
    const all = new Set([this.#worker.id]);
    for (const [id, at] of this.#seen) {
      if (at >= oldest) all.add(id);
      else this.#seen.delete(id);
    }
    return [...all].sort();
  }

  /** Shards that nobody serves: those that this worker had, and the others. */
  #free(live: ReadonlySet<string>, mine: ReadonlySet<number>) {
    const { id, shardCount } = this.#worker;
    // Those who are there have to be heard first.
    const hasHeard = performance.now() - this.#hearsSince > this.#ttlMs;
    const own: number[] = [];
    const others: number[] = [];
    for (let shard = 0; shard < shardCount; shard++) {
      if (mine.has(shard)) continue;
      const owner = this.#leases.get(shard)?.owner;
      if (owner === id || (owner === undefined && this.#had.has(shard))) {
        own.push(shard);
      } else if (owner === undefined || (hasHeard && !live.has(owner))) {
        others.push(shard);
      }
    }
    // Two that look at the same time ask for different ones.
    return { own, others: shuffled(others) };
  }

  async #take(shard: number): Promise<boolean> {
    const { id } = this.#worker;
    const lease = this.#leases.get(shard);
    const key = String(shard);
    // What was given back is no new one: to make that the store looks it up, and
    // a server of a cluster may answer that with what it was before.
    try {
      const revision = lease === undefined
        ? await this.#owners.create(key, id)
        : await this.#owners.update(key, id, lease.revision);
      this.#leases.set(shard, { owner: id, revision });
      if (this.#isLeased && !this.#isOver) {
        this.#had.add(shard);
        this.#worker.take(shard);
      }
      return true;
    } catch {
      // Another was faster.
      return false;
    }
  }

  async #release(shard: number): Promise<void> {
    const lease = this.#leases.get(shard);
    this.#had.delete(shard);
    this.#worker.give(shard);
    if (lease?.owner !== this.#worker.id) return;
    this.#leases.delete(shard);
    try {
      const previousSeq = lease.revision;
      await this.#owners.delete(String(shard), { previousSeq });
    } catch (error) {
      // It is this worker's as long as the others can tell: it has to go on.
      if (!this.#leases.has(shard)) this.#leases.set(shard, lease);
      this.#hears = false;
      this.#tell(error);
    }
  }

  /** Arms the end of the lease, before anybody else may begin. */
  #renew(at: number): void {
    const margin = Math.min(MARGIN_MS, this.#ttlMs / 4);
    const leftMs = at + this.#ttlMs - margin - performance.now();
    this.#isLeased = leftMs > 0;
    if (this.#isLeased) this.#lapseAfter(leftMs);
    else this.#giveAll();
  }

  /** Asks the bus in time, and stops then unless that answers. */
  #lapseAfter(ms: number): void {
    clearTimeout(this.#lapse);
    const patienceMs = Math.min(ms, this.#ttlMs / 4);
    const due = performance.now() + ms - patienceMs;
    const lapse = setTimeout(async () => {
      // Too late: this process slept, and others have its shards by now.
      const hasSlept = performance.now() - due > patienceMs;
      const isReached = !hasSlept && await this.#reachesBus(patienceMs);
      if (this.#lapse !== lapse || this.#isOver) return;
      if (isReached) this.#lapseAfter(this.#ttlMs / 2);
      else this.#giveAll();
    }, ms - patienceMs);
    this.#lapse = lapse;
  }

  /** Whether the server of the bus answers in time. */
  async #reachesBus(ms: number): Promise<boolean> {
    try {
      await this.#within(this.#bus.flush(), ms);
      return true;
    } catch {
      return false;
    }
  }

  #giveAll(): void {
    clearTimeout(this.#lapse);
    this.#isLeased = false;
    for (const shard of this.#worker.shards) this.#worker.give(shard);
  }

  /** Sees soon that the next of the ring has left the bus. */
  async #pingNext(): Promise<void> {
    if (this.#isPinging || !this.#hears) return;
    const live = this.#live();
    if (live.length < 2) return;
    const at = live.indexOf(this.#worker.id);
    const id = live[(at + 1) % live.length]!;
    this.#isPinging = true;
    const isAbsent = await this.#isAbsentFromBus(id);
    this.#isPinging = false;
    const times = this.#absent.id === id ? this.#absent.times : 0;
    this.#absent = { id, times: isAbsent ? times + 1 : 0 };
    if (this.#absent.times < ABSENT || this.#isOver) return;
    if (this.#seen.delete(id)) this.#hurry();
    await this.#presence.delete(id).catch(() => {});
  }

  async #isAbsentFromBus(id: string): Promise<boolean> {
    const timeout = Math.max(1, this.#ttlMs / 6);
    try {
      const subject = `${this.#prefix}.w.${id}.ping`;
      await this.#bus.request(subject, undefined, { timeout });
      return false;
    } catch (error) {
      return isNoResponders(error);
    }
  }

  /** Waits for no longer than a lease lives, nor for what a break has lost. */
  #within<T>(work: Promise<T>, ms = this.#ttlMs): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waits.add(reject);
      const timer = setTimeout(
        () => reject(new Error(`The leases do not answer within ${ms} ms`)),
        ms,
      );
      const end = () => {
        clearTimeout(timer);
        this.#waits.delete(reject);
      };
      work.then(resolve, reject).finally(end);
    });
  }
}

/**
 * The share of one of so many workers, in the order of their names: equal, but
 * for the remainder, which goes to the first. When one leaves, the share of no
 * other shrinks; when one joins, that of no other grows: so what moves is what
 * has to.
 */
function shareOf(rank: number, workers: number, shards: number): number {
  const rest = shards % workers;
  return Math.floor(shards / workers) + (rank < rest ? 1 : 0);
}

function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
