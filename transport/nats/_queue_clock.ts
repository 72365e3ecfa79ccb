/**
 * Sees which commands of a worker have waited for a while.
 *
 * @module
 */

/** How often they are looked through, in milliseconds. */
const TICK_MS = 20;

/**
 * One timer for all commands that wait at a worker: one for each would take a
 * turn of the loop, and a write to the bus, for each.
 */
export class QueueClock {
  #young = new Set<() => void>();
  #old = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Adds a command.
   *
   * @param waits Called once, when it has waited for one tick or two.
   * @returns Takes it out again.
   */
  add(waits: () => void): () => void {
    this.#young.add(waits);
    this.#arm();
    return () => {
      if (!this.#young.delete(waits)) this.#old.delete(waits);
    };
  }

  /** Forgets all of them. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#young.clear();
    this.#old.clear();
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    this.#timer = undefined;
    const due = this.#old;
    this.#old = this.#young;
    this.#young = new Set();
    for (const waits of due) waits();
    if (this.#old.size > 0 || this.#young.size > 0) this.#arm();
  }
}
