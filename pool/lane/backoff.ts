/**
 * How long a host is not dialled after a failed dial.
 *
 * @module
 */

import { AuthenticationError, HostKeyError } from "../../transport/errors.ts";
import { HostCooldownError } from "../../transport/pool_errors.ts";
import { hintOf, reasonOf } from "../telemetry/failure.ts";
import type { BackoffOptions } from "../options.ts";

/** From here on a longer row of failures makes no longer pause. */
const MOST_STEPS = 100;

/** Returns the pause after the n-th failure in a row, jittered, in milliseconds. */
export function pauseMs(
  { initialMs, maxMs, factor, jitter }: Required<BackoffOptions>,
  failures: number,
): number {
  // Bounded: with an initial pause of 0, Infinity would make it NaN.
  const growth = factor ** Math.min(failures - 1, MOST_STEPS);
  return Math.min(maxMs, initialMs * growth) * (1 - jitter * Math.random());
}

/** The failures of one host, and when it may be dialled again. */
export class Backoff {
  readonly #options: Required<BackoffOptions>;
  #failures = 0;
  #until = 0;
  #error: unknown;

  constructor(options: Required<BackoffOptions>) {
    this.#options = options;
  }

  /** For how long the host is not dialled, in milliseconds. */
  get remainingMs(): number {
    return this.#until === 0 ? 0 : Math.max(0, this.#until - performance.now());
  }

  /** The last failure since a dial succeeded. */
  get lastError(): unknown {
    return this.#error;
  }

  /** Notes a dial that succeeded. */
  succeeded(): void {
    this.#failures = this.#until = 0;
    this.#error = undefined;
  }

  /** Notes a throttled attempt; the dial goes on. */
  throttled(error: unknown): void {
    this.#error = error;
  }

  /** Notes a failed dial. Returns the pause in milliseconds. */
  failed(error: unknown): number {
    this.#error = error;
    const durationMs = isRefusal(error)
      ? this.#options.refusedMs
      : pauseMs(this.#options, ++this.#failures);
    this.#until = performance.now() + durationMs;
    return durationMs;
  }

  /** Returns the error for a caller who comes too early. */
  check(name: string): unknown {
    const retryAfterMs = Math.ceil(this.remainingMs);
    if (retryAfterMs === 0) return undefined;
    // A refused credential stays refused: the same error, and no login.
    if (isRefusal(this.#error)) return this.#error;
    return new HostCooldownError(
      `Cannot connect to "${name}": host is cooling down for ${retryAfterMs} ` +
        `ms, the last dial failed: ${reasonOf(this.#error)}`,
      {
        host: name,
        retryAfterMs,
        cause: this.#error,
        hint: hintOf(this.#error),
      },
    );
  }
}

/** Returns whether a dial would only fail again, and might get the address locked out. */
export function isRefusal(error: unknown): boolean {
  for (
    let e = error;
    e instanceof Error;
    e = e.cause
  ) {
    if (e instanceof AuthenticationError || e instanceof HostKeyError) {
      return true;
    }
  }
  return false;
}
