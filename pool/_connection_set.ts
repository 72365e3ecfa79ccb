/**
 * The connections of one host, and which of them is next.
 *
 * @module
 */

import type { PooledConnection } from "./_pooled_connection.ts";

/** Those that give slots, oldest first, and all that live. */
export class ConnectionSet {
  readonly #open: PooledConnection[] = [];
  readonly #all = new Set<PooledConnection>();

  /** Connections that give slots, oldest first. */
  get open(): readonly PooledConnection[] {
    return this.#open;
  }

  /** Every live connection, draining ones too. */
  get all(): ReadonlySet<PooledConnection> {
    return this.#all;
  }

  /** Adds a new connection. */
  add(pooled: PooledConnection): void {
    this.#open.push(pooled);
    this.#all.add(pooled);
  }

  /** It gives no slots any more. */
  withdraw(pooled: PooledConnection): void {
    const index = this.#open.indexOf(pooled);
    if (index >= 0) this.#open.splice(index, 1);
  }

  /** It is gone. */
  remove(pooled: PooledConnection): void {
    this.withdraw(pooled);
    this.#all.delete(pooled);
  }

  /** The oldest that has not ended; ends those of which it is not yet known. */
  firstAlive(): PooledConnection | undefined {
    for (const pooled of [...this.#open]) {
      if (!pooled.connection.isClosed) return pooled;
      pooled.end("ended");
    }
    return undefined;
  }

  /**
   * The least loaded connection with a free slot, so that short commands do
   * not pile up behind long ones; the oldest of equals, so that the others can
   * fall idle and go.
   */
  leastLoaded(sessionLimit: number): PooledConnection | undefined {
    let best: PooledConnection | undefined;
    let bestLoad = sessionLimit;
    let stale: PooledConnection | undefined;
    for (const pooled of this.#open) {
      const { load } = pooled;
      if (pooled.connection.isClosed) stale = pooled;
      else if (load < bestLoad && load + 1 <= pooled.limit.ceiling) {
        best = pooled;
        bestLoad = load;
      }
    }
    // One at a time; the next look finds the next.
    stale?.end("ended");
    return best;
  }

  /** When a connection is to be looked at again, from now, in milliseconds. */
  get recheckMs(): number {
    let soonest = Infinity;
    for (const { limit } of this.#open) {
      soonest = Math.min(soonest, limit.recheckMs ?? Infinity);
    }
    return soonest;
  }

  /** Looks at what refusals have held back. */
  recheck(): void {
    for (const { limit } of this.#open) limit.recheck();
  }
}
