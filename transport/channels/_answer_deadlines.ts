/**
 * Deadlines for answers of the server, many at a time, with one timer.
 *
 * @module
 */

// The functions of node:timers give objects with `unref()` in every runtime.
import { clearTimeout, setTimeout } from "node:timers";

/** With a timer that is so late this process was busy: it reads first. */
const BUSY_MS = 100;

/**
 * What waits for answers, all for the same time. The timer does not keep the
 * process alive: those who wait do.
 */
export class AnswerDeadlines<T> {
  readonly #timeoutMs: number;
  readonly #onLate: (waiting: T) => void;
  /** In the order in which they began, so the first is due first. */
  readonly #dueAt = new Map<T, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param timeoutMs How long an answer may take, in milliseconds; 0 for ever.
   * @param onLate Told of each that had none in time; it waits no more.
   */
  constructor(timeoutMs: number, onLate: (waiting: T) => void) {
    this.#timeoutMs = timeoutMs;
    this.#onLate = onLate;
  }

  /** How many wait. */
  get size(): number {
    return this.#dueAt.size;
  }

  /** Begins to wait, unless it waits already. */
  add(waiting: T): void {
    if (this.#dueAt.has(waiting)) return;
    this.#dueAt.set(waiting, performance.now() + this.#timeoutMs);
    if (this.#timeoutMs > 0) this.#timer ??= this.#arm(this.#timeoutMs);
  }

  /**
   * The answer came, or is not needed any more. The timer stays: one that
   * fires for nothing now and then costs less than two for each command.
   */
  delete(waiting: T): void {
    this.#dueAt.delete(waiting);
  }

  /** Ends all waits, and the timer. */
  clear(): void {
    this.#dueAt.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(ms: number, isSecondLook = false): ReturnType<typeof setTimeout> {
    const at = performance.now() + ms;
    return setTimeout(() => {
      const isLate = performance.now() - at > BUSY_MS;
      // What came meanwhile may be the answer.
      if (isLate && !isSecondLook) this.#timer = this.#arm(BUSY_MS, true);
      else this.#onTimer();
    }, ms).unref();
  }

  #onTimer(): void {
    this.#timer = undefined;
    const late: T[] = [];
    for (const [waiting, dueAt] of this.#dueAt) {
      const leftMs = dueAt - performance.now();
      // A timer may fire a moment early.
      if (leftMs > 1) {
        this.#timer = this.#arm(leftMs);
        break;
      }
      late.push(waiting);
    }
    for (const waiting of late) {
      if (this.#dueAt.delete(waiting)) this.#onLate(waiting);
    }
  }
}
