/**
 * When one host deserves another connection.
 *
 * @module
 */

/** What a dial is taken to last before one was seen, in milliseconds. */
const FIRST_GUESS_MS = 50;

/** Another connection must save at least this many times what its dial costs. */
const WORTH = 6;

/** The queue counts as stalled when nothing finished for STALL times the dial time. */
const STALL = 2;

/** By how much one must have raised the rate for the next one to be tried. */
const GAIN = 1.25;

/** How long the rate is watched before that is said, in milliseconds. */
const TRIAL_MS = 500;

/** For how long nothing more is tried then, in milliseconds. */
const CONTENT_MS = 30_000;

/**
 * Weighs the queue against the cost of a dial, one dial's time after another:
 * if the queue, as fast as it has drained since the last look, would take
 * longer than {@linkcode WORTH} dials, one more connection pays; if nothing
 * has drained at all, as many as the queue would fill.
 *
 * `deno bench bench/burst_bench.ts` on two cores, sshd on the same machine, p50:
 *
 *     cold burst               this rule    one connection
 *     100 callers of true      219 ms, 1    213 ms
 *     1,000 callers of true    1.14 s, 3    1.24 s
 *     40 callers of sleep 0.3  0.53 s, 4    1.63 s
 *
 * A rule that took the slow first commands of a cold server for a standstill
 * opened four connections for the hundred, and took 237 ms against 191. So one
 * dial comes first, whatever the queue, and the worth is set so high that a
 * hundred short commands wait for the one connection.
 *
 * Where the server's processors are what is short, more connections gain
 * nothing and cost memory and switching: after each one the rate is watched,
 * and if it has not risen, that one is given up, and none is tried for a while.
 */
export class ScaleOut {
  /** How long a dial to this host takes, in milliseconds, smoothed. */
  dialMs: number = FIRST_GUESS_MS;
  #completed = 0;
  #sampledAt = performance.now();
  #isWatching = false;
  #wanted = 0;
  /** After a failed dial. */
  #quietUntil = 0;
  /** After a connection that gained nothing. */
  #contentUntil = 0;
  #hasSurplus = false;
  /** Completions per millisecond at the last look. */
  #rate = 0;
  /** The rate before the connection that is on trial. */
  #rateBefore: number | undefined;

  /** Counts a slot that came free. */
  completed(): void {
    this.#completed++;
  }

  /** Notes how long a dial took. */
  recordDial(durationMs: number): void {
    const smoothed = 0.7 * this.dialMs + 0.3 * durationMs;
    this.dialMs = Math.min(1_000, Math.max(10, smoothed));
    if (this.#wanted > 0) {
      this.#wanted--;
      this.#rateBefore ??= this.#rate;
    }
    this.#restart();
  }

  /** A dial failed: the connections that there are have to do for a while. */
  dialFailed(pauseMs: number): void {
    this.#wanted = 0;
    this.#quietUntil = performance.now() + pauseMs;
  }

  /** Starts measuring: callers are waiting. */
  start(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#restart();
  }

  /** Stops measuring: nobody waits. */
  stop(): void {
    this.#isWatching = false;
    this.#wanted = 0;
    this.#rateBefore = undefined;
  }

  /** Whether a dial failed a moment ago. */
  get isQuiet(): boolean {
    return performance.now() < this.#quietUntil;
  }

  /** How many further connections are worth having. */
  get wanted(): number {
    return this.#wanted;
  }

  /** Compares the queue with what it has drained since the last sample. */
  sample(waiting: number, sessionLimit: number): void {
    const now = performance.now();
    const elapsedMs = now - this.#sampledAt;
    const windowMs = this.#rateBefore === undefined
      ? this.dialMs
      : Math.max(TRIAL_MS, this.dialMs);
    if (elapsedMs < windowMs) return; // a tick that came for a recheck
    const done = this.#completed;
    // The first commands on a cold server take long; that is no standstill.
    if (done === 0 && elapsedMs < STALL * this.dialMs) return;
    this.#restart();
    if (done === 0) {
      this.#rateBefore = undefined;
      if (now < this.#quietUntil) return;
      this.#wanted = Math.ceil(waiting / sessionLimit);
      return;
    }
    this.#judge(done / elapsedMs, now);
    if (now < this.#quietUntil || now < this.#contentUntil) return;
    const drainMs = waiting / this.#rate;
    this.#wanted = drainMs > WORTH * this.dialMs ? 1 : 0;
  }

  /** Has the connection on trial been worth it? */
  #judge(rate: number, now: number): void {
    const before = this.#rateBefore;
    this.#rate = rate;
    this.#rateBefore = undefined;
    if (before !== undefined && rate < GAIN * before) {
      this.#contentUntil = now + CONTENT_MS;
      this.#hasSurplus = true;
    }
  }

  /** Returns whether the newest connection has gained nothing, once. */
  takeSurplus(): boolean {
    const hasSurplus = this.#hasSurplus;
    this.#hasSurplus = false;
    return hasSurplus;
  }

  #restart(): void {
    this.#completed = 0;
    this.#sampledAt = performance.now();
  }
}
