/** Waiting for outcomes, each wait ended by a signal. */

import type { Outcome } from "./outcome.ts";
import { onAbort, sleep } from "../abort.ts";

/** Waits for a promise; rejects with the signal's reason as soon as it aborts. */
export function until<T>(
  promise: PromiseLike<T>,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const stop = onAbort(signal, () => reject(signal.reason));
    promise.then((value) => {
      stop();
      resolve(value);
    }, (error) => {
      stop();
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
