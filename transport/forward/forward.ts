/**
 * What a forward is to its user.
 *
 * @module
 */

import type { ForwardTarget } from "../host/target.ts";

/** Why a forward has ended. */
export type ForwardEnd =
  /** `close()` was called, or its signal aborted. */
  | { readonly kind: "local" }
  /** It failed for good. */
  | { readonly kind: "failed"; readonly error: Error };

/**
 * A forward: it listens on one side, and leads each connection to the other.
 *
 * It keeps the process alive until it is closed, as any listener does; see
 * {@linkcode Forward.unref}. The failure of one connection ends that
 * connection alone.
 */
export interface Forward extends AsyncDisposable {
  /** Where it listens, with the port that was chosen if 0 was asked for. */
  readonly address: ForwardTarget;
  /** Connections that are open or being opened. */
  readonly connections: number;
  /** Resolves when it has ended and its connections too, with why. Never rejects. */
  readonly closed: Promise<ForwardEnd>;
  /** Stops listening and ends its connections at once. Idempotent, never rejects. */
  close(): Promise<void>;
  /** Lets the process end while it has no connection. */
  unref(): void;
}

/**
 * Why a connection of a forward has failed:
 *
 * - `"too-many"`: `maxConnections` were open, and it was reset;
 * - `"client"`: a SOCKS client did not say where to, or said it in a way that is
 *   not served; or a client hung up before it was served;
 * - `"not-opened"`: there is no way to the target: the server refused, the
 *   target was not reached, or there was no connection to the host;
 * - `"broken"`: it was open, and then an end of it or the connection was lost;
 * - `"not-listening"`: no connection at all: the forward cannot listen, or not
 *   yet again.
 */
export type ForwardFailureReason =
  | "too-many"
  | "client"
  | "not-opened"
  | "broken"
  | "not-listening";

/** What went wrong with one connection of a forward. */
export interface ForwardFailure {
  readonly reason: ForwardFailureReason;
  /** Where the forward listens. */
  readonly listen: ForwardTarget;
  /** Where it was to lead, if that is known. */
  readonly to: ForwardTarget | undefined;
  readonly error: unknown;
}

/** Called for each failure, beside `onError`. Must not throw. */
export type TellFailure = (failure: ForwardFailure) => void;

/**
 * Tells of a failure.
 *
 * @param options The options of the caller.
 * @param tell Called for it, too.
 * @param failure What went wrong.
 */
export function tellFailure(
  options: CommonForwardOptions,
  tell: TellFailure | undefined,
  failure: ForwardFailure,
): void {
  tell?.(failure);
  try {
    options.onError?.(failure.error);
  } catch {
    // Errors thrown by the callback are ignored, as it is documented.
  }
}

/** Options of every forward. */
export interface CommonForwardOptions {
  /** Closes the forward. */
  readonly signal?: AbortSignal;
  /**
   * Called with the error of each connection that failed. What it throws is
   * ignored. Default: nothing is called.
   */
  readonly onError?: (error: unknown) => void;
  /**
   * How many connections may be open at once; one more is reset.
   *
   * @default {1024}
   */
  readonly maxConnections?: number;
  /**
   * Whether a unix socket that is left at the path is replaced, as ssh's
   * `StreamLocalBindUnlink` does. Any other file is never replaced.
   *
   * @default {false}
   */
  readonly replaceSocket?: boolean;
}
