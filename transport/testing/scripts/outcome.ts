/**
 * Outcomes: how a script answers when a step asks whether it may go on.
 *
 * @module
 */

import { abortable, sleep } from "../../abort.ts";

/**
 * What becomes of one step: it goes on (`"ok"`, or nothing), hangs until it is
 * aborted (`"never"`), fails with an error, or waits `delayMs` and then meets
 * the next outcome. A promise is a gate that the test opens.
 */
export type Outcome =
  | void
  | "ok"
  | "never"
  | Error
  | { readonly delayMs: number; readonly then?: Outcome }
  | PromiseLike<Outcome>;

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

/** The same without a promise where the step need not wait. */
export function passAtOnce(
  outcome: Outcome,
  signal: AbortSignal,
): Promise<void> | undefined {
  if (outcome === undefined || outcome === "ok") return undefined;
  return pass(outcome, signal);
}

/** Holds up all who wait, and lets them go on together each time it opens. */
export class Gate {
  #held: { promise: Promise<void>; resolve: () => void } | undefined;

  /** Waits for the next opening. */
  wait(): Promise<void> {
    if (this.#held === undefined) {
      let resolve!: () => void;
      const promise = new Promise<void>((done) => resolve = done);
      this.#held = { promise, resolve };
    }
    return this.#held.promise;
  }

  /** Lets those go on who wait now, and returns whether there were any. */
  open(): boolean {
    const held = this.#held;
    this.#held = undefined;
    held?.resolve();
    return held !== undefined;
  }
}
