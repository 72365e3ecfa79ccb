/**
 * Ends connections that are idle for too long or have lived for too long, with
 * one timer for all.
 *
 * @module
 */

import type { PooledConnection } from "./pooled_connection.ts";
import { EarliestTimer } from "../limits/timers.ts";

/** Ends what the sweeper finds. */
export interface IdleSweeperListener {
  /** A connection was idle for too long. */
  onIdle(pooled: PooledConnection): void;
  /** Called at each tick while there are connections. */
  onTick(): void;
}

/**
 * The connections, each with the number of its last use.
 *
 * A use is what the pool does most often, so it costs two writes to that
 * connection: it reads no clock, which takes longer than all the rest, and it
 * moves nothing in a list, which with ten thousand hosts would touch three
 * connections that no processor cache holds. At each tick the timer asks every
 * connection since when it is idle, which is the first tick after its last use.
 * So an idle connection ends no earlier than its timeout, and one tick later at
 * most. The least recently used one is only looked for when one has to go: a
 * dial follows, which takes a thousand times as long.
 */
export class IdleSweeper {
  readonly #connections = new Set<PooledConnection>();
  readonly #idleTimeoutMs: number;
  readonly #lifetimeMs: number;
  readonly #listener: IdleSweeperListener;
  #uses = 0;
  /** Unref'd: nobody waits for it, and it must not keep a program alive. */
  readonly #timer = new EarliestTimer(() => this.#onTimer(), { isUnref: true });
  /** Whether a tick is due soon enough for what is handed out now. */
  #tickIsNear = false;

  constructor(
    options: { idleTimeoutMs: number; maxLifetimeMs: number },
    listener: IdleSweeperListener,
  ) {
    this.#idleTimeoutMs = options.idleTimeoutMs;
    this.#lifetimeMs = options.maxLifetimeMs;
    this.#listener = listener;
  }

  /** Returns the least recently used of the idle connections that are counted. */
  leastRecent(): PooledConnection | undefined {
    let oldest: PooledConnection | undefined;
    for (const pooled of this.#connections) {
      if (
        (oldest === undefined || pooled.lastUse < oldest.lastUse) &&
        pooled.isCounted && !pooled.isBusy
      ) oldest = pooled;
    }
    return oldest;
  }

  /** Adds a new connection. */
  add(pooled: PooledConnection): void {
    this.#connections.add(pooled);
    this.markUsed(pooled);
    if (this.#lifetimeMs > 0) this.#timer.arm(this.#ageTick);
  }

  /** Notes that a connection went idle, or was handed out while it was idle. */
  markUsed(pooled: PooledConnection): void {
    pooled.markUsed(++this.#uses);
    if (this.#tickIsNear) return;
    this.#tickIsNear = true;
    if (this.#idleTimeoutMs > 0) this.#timer.arm(this.#tick);
  }

  /** Removes a connection that is gone. With the last one the timer goes too. */
  remove(pooled: PooledConnection): void {
    if (!this.#connections.delete(pooled)) return;
    if (this.#connections.size === 0) this.stop();
  }

  /** Ends the timer. */
  stop(): void {
    this.#timer.clear();
    this.#tickIsNear = false;
  }

  get #tick(): number {
    return Math.max(1, this.#idleTimeoutMs / 8);
  }

  get #ageTick(): number {
    return Math.max(1, this.#lifetimeMs / 20);
  }

  #onTimer(): void {
    this.#tickIsNear = false;
    this.#listener.onTick();
    const now = performance.now();
    const dueAt = this.#idleTimeoutMs > 0 ? this.#endIdle(now) : Infinity;
    if (this.#lifetimeMs > 0) this.#endExpired(now);
    // Ending connections may have armed it anew for others, or ended it all.
    if (this.#connections.size > 0 && dueAt < Infinity) {
      this.#timer.arm(Math.max(1, dueAt - now));
    }
  }

  /** Ends those that are due. Returns when the next one is. */
  #endIdle(now: number): number {
    let dueAt = Infinity;
    for (const pooled of [...this.#connections]) {
      const idleSince = pooled.idleSince(now);
      const endsAt = idleSince + this.#idleTimeoutMs;
      if (endsAt <= now) this.#listener.onIdle(pooled);
      else dueAt = Math.min(dueAt, endsAt);
    }
    return dueAt;
  }

  #endExpired(now: number): void {
    for (const pooled of [...this.#connections]) {
      pooled.expire(now);
    }
    if (this.#connections.size > 0) this.#timer.arm(this.#ageTick);
  }
}
