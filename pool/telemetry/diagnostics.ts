/**
 * What a pool tells through `node:diagnostics_channel`, to subscribers in
 * the process: monitoring agents, loggers, tests. Where nobody does, it costs a
 * few nanoseconds a call.
 *
 * **Events.** Each {@linkcode PoolEvent} is published on a channel named after
 * its type, as a {@linkcode DiagnosticEvent}: `sshpool:dial`,
 * `sshpool:connected`, `sshpool:dial-failed`, `sshpool:disconnected`,
 * `sshpool:limit-learned`, `sshpool:retry`, `sshpool:cooldown`, `sshpool:leak`,
 * `sshpool:reclaimed`, `sshpool:forward-failed`, `sshpool:notice`.
 *
 * **Operations.** Each call is traced on the five channels that
 * `tracingChannel("sshpool:NAME")` of Node has, `tracing:sshpool:exec:start` and
 * so on, where NAME is an {@linkcode OperationName}. All five get the same
 * {@linkcode PoolOperation} of one call.
 *
 * No message holds a credential, a command line or output of a command.
 *
 * @example Log slow commands
 * ```ts
 * import { subscribe } from "node:diagnostics_channel";
 * import type { PoolOperation } from "@sshpool/sshpool/pool";
 *
 * subscribe("tracing:sshpool:exec:asyncEnd", (message) => {
 *   const { host, durationMs = 0, error } = message as PoolOperation;
 *   if (durationMs > 5_000) console.warn("slow command", host, durationMs, error);
 * });
 * ```
 *
 * @module
 */

import type { ConnectionAlgorithms } from "../../transport/connector.ts";
import type { PoolEvent, PoolStats } from "./events.ts";

/** The pool that tells something: the `ConnectionPool` itself. */
export interface DiagnosticPool {
  /** Its name. */
  readonly name: string;
  /** Returns what it looks like now. */
  stats(): PoolStats;
}

/** What is published on the channel `sshpool:TYPE` for an event of that type. */
export type DiagnosticEvent = PoolEvent & {
  /** The pool in which it happened. */
  readonly pool: DiagnosticPool;
};

/**
 * What is traced:
 *
 * - `exec`, `spawn`, `shell`, `sftp`, `upload`, `download`, `connect` and
 *   `forward`: the calls of these names, of a pool, of a handle and of a
 *   connection that `getConnection()` gave; `subsystem` of such a connection;
 * - `acquire`: getting a slot, for `acquire()` and within the calls above; and
 *   waiting for a connection, for `getConnection()`, unless there is one;
 * - `dial`: opening a connection, all attempts together.
 */
export type OperationName =
  | "acquire"
  | "connect"
  | "dial"
  | "download"
  | "exec"
  | "forward"
  | "sftp"
  | "shell"
  | "spawn"
  | "subsystem"
  | "upload";

/** Everything that is traced; a record, so that none can be left out. */
const NAMES: Readonly<Record<OperationName, true>> = {
  acquire: true,
  connect: true,
  dial: true,
  download: true,
  exec: true,
  forward: true,
  sftp: true,
  shell: true,
  spawn: true,
  subsystem: true,
  upload: true,
};

/** Everything that is traced. */
export const OPERATION_NAMES: readonly OperationName[] = Object.keys(
  NAMES,
) as OperationName[];

/** How something ended that a call had opened. */
export interface OperationEnd {
  /** The exit code of a process; `null` if it has none. */
  readonly code?: number | null;
  /** The signal that ended a process; `null` if none did. */
  readonly signal?: string | null;
  /** What went wrong. */
  readonly error?: unknown;
}

/**
 * One call, from its start to its end: the message of the tracing channels. It
 * is filled in as the call goes on.
 */
export interface PoolOperation {
  /** What is done. */
  readonly name: OperationName;
  /** The pool that does it. */
  readonly pool: DiagnosticPool;
  /**
   * The host: `user@host:port` once it is looked up, before that what the
   * caller calls it.
   */
  readonly host: string;
  /** The host name or address that is dialled, once it is looked up. */
  readonly address?: string;
  /** The port that is dialled, once it is looked up. */
  readonly port?: number;
  /** What SSH runs over, once it is looked up: a `ProxyCommand` is a pipe. */
  readonly transport?: "tcp" | "pipe";
  /**
   * The operation that this one is part of. That of a dial is the `acquire` of
   * the caller that has waited longest; other callers may share the dial.
   */
  readonly parent?: PoolOperation;
  /** By `performance.now()`. */
  readonly startedAt: number;
  /** How long the call took, in milliseconds, once it has settled. */
  readonly durationMs?: number;
  /** Of `acquire`: whether it had to wait. */
  readonly waited?: boolean;
  /** Of `dial`: attempts so far. */
  readonly attempts?: number;
  /** Of `dial`, once it has succeeded: how the server calls itself. */
  readonly serverSoftware?: string;
  /** Of `dial`, once it has succeeded: what the key exchange agreed on. */
  readonly algorithms?: ConnectionAlgorithms;
  /** Of `exec`: the exit code. */
  readonly code?: number | null;
  /** Of `exec`: the signal that ended the command. */
  readonly signal?: string | null;
  /** Why it failed. Set before the channel `error` gets the message. */
  readonly error?: unknown;
  /**
   * Of calls that open something, once they have settled: resolves when that
   * has ended, such as the process of `spawn`, or when the slot of `acquire`
   * was given back. Never rejects.
   */
  readonly closed?: Promise<OperationEnd>;
  /**
   * Gives the command line of `exec` and `spawn`. It is not part of the message,
   * since it may hold a secret: call it only where that does no harm.
   */
  commandLine(): string | undefined;
}
