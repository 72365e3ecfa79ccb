/**
 * A caller in the queue of one host.
 *
 * @module
 */

import type { PooledConnection } from "./_pooled_connection.ts";
import { ListNode } from "./_linked_list.ts";

/**
 * What a waiter takes when its turn comes: a slot, a pin (a hop that must not
 * go while a tunnel is on it), or nothing but a look at the connection.
 */
export type Claim = "slot" | "pin" | "shared";

/** How long and under which signal a waiter waits. */
export interface WaitOptions {
  /** Frees this waiter. */
  readonly signal?: AbortSignal | undefined;
  /** In milliseconds; 0 for ever. */
  readonly timeoutMs: number;
}

/** One caller that waits; settles once, and leaves no timer and no listener. */
export class Waiter extends ListNode<Waiter> {
  readonly claim: Claim;
  /** The order of arrival, over all waiters of the pool. */
  readonly seq: number;
  /** Resolves with a connection on which the claim is already taken. */
  readonly promise: Promise<PooledConnection>;
  readonly #signal: AbortSignal | undefined;
  readonly #startedAt: number = performance.now();
  #resolve!: (pooled: PooledConnection) => void;
  #reject!: (error: unknown) => void;
  #onAbort: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param onLeave Called when the caller loses wait, with the signal's
   * reason or nothing; it must take this waiter out of its queue and `fail` it.
   */
  constructor(
    claim: Claim,
    seq: number,
    wait: WaitOptions,
    onLeave: (waiter: Waiter, aborted: boolean) => void,
  ) {
    super();
    this.claim = claim;
    this.seq = seq;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#signal = wait.signal;
    if (wait.signal !== undefined) {
      this.#onAbort = () => onLeave(this, true);
      wait.signal.addEventListener("abort", this.#onAbort, { once: true });
    }
    if (wait.timeoutMs > 0) {
      // Never unref'd: somebody waits for it.
      this.#timer = setTimeout(() => onLeave(this, false), wait.timeoutMs);
    }
  }

  /** The reason of the signal that freed this waiter. */
  get abortReason(): unknown {
    return this.#signal?.reason;
  }

  /** How long it has waited, in milliseconds. */
  get waitedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** Hands the connection over: the claim is taken here, before anybody else runs. */
  grant(pooled: PooledConnection): void {
    this.#cleanUp();
    if (this.claim === "slot") pooled.takeSlot();
    else if (this.claim === "pin") pooled.addPin();
    else pooled.touch();
    this.#resolve(pooled);
  }

  /** Ends the wait with an error. */
  fail(error: unknown): void {
    this.#cleanUp();
    this.#reject(error);
  }

  #cleanUp(): void {
    clearTimeout(this.#timer);
    if (this.#onAbort !== undefined) {
      this.#signal?.removeEventListener("abort", this.#onAbort);
    }
  }
}
