/**
 * The connections of one host, and which of them is next.
 *
 * @module
 */

import type { Entry } from "./_entry.ts";

/** Those that give slots, oldest first, and all that live. */
export class Roster {
  readonly #open: Entry[] = [];
  readonly #all = new Set<Entry>();

  /** Connections that give slots, oldest first. */
  get open(): readonly Entry[] {
    return this.#open;
  }

  /** Every live connection, draining ones too. */
  get all(): ReadonlySet<Entry> {
    return this.#all;
  }

  /** Adds a new connection. */
  add(entry: Entry): void {
    this.#open.push(entry);
    this.#all.add(entry);
  }

  /** It gives no slots any more. */
  withdraw(entry: Entry): void {
    const index = this.#open.indexOf(entry);
    if (index >= 0) this.#open.splice(index, 1);
  }

  /** It is gone. */
  remove(entry: Entry): void {
    this.withdraw(entry);
    this.#all.delete(entry);
  }

  /** The oldest that has not ended; ends those of which it is not yet known. */
  firstAlive(): Entry | undefined {
    for (const entry of [...this.#open]) {
      if (!entry.connection.isClosed) return entry;
      entry.end("ended");
    }
    return undefined;
  }

  /**
   * The least loaded connection with a free slot, so that short commands do
   * not pile up behind long ones; the oldest of equals, so that the others can
   * fall idle and go.
   */
  leastLoaded(sessionLimit: number): Entry | undefined {
    let best: Entry | undefined;
    let bestLoad = sessionLimit;
    let stale: Entry | undefined;
    for (const entry of this.#open) {
      const { load } = entry;
      if (entry.connection.isClosed) stale = entry;
      else if (load < bestLoad && load + 1 <= entry.belief.ceiling) {
        best = entry;
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
    for (const { belief } of this.#open) {
      soonest = Math.min(soonest, belief.recheckMs ?? Infinity);
    }
    return soonest;
  }

  /** Looks at what refusals have held back. */
  recheck(): void {
    for (const { belief } of this.#open) belief.recheck();
  }
}
