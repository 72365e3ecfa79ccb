/** The sessions of one memory connection, as its server counts them. */

/** When the server frees the session of a channel that has ended. */
export interface ReapOptions {
  /** After this time, in milliseconds. */
  readonly reapMs?: number;
  /** After so many turns of the microtask queue. */
  readonly reapTurns?: number;
}

const TURN = Promise.resolve();

/** Counts sessions; one that has ended may count for a while longer. */
export class ServerSessions {
  readonly #timers: Set<ReturnType<typeof setTimeout>> = new Set();
  #count = 0;

  /** Takes a session, unless `limit` are taken. */
  tryTake(limit: number): boolean {
    if (this.#count >= limit) return false;
    this.#count++;
    return true;
  }

  /** A channel has ended. */
  give({ reapMs = 0, reapTurns = 0 }: ReapOptions): void {
    if (reapMs > 0) this.#giveAfter(reapMs);
    else this.#giveIn(reapTurns);
  }

  /** Stops the timers. */
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #giveAfter(ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#count--;
    }, ms);
    this.#timers.add(timer);
  }

  #giveIn(turns: number): void {
    if (turns === 0) this.#count--;
    else TURN.then(() => this.#giveIn(turns - 1));
  }
}
