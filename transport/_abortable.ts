/**
 * Waiting for a promise that belongs to several callers.
 *
 * @module
 */

/**
 * Waits for a promise until a signal aborts. The work behind the promise goes
 * on, and its failure is no unhandled rejection.
 *
 * @param promise The promise.
 * @param signal The signal of this caller.
 * @returns A promise for this caller alone.
 */
export function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    promise.then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", leave));
  });
}
