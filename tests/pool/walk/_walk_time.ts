// What makes a random walk repeatable: chance from a seed, and time that
// passes only when the walk says so.

import { setImmediate } from "node:timers";
import type { Random } from "../../kit/random.ts";

interface Timer {
  readonly at: number;
  readonly fn: () => void;
  readonly stack: string | undefined;
}

/**
 * Replaces timers, clocks and chance of the whole process until it is disposed
 * of. `node:test`'s mock timers leave `performance.now()` alone, by which the
 * pool measures its pauses, and count no timers.
 */
export class VirtualTime implements Disposable {
  now = 0;
  readonly #timers = new Map<object, Timer>();
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    now: Date.now,
    performanceNow: performance.now,
    random: Math.random,
  };

  /** @param stacks Note where each timer is set, which is slow. */
  constructor(chance: Random, stacks = false) {
    const real = this.#real;
    const start = real.now();
    globalThis.setTimeout = ((fn: () => void, ms = 0) => {
      const timer = { unref: () => timer, ref: () => timer };
      const stack = stacks ? new Error("Timer set here").stack : undefined;
      this.#timers.set(timer, { at: this.now + Math.max(1, ms), fn, stack });
      return timer;
    }) as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((timer?: unknown) => {
      if (timer === undefined || timer === null) return;
      if (typeof timer === "object" && this.#timers.delete(timer)) return;
    }) as typeof clearTimeout;
    Date.now = () => start + this.now;
    performance.now = () => this.now;
    Math.random = () => chance.next();
  }

  /** Timers that are armed, as where they were set. */
  get armed(): string[] {
    return [...this.#timers.values()].map((t) => t.stack ?? `due ${t.at}`);
  }

  /** Lets every promise that can settle settle. No time passes. */
  settle(): Promise<void> {
    return new Promise((resolve) => setImmediate(() => resolve()));
  }

  /** Lets time pass; each timer fires at its moment, the earliest first. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const next = this.#earliest();
      if (next === undefined || next[1].at > end) break;
      this.#timers.delete(next[0]);
      this.now = Math.max(this.now, next[1].at);
      next[1].fn();
      await this.settle();
    }
    this.now = end;
  }

  #earliest(): [object, Timer] | undefined {
    let first: [object, Timer] | undefined;
    for (const timer of this.#timers) {
      if (first === undefined || timer[1].at < first[1].at) first = timer;
    }
    return first;
  }

  [Symbol.dispose](): void {
    const real = this.#real;
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
    Date.now = real.now;
    performance.now = real.performanceNow;
    Math.random = real.random;
  }
}
