/**
 * The one difference between the runtimes' timers.
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
