/**
 * Failures that are a pool's own: a wait that was too long, a pool that is
 * closed, a host that is left alone for a while. They are here and not in the
 * pool because a connection may lead to the pool of another process.
 *
 * @module
 */

import { SshError, type SshErrorOptions } from "./errors.ts";

/**
 * The pool was closed before the call, or while the call waited. Nothing has run.
 *
 * @example After the end of the pool
 * ```ts
 * import { ConnectionPool, PoolClosedError } from "@sshpool/sshpool";
 * import { assertRejects } from "@std/assert";
 *
 * const pool = new ConnectionPool();
 * await pool.close();
 * await assertRejects(() => pool.exec("web-1", "uptime"), PoolClosedError);
 * ```
 */
export class PoolClosedError extends SshError {
  static {
    this.prototype.name = "PoolClosedError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_POOL_CLOSED";
  /** The step that failed. */
  override readonly phase = "closed";
}

/** Why a caller had to wait for so long. */
export type WaitReason =
  /** `maxConnections` is reached and every connection is busy. */
  | "cap"
  /** Every slot of every connection of the host is taken. */
  | "busy"
  /** A dial is in flight, or waits for its turn. */
  | "dialing"
  /** Dials keep failing and are retried. */
  | "dial-failing"
  /** The host cools down after failures. */
  | "cooling-down"
  /** The host is still being looked up, in files or by a command. */
  | "resolving";

/** What a pool looked like when a caller's wait ended. */
export interface WaitSnapshot {
  /** Why the caller waited. */
  readonly reason: WaitReason;
  /** How long it waited, in milliseconds. */
  readonly waitedMs: number;
  /** Live connections of the host. */
  readonly connections: number;
  /** Slots of the host that are taken. */
  readonly slotsInUse: number;
  /** Slots of the host in all. */
  readonly slots: number;
  /** Callers that wait for the host, this one included. */
  readonly waiting: number;
  /** Dials of the host in flight. */
  readonly dialing: number;
  /** Live connections of the pool. */
  readonly poolConnections: number;
  /** The pool's `maxConnections`. */
  readonly maxConnections: number;
}

/**
 * A caller waited longer than `acquireTimeoutMs`. Nothing has run.
 *
 * @example Why the caller waited
 * ```ts
 * import { AcquireTimeoutError, ConnectionPool } from "@sshpool/sshpool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector({ onDial: () => "never" });
 * await using pool = new ConnectionPool({ connector, config: false });
 * const error = await assertRejects(
 *   () => pool.exec("ops@web-1", "uptime", { acquireTimeoutMs: 20 }),
 *   AcquireTimeoutError,
 * );
 * assertEquals(error.snapshot.reason, "dialing");
 * ```
 */
export class AcquireTimeoutError extends SshError {
  static {
    this.prototype.name = "AcquireTimeoutError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_ACQUIRE_TIMEOUT";
  /** The step that failed. */
  override readonly phase = "acquire";
  /** Why: what the pool looked like. */
  readonly snapshot: WaitSnapshot;

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options The host and the snapshot.
   */
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** What the pool looked like. */
      readonly snapshot: WaitSnapshot;
    },
  ) {
    super(message, options);
    this.snapshot = options.snapshot;
  }
}

/**
 * The host could not be reached a moment ago and is not dialled again yet. The
 * last failure is the `cause`. Nothing has run.
 *
 * @example When to try again, and what had failed
 * ```ts
 * import { HostCooldownError } from "@sshpool/sshpool";
 *
 * function describe(error: unknown): string {
 *   if (!(error instanceof HostCooldownError)) throw error;
 *   return `again in ${error.retryAfterMs} ms, after ${error.cause}`;
 * }
 * describe(new HostCooldownError("cooling down", { retryAfterMs: 200 }));
 * ```
 */
export class HostCooldownError extends SshError {
  static {
    this.prototype.name = "HostCooldownError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_HOST_COOLDOWN";
  /** The step that failed. */
  override readonly phase = "cooldown";
  /** When a dial may be tried again, from the throw, in milliseconds. */
  readonly retryAfterMs: number;

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options The host, the cause and the time left.
   */
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** When a dial may be tried again, from now, in milliseconds. */
      readonly retryAfterMs: number;
    },
  ) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}
