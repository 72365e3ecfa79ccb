/** Waiting for outcomes, each wait ended by a signal. */

import type { Outcome } from "./outcome.ts";
import { sleep } from "./_sleep.ts";

/** Waits for a promise; rejects with the signal's reason as soon as it aborts. */
export function until<T>(
  promise: PromiseLike<T>,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    promise.then((value) => {
      signal.removeEventListener("abort", stop);
      resolve(value);
    }, (error) => {
      signal.removeEventListener("abort", stop);
      reject(error);
    });
  });
}

/** Lets a step go on when its outcome says so; throws the outcome's error. */
export async function pass(
  outcome: Outcome,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (outcome === undefined || outcome === "ok") return;
  if (outcome === "never") return await until(new Promise(() => {}), signal);
  if (outcome instanceof Error) throw outcome;
  if ("delayMs" in outcome) {
    await sleep(outcome.delayMs, signal);
    return await pass(outcome.then, signal);
  }
  return await pass(await until(outcome, signal), signal);
}
