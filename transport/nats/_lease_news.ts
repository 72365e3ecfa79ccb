/**
 * What a worker hears of the others: who is there, and who has which shard.
 *
 * @module
 */

import { type Bus, isNoResponders } from "./bus.ts";
import type { LeaseBucket, LeaseEntry } from "./lease_store.ts";
import type { ShardOwner } from "./shards.ts";

/** So many times in the life of a lease the next of the ring is asked. */
const RING_PINGS = 12;
/** So often in a row nobody must listen there: a link that breaks is soon back. */
const ABSENT = 2;

/** Who serves a shard: nobody, once it was given back. */
interface Lease {
  readonly owner: string | undefined;
  readonly revision: number;
}

/** What news are made of, and who is told of them. */
export interface LeaseNewsParts {
  readonly worker: ShardOwner;
  readonly bus: Bus;
  readonly prefix: string;
  readonly ttlMs: number;
  /** The bucket of the workers that there are. */
  readonly presence: LeaseBucket;
  /** The bucket of the owners of shards. */
  readonly owners: LeaseBucket;
  /** Waits for the store, for no longer than that may take. */
  within<T>(work: Promise<T>): Promise<T>;
  /** A worker has gone. */
  onGone(): void;
  /** Another has a shard, which this worker may serve. */
  onTaken(shard: number): void;
  onError(error: unknown): void;
}

type Watch = AsyncIterable<LeaseEntry> & { stop(): void };

/**
 * Follows both buckets. That a worker has left the bus is seen sooner: each asks
 * the next one of the ring whether it is there.
 */
export class LeaseNews {
  /** What is known of each shard; who changes a lease notes it here. */
  readonly leases = new Map<number, Lease>();
  readonly #parts: LeaseNewsParts;
  /** When each worker was last heard of. */
  readonly #seen = new Map<string, number>();
  #watches: Watch[] = [];
  #isFresh = false;
  /** Since when it hears of the others. */
  #since = 0;
  #awakeAt = 0;
  readonly #ring: ReturnType<typeof setInterval>;
  #isPinging = false;
  #isOver = false;
  /** The next of the ring, if nobody listens there, and how often that was so. */
  #absent = { id: "", times: 0 };

  constructor(parts: LeaseNewsParts) {
    this.#parts = parts;
    const pauseMs = parts.ttlMs / RING_PINGS;
    this.#ring = setInterval(() => void this.#pingNext(), pauseMs);
  }

  /** Whether it hears of the others: if not, it would go by old news. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  /** Hears all of it anew. */
  async watch(): Promise<void> {
    this.#unwatch();
    const { presence, owners, within, onGone } = this.#parts;
    const opening = [presence.watch(), owners.watch()] as const;
    const watches = await within(Promise.all(opening)).catch((error) => {
      // One that comes too late has nobody who stops it.
      for (const it of opening) it.then((late) => late.stop(), () => {});
      throw error;
    });
    this.#watches = watches;
    this.leases.clear();
    this.#seen.clear();
    this.#isFresh = true;
    this.#since = performance.now();
    void this.#follow(watches[0], ({ key, operation }) => {
      if (operation === "PUT") this.#seen.set(key, performance.now());
      else if (this.#seen.delete(key)) onGone();
    });
    void this.#follow(watches[1], (entry) => this.#onLease(entry));
  }

  /** Hears no more, and asks nobody. */
  stop(): void {
    this.#isOver = true;
    clearInterval(this.#ring);
    this.#unwatch();
  }

  /** What is known here may be wrong, or too little. */
  doubt(): void {
    this.#isFresh = false;
  }

  /** After a sleep the others are heard again before they count as gone. */
  noteAwake(at: number): void {
    if (at - this.#awakeAt > this.#parts.ttlMs) this.#since = at;
    this.#awakeAt = at;
  }

  /** The workers that are there, this one among them, in the order of the ring. */
  live(): string[] {
    const { ttlMs, worker } = this.#parts;
    const oldest = performance.now() - ttlMs;
    const all = new Set([worker.id]);
    for (const [id, at] of this.#seen) {
      if (at >= oldest) all.add(id);
      else this.#seen.delete(id);
    }
    return [...all].sort();
  }

  /**
   * Shards that nobody serves: those that this worker had, and the others.
   *
   * @param live The workers that are there.
   * @param mine Shards that this worker serves.
   * @param had Shards that it may take back.
   */
  free(
    live: ReadonlySet<string>,
    mine: ReadonlySet<number>,
    had: ReadonlySet<number>,
  ) {
    const { id, shardCount } = this.#parts.worker;
    // Those who are there have to be heard first.
    const hasHeard = performance.now() - this.#since > this.#parts.ttlMs;
    const own: number[] = [];
    const others: number[] = [];
    for (let shard = 0; shard < shardCount; shard++) {
      if (mine.has(shard)) continue;
      const owner = this.leases.get(shard)?.owner;
      if (owner === id || (owner === undefined && had.has(shard))) {
        own.push(shard);
      } else if (owner === undefined || (hasHeard && !live.has(owner))) {
        others.push(shard);
      }
    }
    return { own, others };
  }

  #unwatch(): void {
    for (const watch of this.#watches.splice(0)) watch.stop();
  }

  async #follow(
    entries: Watch,
    take: (entry: LeaseEntry) => void,
  ): Promise<void> {
    try {
      for await (const entry of entries) {
        if (this.#watches.includes(entries)) take(entry);
      }
    } catch (error) {
      this.#parts.onError(error);
    }
    // A watch that ended by itself.
    if (this.#watches.includes(entries)) this.doubt();
  }

  #onLease(entry: LeaseEntry): void {
    const shard = Number(entry.key);
    const { shardCount, id } = this.#parts.worker;
    if (!Number.isInteger(shard) || shard < 0 || shard >= shardCount) return;
    const known = this.leases.get(shard);
    // Ours may be told after a later one that we made.
    if (known !== undefined && known.revision > entry.revision) return;
    const owner = entry.operation === "PUT" ? entry.string() : undefined;
    this.leases.set(shard, { owner, revision: entry.revision });
    if (owner !== undefined && owner !== id) this.#parts.onTaken(shard);
  }

  /** Sees soon that the next of the ring has left the bus. */
  async #pingNext(): Promise<void> {
    if (this.#isPinging || !this.#isFresh) return;
    const { worker, presence, onGone } = this.#parts;
    const live = this.live();
    if (live.length < 2) return;
    const id = live[(live.indexOf(worker.id) + 1) % live.length]!;
    this.#isPinging = true;
    const isAbsent = await this.#isAbsentFromBus(id);
    this.#isPinging = false;
    const times = this.#absent.id === id ? this.#absent.times : 0;
    this.#absent = { id, times: isAbsent ? times + 1 : 0 };
    if (this.#absent.times < ABSENT || this.#isOver) return;
    if (this.#seen.delete(id)) onGone();
    await presence.delete(id).catch(() => {});
  }

  async #isAbsentFromBus(id: string): Promise<boolean> {
    const { bus, prefix, ttlMs } = this.#parts;
    const timeout = Math.max(1, ttlMs / 6);
    try {
      await bus.request(`${prefix}.w.${id}.ping`, undefined, { timeout });
      return false;
    } catch (error) {
      return isNoResponders(error);
    }
  }
}
