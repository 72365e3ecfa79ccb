/**
 * When one host deserves another connection.
 *
 * @module
 */

/** What a dial is taken to last before one was seen, in milliseconds. */
const FIRST_GUESS_MS = 50;

/** Another connection must save at least this many times what its dial costs. */
const WORTH = 2;

/**
 * Weighs the queue against the cost of a dial, one dial's time after another:
 * if the queue, as fast as it has drained since the last look, would take
 * longer than {@linkcode WORTH} dials, one more connection pays; if nothing
 * has drained at all, as many as the queue would fill.
 */
export class SpillRule {
  /** How long a dial to this host takes, in milliseconds, smoothed. */
  dialMs: number = FIRST_GUESS_MS;
  #completed = 0;
  #weighedAt = performance.now();
  #extra = 0;
  #quietUntil = 0;

  /** A slot came free. */
  completed(): void {
    this.#completed++;
  }

  /** A dial succeeded after so long. */
  dialled(durationMs: number): void {
    const smoothed = 0.7 * this.dialMs + 0.3 * durationMs;
    this.dialMs = Math.min(1_000, Math.max(10, smoothed));
    if (this.#extra > 0) this.#extra--;
    this.#restart();
  }

  /** A dial failed: the connections that there are have to do for a while. */
  dialFailed(pauseMs: number): void {
    this.#extra = 0;
    this.#quietUntil = performance.now() + pauseMs;
  }

  /** Nobody waits any more. */
  calm(): void {
    this.#extra = 0;
  }

  /** How many connections more than there are open now are worth having. */
  get extra(): number {
    return this.#extra;
  }

  /** Looks at the queue. */
  weigh(waiting: number, sessionLimit: number): void {
    const now = performance.now();
    const elapsedMs = now - this.#weighedAt;
    if (elapsedMs < this.dialMs / 2) return; // a tick that came for a recheck
    const done = this.#completed;
    this.#restart();
    if (now < this.#quietUntil) return;
    if (done === 0) {
      this.#extra = Math.ceil(waiting / sessionLimit);
      return;
    }
    const drainMs = waiting * elapsedMs / done;
    this.#extra = drainMs > WORTH * this.dialMs ? 1 : 0;
  }

  #restart(): void {
    this.#completed = 0;
    this.#weighedAt = performance.now();
  }
}
