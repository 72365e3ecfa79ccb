/** Waiting for outcomes, each wait ended by a signal. */

import type { Outcome } from "./outcome.ts";
import { abortable, sleep } from "../../abort.ts";

/** Lets a step go on when its outcome says so; throws the outcome's error. */
export async function pass(
  outcome: Outcome,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (outcome === undefined || outcome === "ok") return;
  if (outcome === "never") {
    return await abortable(new Promise(() => {}), signal);
  }
  if (outcome instanceof Error) throw outcome;
  if ("delayMs" in outcome) {
    await sleep(outcome.delayMs, signal);
    return await pass(outcome.then, signal);
  }
  return await pass(await abortable(outcome, signal), signal);
}
