/**
 * Connections on their way out.
 *
 * @module
 */

/** A connector that never ends a connection is not waited for any longer. */
const PATIENCE_MS = 3_000;

/** Remembers what is being closed, so that `close()` can wait for it. */
export class Closings {
  readonly #pending = new Set<Promise<void>>();

  /** Adds something that ends soon. */
  add(done: Promise<unknown>): void {
    const bounded = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PATIENCE_MS);
      const end = () => {
        clearTimeout(timer);
        resolve();
      };
      done.then(end, end);
    });
    this.#pending.add(bounded);
    bounded.then(() => this.#pending.delete(bounded));
  }

  /** Settles when all that was added so far, or meanwhile, has ended. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
