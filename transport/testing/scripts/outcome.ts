/**
 * Outcomes: how a script answers when a step asks whether it may go on.
 *
 * @module
 */

import { abortable, MAX_TIMER_MS, sleep } from "../../abort.ts";
import { anything, between } from "../../options/rules.ts";
import { Field, OptionTable } from "../../options/table.ts";
import { checkScript } from "./script_fault.ts";

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

interface Delay {
  readonly delayMs: number;
  readonly then?: Outcome;
}

const DELAY = new OptionTable<Delay>("play the script", {
  delayMs: between(0, MAX_TIMER_MS),
  then: anything,
}, { noun: "field" });

const AT = new Field(DELAY.doing, "outcome");
const ALLOWED =
  '"ok", "never", an Error, { delayMs, then } with a number, or a promise';

function delayOf(outcome: unknown): Delay {
  return checkScript(() => {
    if (typeof outcome !== "object") return AT.reject(outcome, ALLOWED);
    const delay = DELAY.check(outcome, AT, ALLOWED);
    if (delay.delayMs !== undefined) return delay;
    return AT.wrong("an object without delayMs", ALLOWED);
  });
}

function isPromise(outcome: object): outcome is PromiseLike<Outcome> {
  return "then" in outcome && typeof outcome.then === "function";
}

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
  if (typeof outcome === "object" && outcome !== null && isPromise(outcome)) {
    return await pass(await abortable(outcome, signal), signal);
  }
  const { delayMs, then } = delayOf(outcome);
  await sleep(delayMs, signal);
  return await pass(then, signal);
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
