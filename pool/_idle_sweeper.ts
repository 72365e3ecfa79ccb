/**
 * The order in which connections were last used, and the one timer that ends
 * those that stay idle for too long or live for too long.
 *
 * @module
 */

import type { PooledConnection } from "./_pooled_connection.ts";
import { unref } from "./_timers.ts";

/** What the sweeper does with what it finds. */
export interface Sweep {
  /** Ends a connection that was idle for too long. */
  onIdle(pooled: PooledConnection): void;
  /** Told at each tick while there are connections. */
  onTick(now: number): void;
  /** Told at each tick while connections have a lifetime, to look at their age. */
  onAgeTick(now: number): void;
}

/**
 * The connections, each with the number of its last use.
 *
 * A use is the hottest thing that the pool does, so it costs two writes to the
 * connection at hand: no look at the clock, which takes longer than all the
 * rest, and no move in a list, which with ten thousand hosts would touch three
 * connections that no cache holds. The timer stamps those it finds unstamped
 * and ends those it stamped long enough ago; so an idle connection ends no
 * earlier than its timeout, and one tick later at most. Who is least recently
 * used is only looked for when one has to go, which a dial follows that takes a
 * thousand times as long.
 */
export class IdleSweeper {
  readonly #entries = new Set<PooledConnection>();
  readonly #idleTimeoutMs: number;
  readonly #lifetimeMs: number;
  readonly #sweep: Sweep;
  #lastUse = 0;
  #timer: unknown;
  /** When the timer is due; `0` if there is none. */
  #dueAt = 0;
  /** Whether a tick is due soon enough to stamp what is handed out now. */
  #tickIsNear = false;
  #lifetimes = 0;

  constructor(
    options: { idleTimeoutMs: number; maxLifetimeMs: number },
    sweep: Sweep,
  ) {
    this.#idleTimeoutMs = options.idleTimeoutMs;
    this.#lifetimeMs = options.maxLifetimeMs;
    this.#sweep = sweep;
  }

  /** The least recently used of the idle connections that are counted. */
  leastRecent(): PooledConnection | undefined {
    let oldest: PooledConnection | undefined;
    for (const pooled of this.#entries) {
      if (
        (oldest === undefined || pooled.lastUse < oldest.lastUse) &&
        pooled.isCounted && !pooled.isBusy
      ) oldest = pooled;
    }
    return oldest;
  }

  /** A new connection. */
  add(pooled: PooledConnection): void {
    this.#entries.add(pooled);
    this.touch(pooled);
    if (this.#lifetimeMs > 0 && this.#lifetimes++ === 0) {
      this.#arm(this.#ageTick);
    }
  }

  /** A connection went idle, or an idle one was handed out. */
  touch(pooled: PooledConnection): void {
    pooled.idleSince = 0;
    pooled.lastUse = ++this.#lastUse;
    if (!this.#tickIsNear) this.#armTick();
  }

  /** A connection is gone. With the last one the timer goes too. */
  remove(pooled: PooledConnection): void {
    if (!this.#entries.delete(pooled)) return;
    if (this.#lifetimeMs > 0) this.#lifetimes--;
    if (this.#entries.size === 0) this.stop();
  }

  /** Ends the timer. */
  stop(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer as number);
    this.#timer = undefined;
    this.#dueAt = 0;
    this.#tickIsNear = false;
  }

  get #tick(): number {
    return Math.max(1, this.#idleTimeoutMs / 8);
  }

  get #ageTick(): number {
    return Math.max(1, this.#lifetimeMs / 20);
  }

  #armTick(): void {
    this.#tickIsNear = true;
    if (this.#idleTimeoutMs > 0) this.#arm(this.#tick);
  }

  #arm(delayMs: number): void {
    const dueAt = Date.now() + delayMs;
    if (this.#timer !== undefined) {
      if (this.#dueAt <= dueAt) return;
      clearTimeout(this.#timer as number);
    }
    this.#dueAt = dueAt;
    // Unref'd: nobody waits for it, and it must not keep a program alive.
    this.#timer = unref(setTimeout(() => this.#onTimer(), delayMs));
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#dueAt = 0;
    this.#tickIsNear = false;
    const now = Date.now();
    this.#sweep.onTick(now);
    const dueAt = this.#idleTimeoutMs > 0 ? this.#endOverdue(now) : Infinity;
    if (this.#lifetimes > 0) {
      this.#sweep.onAgeTick(now);
      this.#arm(this.#ageTick);
    }
    // Ending connections may have armed it anew for others, or ended it all.
    if (this.#entries.size > 0 && dueAt < Infinity) {
      this.#arm(Math.max(1, dueAt - now));
    }
  }

  /** Stamps, ends, and says when the next one is due. */
  #endOverdue(now: number): number {
    let dueAt = Infinity;
    for (const pooled of [...this.#entries]) {
      // Unstamped, or busy and so in use now; and a clock that was set back
      // must not make idleness last for hours.
      if (pooled.idleSince === 0 || pooled.idleSince > now || pooled.isBusy) {
        pooled.idleSince = now;
      }
      const ends = pooled.idleSince + this.#idleTimeoutMs;
      if (ends <= now) this.#sweep.onIdle(pooled);
      else dueAt = Math.min(dueAt, ends);
    }
    return dueAt;
  }
}
