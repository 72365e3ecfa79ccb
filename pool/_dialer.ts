/**
 * The dials of one host that are under way.
 *
 * @module
 */

import type { ResolvedHost } from "../transport/host.ts";
import type { PoolContext } from "./_pool_context.ts";
import { dial, type Dialled, noteFailure } from "./_dial.ts";
import type { Permit } from "./_permits.ts";

/** What becomes of dials that were not aborted. */
export interface DialerListener {
  /** There is a connection; the permit goes with it. */
  onDialled(dialled: Dialled, permit: Permit, durationMs: number): void;
  /** It failed for good; the permit is given back. */
  onDialFailed(error: unknown): void;
  /** An attempt was throttled, and will be made again. */
  onThrottled(error: unknown): void;
}

/** A dial under way, until it succeeds, fails or loses its last waiter. */
interface Attempt {
  readonly controller: AbortController;
  readonly permit: Permit;
  readonly startedAt: number;
  /** Settles when nothing of the dial is left. */
  done: Promise<void>;
}

/** Begins dials, and owns them until they are settled or aborted. */
export class Dialer {
  readonly #core: PoolContext;
  readonly #host: ResolvedHost;
  readonly #name: string;
  readonly #outcomes: DialerListener;
  readonly #attempts = new Set<Attempt>();

  constructor(
    core: PoolContext,
    host: { readonly host: ResolvedHost; readonly name: string },
    outcomes: DialerListener,
  ) {
    this.#core = core;
    this.#host = host.host;
    this.#name = host.name;
    this.#outcomes = outcomes;
  }

  /** Dials under way. */
  get size(): number {
    return this.#attempts.size;
  }

  /** Begins a dial that holds this permit. */
  begin(permit: Permit): void {
    const attempt: Attempt = {
      controller: new AbortController(),
      permit,
      startedAt: performance.now(),
      done: Promise.resolve(),
    };
    this.#attempts.add(attempt);
    attempt.done = dial(this.#core, this.#host, {
      signal: attempt.controller.signal,
      onThrottled: (error) => this.#outcomes.onThrottled(error),
    }).then(
      (dialled) => this.#succeeded(attempt, dialled),
      (error) => this.#failed(attempt, error),
    );
  }

  /** Aborts every dial: nobody waits for them any more. */
  abort(): void {
    for (const attempt of [...this.#attempts]) {
      this.#attempts.delete(attempt);
      this.#core.telemetry.record({
        type: "dial-failed",
        host: this.#name,
        phase: "aborted",
        error: undefined,
      });
      attempt.controller.abort(
        new DOMException("No caller waits for this dial", "AbortError"),
      );
      attempt.permit.release();
      this.#core.closing(attempt.done);
    }
  }

  #succeeded(attempt: Attempt, dialled: Dialled): void {
    if (this.#attempts.delete(attempt)) {
      const durationMs = performance.now() - attempt.startedAt;
      this.#outcomes.onDialled(dialled, attempt.permit, durationMs);
      return;
    }
    // The last waiter left, or the pool closed, while the result was on its
    // way: nobody owns this connection.
    dialled.hop?.removePin();
    this.#core.closing(dialled.connection.close());
  }

  #failed(attempt: Attempt, error: unknown): void {
    if (!this.#attempts.delete(attempt)) return; // aborted: nobody waits for it
    attempt.permit.release();
    noteFailure(this.#core, this.#host, error);
    this.#outcomes.onDialFailed(error);
  }
}
