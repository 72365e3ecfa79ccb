/**
 * How many dials may be in flight at once, over all hosts: a window that
 * closes when servers throttle and opens again as dials succeed.
 *
 * @module
 */

import { onAbort } from "../../transport/abort.ts";
import { LinkedList, ListNode } from "./linked_list.ts";

/** How a dial ended, as far as the window cares. */
export type DialOutcome = "ok" | "throttled" | "failed";

/** The window never closes below this: one bad server must not stop the rest. */
const LOWEST = 4;

/** A burst of drops is one sign, not many. About the time of one dial. */
const CUT_INTERVAL_MS = 50;

class Turn extends ListNode<Turn> {
  constructor(readonly begin: () => void) {
    super();
  }
}

/**
 * A semaphore in the order of arrival whose size follows what servers bear
 * (additive increase, multiplicative decrease). sshd at its defaults drops 30 %
 * of what comes while 10 logins are under way, and a thousand hosts may well be
 * one sshd, so a fixed number is either slow or lossy.
 */
export class DialLimiter {
  readonly #max: number;
  readonly #queue = new LinkedList<Turn>();
  #size: number;
  #inFlight = 0;
  #lastCut = -Infinity;

  constructor(max: number) {
    this.#max = max;
    this.#size = max;
  }

  /** How many dials may be in flight now. */
  get size(): number {
    return Math.floor(this.#size);
  }

  /**
   * Waits for a turn to dial.
   *
   * @param signal Leaves the line; the promise rejects with its reason.
   * @param front Go first: this dial had its turn before, and was throttled.
   */
  take(signal: AbortSignal, front: boolean): Promise<void> {
    // A signal that has aborted tells nobody again: the dial would keep its
    // place for nothing.
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#queue.size === 0 && this.#inFlight < this.size) {
      this.#inFlight++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const turn = new Turn(() => {
        stopWatching();
        resolve();
      });
      const stopWatching = onAbort(signal, () => {
        this.#queue.remove(turn);
        reject(signal.reason);
      });
      if (front) this.#queue.insertAfter(undefined, turn);
      else this.#queue.push(turn);
    });
  }

  /** Ends a turn. */
  give(outcome: DialOutcome): void {
    this.#inFlight--;
    if (outcome === "throttled") this.#cut();
    else if (outcome === "ok") this.#grow();
    while (this.#inFlight < this.size) {
      const turn = this.#queue.shift();
      if (turn === undefined) return;
      this.#inFlight++;
      turn.begin();
    }
  }

  #cut(): void {
    const now = performance.now();
    if (now - this.#lastCut < CUT_INTERVAL_MS) return;
    this.#lastCut = now;
    const lowest = Math.min(LOWEST, this.#max);
    this.#size = Math.max(lowest, this.#size * 0.7);
  }

  #grow(): void {
    this.#size = Math.min(this.#max, this.#size + 1 / this.#size);
  }
}
