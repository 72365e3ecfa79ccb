/**
 * {@linkcode Leases}: which worker serves which shard, by leases in a KV store.
 *
 * @module
 */

import { abortable, Deadline, sleep } from "../abort.ts";
import { accepting, callback, count, duration } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";
import { type Bus, watchBus } from "./bus.ts";
import { isToken } from "./_frames.ts";
import { LeaseNews } from "./_lease_news.ts";
import type { LeaseBucket, LeaseStore } from "./lease_store.ts";
import { LeaseTerm } from "./_lease_term.ts";
import type { ShardOwner, ShardSource } from "./shards.ts";

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

/** The pause before a turn that cannot wait, in milliseconds. */
const HURRY_MS = 50;
/** So many times in the life of a lease a turn is tried that fails. */
const RETRIES = 12;
/** How many shards are asked for at once. */
const BATCH = 128;

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
  readonly #term: LeaseTerm;
  #worker!: ShardOwner;
  #presence!: LeaseBucket;
  #owners!: LeaseBucket;
  #news!: LeaseNews;
  /** Shards that this worker had, and may take back. */
  readonly #had = new Set<number>();
  /** Turns in a row in which somebody else was always faster. */
  #futile = 0;
  #loop: ReturnType<typeof setTimeout> | undefined;
  #unwatch: (() => void) | undefined;
  #isUrgent = false;
  #isOver = false;
  /** Ends what waits for an answer that may never come. */
  #link = new AbortController();
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
    this.#term = new LeaseTerm(
      this.#ttlMs,
      (ms) => this.#within(bus.flush(), ms).then(() => true, () => false),
      () => this.#worker.shards.forEach((shard) => this.#worker.give(shard)),
    );
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
    const ttlMs = this.#ttlMs;
    const prefix = this.#prefix;
    const bucket = (name: string, options: { readonly ttl?: number }) =>
      this.#store.create(`${prefix}_${name}`, { ...options, replicas })
        .catch(explain);
    this.#presence = await bucket("workers", { ttl: ttlMs });
    this.#owners = await bucket("shards", {});
    if (this.#isOver) return;
    this.#news = new LeaseNews({
      worker,
      bus: this.#bus,
      prefix,
      ttlMs,
      presence: this.#presence,
      owners: this.#owners,
      within: (work) => this.#within(work),
      onGone: () => this.#hurry(),
      onTaken: (shard) => this.#onTaken(shard),
      onError: (error) => this.#tell(error),
    });
    this.#unwatch = watchBus(this.#bus, {
      onDown: () => {},
      onUp: () => this.#onUp(),
      onRefused: () => {},
    });
    await this.#turn();
  }

  /** Gives all shards back, for others to take. */
  async stop(): Promise<void> {
    if (this.#isOver || this.#worker === undefined) return;
    this.#isOver = true;
    clearTimeout(this.#loop);
    this.#term.stop();
    this.#unwatch?.();
    await this.#running;
    await Promise.all(this.#worker.shards.map((shard) => this.#release(shard)));
    // There is neither if the store did not answer at the start.
    await this.#presence?.delete(this.#worker.id).catch(() => {});
    this.#news?.stop();
  }

  #tell(error: unknown): void {
    this.#options.onError?.(error);
  }

  /** The bus is back: what was asked before may have no answer. */
  #onUp(): void {
    this.#news.doubt();
    this.#link.abort(new Error("The bus was away"));
    this.#link = new AbortController();
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
    this.#term.renew(before);
    this.#news.noteAwake(before);
    if (!this.#news.isFresh) {
      await this.#news.watch();
      // What there is comes at once.
      await sleep(this.#ttlMs / 10);
    }
    if (this.#isOver) return;
    const live = this.#news.live();
    const fair = shareOf(live.indexOf(id), live.length, shardCount);
    if (shards.length > fair) {
      const { movesAtOnce = Math.ceil(shardCount / 64) } = this.#options;
      const count = Math.min(movesAtOnce, shards.length - fair);
      await Promise.all(
        shards.slice(0, count).map((shard) => this.#release(shard)),
      );
      return;
    }
    const { own, others } = this.#news.free(
      new Set(live),
      new Set(shards),
      this.#had,
    );
    const room = Math.min(BATCH, fair - shards.length);
    // Two that look at the same time ask for different ones.
    const wanted = [...own, ...shuffled(others)].slice(0, room);
    const taken = await this.#within(
      Promise.all(wanted.map((shard) => this.#take(shard))),
    );
    const isFutile = wanted.length > 0 && !taken.includes(true);
    this.#futile = isFutile ? this.#futile + 1 : 0;
    // Nobody is faster each time: what is known here is wrong.
    if (this.#futile >= 3) this.#news.doubt();
    // Leases of a former self beyond its share: nobody serves those.
    await Promise.all(own.slice(room).map((shard) => this.#release(shard)));
    // There are more: not in a third of the time, but now.
    if (wanted.length === BATCH && !isFutile && !this.#isOver) {
      await this.#tick();
    }
  }

  async #take(shard: number): Promise<boolean> {
    const { id } = this.#worker;
    const lease = this.#news.leases.get(shard);
    const key = String(shard);
    // What was given back is no new one: to make that the store looks it up, and
    // a server of a cluster may answer that with what it was before.
    try {
      const revision = lease === undefined
        ? await this.#owners.create(key, id)
        : await this.#owners.update(key, id, lease.revision);
      this.#news.leases.set(shard, { owner: id, revision });
      if (this.#term.isOn) {
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
    const lease = this.#news.leases.get(shard);
    this.#drop(shard);
    if (lease?.owner !== this.#worker.id) return;
    this.#news.leases.delete(shard);
    try {
      const previousSeq = lease.revision;
      await this.#owners.delete(String(shard), { previousSeq });
    } catch (error) {
      // It is this worker's as long as the others can tell: it has to go on.
      if (!this.#news.leases.has(shard)) this.#news.leases.set(shard, lease);
      this.#news.doubt();
      this.#tell(error);
    }
  }

  /** Another has a shard: what is not served here may still be wanted back. */
  #onTaken(shard: number): void {
    // There are as many leases as shards: not each is looked for among its own.
    if (!this.#had.has(shard)) return;
    if (this.#worker.shards.includes(shard)) this.#drop(shard);
  }

  /** Serves a shard no more, and does not want it back. */
  #drop(shard: number): void {
    this.#had.delete(shard);
    this.#worker.give(shard);
  }

  /** Waits for no longer than a lease lives, nor for what a break has lost. */
  async #within<T>(work: Promise<T>, ms = this.#ttlMs): Promise<T> {
    const late = () => new Error(`The leases do not answer within ${ms} ms`);
    const deadline = new Deadline(ms, late, this.#link.signal);
    try {
      return await abortable(work, deadline.signal);
    } finally {
      deadline.cancel();
    }
  }
}

/** Says what a server lacks that has no store. */
function explain(error: unknown): never {
  const { message } = error as Error;
  if (!/jetstream.* not enabled/i.test(message)) throw error;
  throw new Error(
    `Cannot serve by leases: ${message}; they need JetStream, which the line ` +
      "'jetstream { store_dir: \"/var/lib/nats\" }' of nats.conf turns on",
    { cause: error },
  );
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
