/**
 * How long a worker may serve what it has leased, by its own clock.
 *
 * @module
 */

/** By how much a worker stops before others may begin, in milliseconds. */
const MARGIN_MS = 500;

/**
 * The time that a lease has left: it ends before anybody else may begin. Where
 * the bus answers and the store alone does not, nobody can, and it goes on.
 */
export class LeaseTerm {
  readonly #ttlMs: number;
  readonly #reachesBus: (ms: number) => Promise<boolean>;
  readonly #onEnd: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOn = false;

  /**
   * @param ttlMs How long a lease lives, in milliseconds.
   * @param reachesBus Whether the bus answers within a time. Never rejects.
   * @param onEnd Called when it ends by itself.
   */
  constructor(
    ttlMs: number,
    reachesBus: (ms: number) => Promise<boolean>,
    onEnd: () => void,
  ) {
    this.#ttlMs = ttlMs;
    this.#reachesBus = reachesBus;
    this.#onEnd = onEnd;
  }

  /** Whether what is leased may be served. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Begins anew, with the time at which the store was asked for it. */
  renew(at: number): void {
    const margin = Math.min(MARGIN_MS, this.#ttlMs / 4);
    const leftMs = at + this.#ttlMs - margin - performance.now();
    if (leftMs <= 0) return this.#end();
    this.#isOn = true;
    this.#endAfter(leftMs);
  }

  /** Ends it, and calls nobody. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isOn = false;
  }

  #end(): void {
    this.stop();
    this.#onEnd();
  }

  /** Asks the bus in time, and ends then unless that answers. */
  #endAfter(ms: number): void {
    clearTimeout(this.#timer);
    const patienceMs = Math.min(ms, this.#ttlMs / 4);
    const due = performance.now() + ms - patienceMs;
    const timer = setTimeout(async () => {
      // Too late: this process slept, and others have its shards by now.
      const hasSlept = performance.now() - due > patienceMs;
      const isReached = !hasSlept && await this.#reachesBus(patienceMs);
      if (this.#timer !== timer) return;
      if (isReached) this.#endAfter(this.#ttlMs / 2);
      else this.#end();
    }, ms - patienceMs);
    this.#timer = timer;
  }
}
