/**
 * The connections of one host, and which of them is next.
 *
 * @module
 */

import type { PooledConnection } from "../connection/pooled_connection.ts";
import type { PoolContext } from "./context.ts";

/**
 * Those that give slots, oldest first, and all that live; these are among the
 * connections of the pool, too.
 */
export class ConnectionSet {
  readonly #pool: Pick<PoolContext, "connections" | "sweeper">;
  /** Connections that give slots, oldest first. */
  readonly open: readonly PooledConnection[];
  readonly #open: PooledConnection[] = [];
  readonly #all = new Set<PooledConnection>();

  /** @param pool What all hosts share. */
  constructor(pool: Pick<PoolContext, "connections" | "sweeper">) {
    this.#pool = pool;
    this.open = this.#open;
  }

  /** Every live connection, draining ones too. */
  get all(): ReadonlySet<PooledConnection> {
    return this.#all;
  }

  /**
   * Those that count against the cap of the host: also one that drains because
   * of its age, but none that proved bad, whose work may never end.
   */
  get counted(): number {
    let counted = 0;
    for (const pooled of this.#all) if (!pooled.isDiscarded) counted++;
    return counted;
  }

  /** Slots that are taken. */
  get load(): number {
    return this.#open.reduce((sum, { load }) => sum + load, 0);
  }

  /** Slots that may be held for long. */
  get streams(): number {
    return this.#open.reduce((sum, { streams }) => sum + streams, 0);
  }

  /** Sessions that they may still carry in their lives. */
  get sessionsLeft(): number {
    return this.#open.reduce((sum, { sessionsLeft }) => sum + sessionsLeft, 0);
  }

  /** Adds a new connection. */
  add(pooled: PooledConnection): void {
    this.#open.push(pooled);
    this.#all.add(pooled);
    this.#pool.connections.add(pooled);
    this.#pool.sweeper.add(pooled);
  }

  /** Takes one out that gives no slots any more. */
  withdraw(pooled: PooledConnection): void {
    const index = this.#open.indexOf(pooled);
    if (index >= 0) this.#open.splice(index, 1);
  }

  /** Removes one that has ended. */
  remove(pooled: PooledConnection): void {
    this.withdraw(pooled);
    this.#all.delete(pooled);
    this.#pool.sweeper.remove(pooled);
    this.#pool.connections.delete(pooled);
  }

  /** Returns the oldest that can be used; takes those out that cannot. */
  oldest(): PooledConnection | undefined {
    for (const pooled of [...this.#open]) {
      if (pooled.isUsable) return pooled;
      retire(pooled);
    }
    return undefined;
  }

  /**
   * Returns the least loaded connection with a free slot, so that short commands do
   * not pile up behind long ones; the oldest of equals, so that the others can
   * fall idle and go.
   */
  leastLoaded(sessionLimit: number): PooledConnection | undefined {
    let best: PooledConnection | undefined;
    let unusable: PooledConnection | undefined;
    for (const pooled of this.#open) {
      if (!pooled.isUsable || pooled.isSpent) unusable = pooled;
      else if (
        pooled.hasRoom(sessionLimit) &&
        (best === undefined || pooled.load < best.load)
      ) best = pooled;
    }
    // One at a time; the next call finds the next.
    if (unusable !== undefined) retire(unusable);
    return best;
  }

  /** Reclaims one parked slot. Returns false if there is none. */
  reclaimSlot(): boolean {
    const pooled = this.#open.find((it) => it.hasReclaimableSlot);
    pooled?.reclaimSlot();
    return pooled !== undefined;
  }

  /** When to look again at refusals, from now, in milliseconds. */
  get recheckMs(): number {
    return Math.min(...this.#open.map(({ recheckMs }) => recheckMs));
  }

  /** Whether one of them gets nothing new, to see if its server hangs up. */
  get isResting(): boolean {
    return this.#open.some(({ survival }) => survival.isResting);
  }

  /**
   * Looks again at refusals whose time is over, and lets go of forgotten leases:
   * callers wait for their slots.
   */
  recheck(): void {
    for (const pooled of this.#open) {
      pooled.recheck();
      pooled.leaseGroup = undefined;
    }
  }
}

/** What runs on a failing or spent connection runs on; nothing new goes there. */
function retire(pooled: PooledConnection): void {
  if (pooled.connection.isClosed) pooled.end("ended");
  else pooled.drain(pooled.isUsable ? "lifetime" : "discarded");
}
