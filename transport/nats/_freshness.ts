/**
 * What proves that a message has not waited for long on its way to a worker.
 *
 * @module
 */

import type { Bus } from "./bus.ts";

/**
 * The time by two clocks: the steady one stands still while the machine is
 * suspended, and the other one may be set.
 */
const now = () => ({ steady: performance.now(), wall: Date.now() });

/**
 * Proves by round trips to the server of the bus, and not by the clocks of
 * others, that what comes is fresh: a process that was asleep finds a queue of
 * what nobody waits for any more.
 */
export class Freshness {
  readonly #bus: Bus;
  readonly #freshMs: number;
  /** What comes now has left the server after this time. */
  #provenAt = now();
  #isProving = false;

  /**
   * @param bus Where messages come from.
   * @param freshMs How old a fresh message may be, in milliseconds.
   */
  constructor(bus: Bus, freshMs: number) {
    this.#bus = bus;
    this.#freshMs = freshMs;
  }

  /** Whether what comes now is fresh. */
  get isProven(): boolean {
    const { steady, wall } = now();
    const ageMs = Math.max(
      steady - this.#provenAt.steady,
      wall - this.#provenAt.wall,
    );
    return ageMs < this.#freshMs;
  }

  /** Asks the server once more, unless it owes an answer. Never rejects. */
  async prove(): Promise<void> {
    if (this.#isProving) return;
    this.#isProving = true;
    const before = now();
    try {
      // What comes after a PONG has left the server after the PING.
      await this.#bus.flush();
      this.#provenAt = before;
    } catch {
      // The bus is down.
    }
    this.#isProving = false;
  }
}
