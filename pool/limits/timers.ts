/**
 * Timers: the one difference between the runtimes, and one that is only ever
 * moved forward.
 *
 * @module
 */

/** Lets the program end although this timer is armed; gives the timer back. */
export function unref<T>(timer: T): T {
  if (typeof timer === "object" && timer !== null && "unref" in timer) {
    (timer as unknown as { unref(): void }).unref();
  } else {
    const { Deno } = globalThis as {
      Deno?: { unrefTimer?(id: number): void };
    };
    Deno?.unrefTimer?.(timer as number);
  }
  return timer;
}

/** One timer, due at the earliest of the times that it was armed for. */
export class EarliestTimer {
  readonly #run: () => void;
  readonly #isUnref: boolean;
  #timer: unknown;
  #dueAt = Infinity;

  /**
   * @param run Called when it is due; it is armed no more then.
   * @param options Whether the program may end although it is armed.
   */
  constructor(run: () => void, options: { readonly isUnref: boolean }) {
    this.#run = run;
    this.#isUnref = options.isUnref;
  }

  /** Makes it due after this time at the latest, in milliseconds. */
  arm(delayMs: number): void {
    const dueAt = performance.now() + delayMs;
    if (dueAt >= this.#dueAt) return;
    this.clear();
    this.#dueAt = dueAt;
    const timer = setTimeout(() => {
      this.clear();
      this.#run();
    }, delayMs);
    this.#timer = this.#isUnref ? unref(timer) : timer;
  }

  /** Ends it. */
  clear(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer as number);
    this.#timer = undefined;
    this.#dueAt = Infinity;
  }
}
