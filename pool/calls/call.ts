/**
 * One call of a verb: where it goes, how long it may wait, and how it is traced.
 *
 * @module
 */

import type { Command } from "../../transport/command/command.ts";
import type { Forward } from "../../transport/forward/forward.ts";
import type { HostLike } from "../../transport/host/host.ts";
import type { Sftp } from "../../transport/sftp/sftp.ts";
import type { PoolContext } from "../lane/context.ts";
import type { Lane } from "../lane/lane.ts";
import type { WaitOptions } from "../lane/wait_queue.ts";
import { withCallerStack } from "../telemetry/failure.ts";
import type { OperationName } from "../telemetry/diagnostics.ts";
import { isTraced, type Operation, trace } from "../telemetry/tracing.ts";

/** Lends the SFTP sessions of one lane. */
export interface SftpLender {
  /** Lends a session; see {@linkcode FileSessions}. */
  open(wait: WaitOptions): Promise<Sftp>;
}

/** Where lanes are found. */
export interface LaneDirectory {
  /** Returns the lane of a host, if finding it takes no work. */
  known(host: HostLike): Lane | undefined;
  /** Returns the lane of a host; a promise if a file has to be read first. */
  find(host: HostLike): Lane | Promise<Lane>;
}

/** What calls use of the pool. */
export interface CallContext extends PoolContext {
  /** Aborts when the pool begins to close, with the error for its callers. */
  readonly closingSignal: AbortSignal;
  /** The forwards that are open. */
  readonly forwards: Set<Forward>;
  readonly directory: LaneDirectory;
  /** Waits for a lane that is being looked up. */
  awaitLane(
    host: HostLike,
    lane: Promise<Lane>,
    wait: WaitOptions,
  ): Promise<Lane>;
  /** Returns what lends the SFTP sessions of a lane. */
  filesOf(lane: Lane): SftpLender;
}

/** Where a call goes: a host of a pool. */
export class CallTarget {
  readonly pool: CallContext;
  readonly host: HostLike;

  constructor(pool: CallContext, host: HostLike) {
    this.pool = pool;
    this.host = host;
  }

  /**
   * Returns the lane of the host; a promise if a file has to be read first.
   *
   * @throws {PoolClosedError} If the pool is closed.
   * @throws {TypeError} If the host is malformed.
   */
  find(): Lane | Promise<Lane> {
    const { pool } = this;
    if (pool.isClosing) throw pool.closedError();
    return pool.directory.find(this.host);
  }
}

/** One call. */
export interface Call {
  readonly name: OperationName;
  readonly signal?: AbortSignal | undefined;
  readonly acquireTimeoutMs?: number | undefined;
  /** The command, for those who trace the call. */
  readonly command?: Command | undefined;
  /** The call that this one is part of. */
  readonly parent?: Operation | undefined;
}

/** Options that were checked. */
export type CheckedAcquireOptions = Pick<Call, "signal" | "acquireTimeoutMs">;

/** What a call does with its lane. */
export type LaneWork<T> = (lane: Lane, wait: WaitOptions) => Promise<T>;

/** Does the work of a call on the lane of its host. */
export function onLane<T>(
  target: CallTarget,
  call: Call,
  work: LaneWork<T>,
): Promise<T> {
  return traced(target, call, async (operation) => {
    try {
      const wait = waitOptions(target, call, operation);
      const found = findLane(target, wait);
      const lane = found instanceof Promise ? await found : found;
      return await work(lane, wait);
    } catch (error) {
      throw withCallerStack(error);
    }
  });
}

/** Runs a call, and traces it if its name has subscribers. */
export function traced<T>(
  { pool, host }: CallTarget,
  call: Call,
  run: (operation: Operation | undefined) => Promise<T>,
): Promise<T> {
  if (!isTraced(call.name)) return run(undefined);
  const { command, parent } = call;
  const operation = pool.telemetry.operation({
    name: call.name,
    host,
    command,
    parent,
  });
  return trace(operation, () => run(operation));
}

/** Runs a verb that is made of others, and traces it as one call. */
export function tracedWhole<T>(
  target: CallTarget,
  name: OperationName,
  run: (operation: Operation | undefined) => Promise<T>,
): Promise<T> {
  return traced(target, { name }, async (operation) => {
    const value = await run(operation);
    if (operation === undefined) return value;
    const lane = target.pool.directory.known(target.host);
    if (lane !== undefined) operation.setHost(lane);
    const { closed } = value as { closed?: Promise<unknown> };
    if (closed !== undefined) operation.holdUntil(closed);
    return value;
  });
}

/** Returns how long a call waits: its own option overrides the pool's. */
export function waitOptions(
  { pool }: CallTarget,
  call: Call,
  operation: Operation | undefined,
): WaitOptions {
  const { signal, acquireTimeoutMs: timeoutMs = pool.limits.acquireTimeoutMs } =
    call;
  return { signal, timeoutMs, operation };
}

/**
 * Finds the lane of a call. There is no promise if the lane is known, so that
 * it is used in the turn of the call: of a hundred callers that come at once
 * the first makes the lane, and the others find it in use.
 */
export function findLane(
  target: CallTarget,
  wait: WaitOptions,
): Lane | Promise<Lane> {
  wait.signal?.throwIfAborted();
  const found = target.find();
  if (found instanceof Promise) return awaitLane(target, found, wait);
  wait.operation?.setHost(found);
  return found;
}

async function awaitLane(
  { pool, host }: CallTarget,
  found: Promise<Lane>,
  wait: WaitOptions,
): Promise<Lane> {
  const lane = await pool.awaitLane(host, found, wait);
  wait.operation?.setHost(lane);
  return lane;
}

/** Makes what a call throws a rejection: who awaits it looks in one place. */
export function rejecting<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call();
  } catch (error) {
    return Promise.reject(error);
  }
}
