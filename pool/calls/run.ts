/**
 * Runs something on a slot, and again where nothing can have run.
 *
 * @module
 */

import type { Connection } from "../../transport/connector.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
  ExecTimeoutError,
  OutputLimitError,
  SshError,
} from "../../transport/errors.ts";
import { hostName } from "../../transport/host/host.ts";
import { ChannelClosedError } from "../../transport/session/errors.ts";
import type { Lane } from "../lane/lane.ts";
import type { PoolContext } from "../lane/context.ts";
import type {
  PooledConnection,
  SlotKind,
} from "../connection/pooled_connection.ts";
import type { SessionAttempt } from "../connection/session_limit.ts";
import { isTraced, type Operation, trace } from "../telemetry/tracing.ts";
import type { WaitOptions } from "../lane/wait_queue.ts";
import type { RetryCause } from "../telemetry/events.ts";

/** What to run, and how. */
export interface Job<T> {
  readonly kind: SlotKind;
  /** Begins it; `onOpen` is to be called when the channel is open. */
  start(
    connection: Connection,
    onOpen: () => void,
    pooled: PooledConnection,
  ): Promise<T>;
  /** What keeps the slot after `start` has resolved. */
  hold?(value: T): Promise<unknown>;
  /** Whether it may run twice. */
  readonly idempotent?: boolean;
}

/** The reason code of RFC 4254 that OpenSSH sends beyond MaxSessions. */
const OPEN_CONNECT_FAILED = 2;

/** It ended, and nobody knows how far it came. */
type Loss = ConnectionLostError | ChannelClosedError;

function isLoss(error: unknown): error is Loss {
  return error instanceof ConnectionLostError ||
    error instanceof ChannelClosedError;
}

/** What is known of a job after tries that failed. */
interface Retry {
  /** When the wait for a slot must end. */
  readonly deadlineAt: number;
  /** How often the connection was lost under it. */
  losses: number;
  /** The loss of a try in which it may have run. */
  ran: Loss | undefined;
}

/**
 * Runs a job on a slot of its host.
 *
 * @param context The pool.
 * @param lane The lane of the host.
 * @param job What to run.
 * @param wait How long the caller waits for a slot, and what is told of its call.
 */
export async function run<T>(
  context: PoolContext,
  lane: Lane,
  job: Job<T>,
  wait: WaitOptions,
): Promise<T> {
  let retry: Retry | undefined;
  for (;;) {
    let pooled: PooledConnection | undefined;
    let attempt: SessionAttempt | undefined;
    const slot = isTraced("acquire")
      ? slotOperation(context, lane, wait)
      : undefined;
    try {
      pooled = slot === undefined
        ? lane.tryTake(job.kind) ??
          await lane.acquire(job.kind, waitOptions(wait, retry))
        : await takeTraced(slot, lane, job.kind, waitOptions(wait, retry));
      // The hand-over may have crossed an abort: the slot goes to the next.
      wait.signal?.throwIfAborted();
      const value = await begin(pooled, lane, job, (it) => attempt = it);
      wait.operation?.ran(value, job.hold?.(value));
      release(pooled, attempt!, job, value, slot);
      return value;
    } catch (error) {
      const cause = pooled && attempt &&
        retryCause(context, lane, { pooled, attempt, job, wait, error, retry });
      giveBack(pooled, attempt, job.kind, error);
      slot?.givenBack();
      if (cause === undefined) throw explained(error, pooled, retry);
      // A refusal that crosses an abort, or the end of the pool, is not the
      // caller's concern.
      wait.signal?.throwIfAborted();
      if (context.isClosing) throw context.closedError(lane.name);
      context.telemetry.record({ type: "retry", host: lane.name, cause });
      retry ??= { deadlineAt: deadlineOf(wait), losses: 0, ran: undefined };
      if (cause !== "channel-open") retry.losses++;
      if (cause === "idempotent") retry.ran = error as Loss;
    }
  }
}

/** Starts the job, in the turn in which its session channel is asked for. */
function begin<T>(
  pooled: PooledConnection,
  lane: Lane,
  job: Job<T>,
  onAttempt: (attempt: SessionAttempt) => void,
): Promise<T> {
  const attempt = pooled.beginSession();
  onAttempt(attempt);
  const started = job.start(
    pooled.connection,
    () => pooled.sessionOpened(attempt),
    pooled,
  );
  pooled.openSpare(lane.sessionLimit);
  return started;
}

/** The wait for a slot, if somebody is told of it. */
function slotOperation(
  context: PoolContext,
  lane: Lane,
  { operation: parent }: WaitOptions,
): Operation | undefined {
  const { host } = lane;
  const slot = context.telemetry.operation("acquire", { host, parent });
  slot?.found(lane);
  return slot;
}

function takeTraced(
  slot: Operation,
  lane: Lane,
  kind: SlotKind,
  wait: WaitOptions,
): Promise<PooledConnection> {
  return trace(slot, async () => {
    const free = lane.tryTake(kind);
    slot.waited = free === undefined;
    return free ?? await lane.acquire(kind, { ...wait, operation: slot });
  }, () => slot.held());
}

function deadlineOf({ timeoutMs }: WaitOptions): number {
  return timeoutMs === 0 ? Infinity : performance.now() + timeoutMs;
}

/** One that tries again goes first: everybody else came later. */
function waitOptions(
  { signal, timeoutMs }: WaitOptions,
  retry: Retry | undefined,
): WaitOptions {
  if (retry === undefined) return { signal, timeoutMs };
  const leftMs = retry.deadlineAt - performance.now();
  return {
    signal,
    timeoutMs: leftMs === Infinity ? 0 : Math.max(1, leftMs),
    isRetry: true,
  };
}

function release<T>(
  pooled: PooledConnection,
  attempt: SessionAttempt,
  { kind, hold }: Job<T>,
  value: T,
  slot: Operation | undefined,
): void {
  if (hold === undefined) {
    pooled.endSession(attempt, kind, false);
    slot?.givenBack();
    return;
  }
  hold(value).then(
    () => pooled.endSession(attempt, kind, false),
    (error) => pooled.endSession(attempt, kind, isOrphan(error)),
  ).then(() => slot?.givenBack());
}

function giveBack(
  pooled: PooledConnection | undefined,
  attempt: SessionAttempt | undefined,
  kind: SlotKind,
  error: unknown,
): void {
  if (attempt !== undefined) pooled?.endSession(attempt, kind, isOrphan(error));
  else pooled?.giveSlot(kind);
}

/** A command that we stopped may live on in the server, and keep its session. */
function isOrphan(error: unknown): boolean {
  return !(error instanceof SshError) || error instanceof ExecTimeoutError ||
    error instanceof OutputLimitError;
}

interface Failure {
  readonly pooled: PooledConnection;
  readonly attempt: SessionAttempt;
  readonly job: Job<unknown>;
  readonly wait: WaitOptions;
  readonly error: unknown;
  readonly retry: Retry | undefined;
}

/** Why the job is to be tried again; `undefined` if it must not. */
function retryCause(
  context: PoolContext,
  lane: Lane,
  { pooled, attempt, job, wait, error, retry }: Failure,
): RetryCause | undefined {
  if (error instanceof ChannelOpenError && !attempt.isOpen) {
    if (error.reason !== OPEN_CONNECT_FAILED) return undefined;
    return isTemporary(lane, pooled, attempt) ? "channel-open" : undefined;
  }
  if (context.isClosing || wait.signal?.aborted) return undefined;
  const losses = retry?.losses ?? 0;
  if (!isLoss(error) || losses > 0) return undefined;
  if (!error.mayHaveRun) return "not-sent";
  return job.idempotent ? "idempotent" : undefined;
}

/** Whether a refused channel is worth another try. */
function isTemporary(
  lane: Lane,
  pooled: PooledConnection,
  attempt: SessionAttempt,
): boolean {
  const refusal = pooled.sessionRefused(attempt);
  if (refusal.kind === "limit") lane.learn(refusal.limit);
  if (refusal.kind === "clogged") pooled.drain("discarded");
  return refusal.kind !== "refused";
}

/**
 * Completes an error: a second try that failed does not undo what the first
 * may have done, and the hop is named whose end took the connection with it.
 */
function explained(
  error: unknown,
  pooled: PooledConnection | undefined,
  retry: Retry | undefined,
): unknown {
  const ran = retry?.ran;
  if (ran !== undefined && error instanceof SshError && !error.mayHaveRun) {
    return new ConnectionLostError(
      `${ran.message}; it could not be run again: ${error.message}`,
      { host: ran.host, mayHaveRun: true, output: ran.output, cause: error },
    );
  }
  const hop = pooled?.hop;
  if (!(error instanceof ConnectionLostError) || hop?.state !== "gone") {
    return error;
  }
  const { host, mayHaveRun, output } = error;
  return new ConnectionLostError(
    `${error.message}: its hop "${hostName(hop.connection.host)}" was lost`,
    { host, mayHaveRun, output, cause: error },
  );
}

/** The error for what the adapter of a pool cannot do. */
export function unsupported({ host }: Connection, what: string): TypeError {
  return new TypeError(
    `Cannot serve "${hostName(host)}": its connector does not support ${what}`,
  );
}
