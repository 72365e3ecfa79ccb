/**
 * Deadlines for answers of the server, many at a time, with one timer.
 *
 * @module
 */

/** What waits for answers, all for the same time. */
export class AnswerDeadlines<T> {
  readonly #timeoutMs: number;
  readonly #onLate: (waiting: T) => void;
  /** In the order in which they began, so the first is due first. */
  readonly #dueAt = new Map<T, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param timeoutMs How long an answer may take, in milliseconds.
   * @param onLate Told of each that had none in time; it waits no more.
   */
  constructor(timeoutMs: number, onLate: (waiting: T) => void) {
    this.#timeoutMs = timeoutMs;
    this.#onLate = onLate;
  }

  /** Begins to wait. */
  add(waiting: T): void {
    this.#dueAt.set(waiting, performance.now() + this.#timeoutMs);
    this.#timer ??= setTimeout(() => this.#onTimer(), this.#timeoutMs);
  }

  /** The answer came, or is not needed any more. */
  delete(waiting: T): void {
    if (!this.#dueAt.delete(waiting)) return;
    if (this.#dueAt.size === 0) this.clear();
  }

  /** Ends all waits, and the timer. */
  clear(): void {
    this.#dueAt.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #onTimer(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [waiting, dueAt] of this.#dueAt) {
      if (dueAt > now) {
        this.#timer = setTimeout(() => this.#onTimer(), dueAt - now);
        return;
      }
      this.#dueAt.delete(waiting);
      this.#onLate(waiting);
    }
  }
}
