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
