/**
 * Signals that come before the process that is to get them.
 *
 * @module
 */

/** By when a new process has its process group, even on a busy server. */
export const SIGNAL_AFTER_MS = 100;

/**
 * Holds signals until they are sure to arrive: sshd signals a process group
 * that the new process has yet to found, and says nothing if there is none.
 */
export class HeldSignals {
  readonly #flush: (names: readonly string[]) => void;
  #names: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param flush Sends the signals, in order. */
  constructor(flush: (names: readonly string[]) => void) {
    this.#flush = flush;
  }

  /** Whether there are any. */
  get areDue(): boolean {
    return this.#names.length > 0;
  }

  /** Holds one more. */
  add(name: string): void {
    this.#names.push(name);
  }

  /** There is, or will soon be, a process. */
  start(): void {
    if (!this.areDue) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#flush(this.#names.splice(0));
    }, SIGNAL_AFTER_MS);
  }

  /** Forgets them: nobody will get them. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#names = [];
  }
}
