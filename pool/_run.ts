/**
 * Runs something on a slot, and again where nothing can have run.
 *
 * @module
 */

import type { Command } from "../transport/command.ts";
import type { Connection } from "../transport/connector.ts";
import type { ExecResult, RemoteProcess } from "../transport/process.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
  SshError,
} from "../transport/errors.ts";
import { hostName } from "../transport/host.ts";
import { withCallerStack } from "./_caller_stack.ts";
import type { PoolContext } from "./_pool_context.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import type { Lane } from "./_lane.ts";
import type { Attempt } from "./_session_limit.ts";
import type { RetryCause } from "./events.ts";
import {
  acquireTimeout,
  type ExecOptions,
  type SpawnOptions,
} from "./options.ts";

/** What to run, and how. */
export interface Job<T> {
  /** Begins it; `onOpen` is to be called when the channel is open. */
  start(connection: Connection, onOpen: () => void): Promise<T>;
  /** What keeps the slot after `start` has resolved. */
  hold?(value: T): Promise<unknown>;
  /** Whether it may run twice. */
  readonly idempotent: boolean;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

/** The reason code of RFC 4254 that OpenSSH sends beyond MaxSessions. */
const OPEN_CONNECT_FAILED = 2;

/** What is known of a job after tries that failed. */
interface Tries {
  /** Its place in the queue. */
  seq: number | undefined;
  /** How often the connection was lost under it. */
  lost: number;
  /** When its wait ends; 0 before the first retry. */
  deadlineAt: number;
  /** The loss of a try in which it may have run. */
  ran: ConnectionLostError | undefined;
}

/** Runs a job on a slot of its host. */
export async function run<T>(
  core: PoolContext,
  lane: Lane,
  job: Job<T>,
): Promise<T> {
  const tries: Tries = {
    seq: undefined,
    lost: 0,
    deadlineAt: 0,
    ran: undefined,
  };
  try {
    return await tryUntilDone(core, lane, job, tries);
  } catch (error) {
    throw withCallerStack(
      tries.ran === undefined ? error : afterRunning(tries.ran, error),
    );
  }
}

/** A second try that failed does not undo what the first may have done. */
function afterRunning(ran: ConnectionLostError, error: unknown): unknown {
  if (!(error instanceof SshError) || error.mayHaveRun) return error;
  return new ConnectionLostError(
    `${ran.message}; it could not be run again: ${error.message}`,
    { host: ran.host, mayHaveRun: true, output: ran.output, cause: error },
  );
}

async function tryUntilDone<T>(
  core: PoolContext,
  lane: Lane,
  job: Job<T>,
  tries: Tries,
): Promise<T> {
  const { signal } = job;
  for (;;) {
    const pooled = lane.tryTake() ??
      await lane.acquire("slot", wait(job, tries), tries.seq);
    const attempt = pooled.limit.begin();
    try {
      // The hand-off may have crossed an abort: the slot goes on to the next.
      signal?.throwIfAborted();
      const value = await job.start(
        pooled.connection,
        () => pooled.limit.opened(attempt),
      );
      release(pooled, attempt, job.hold?.(value));
      return value;
    } catch (error) {
      const cause = retryCause(core, lane, {
        pooled,
        attempt,
        job,
        error,
        lost: tries.lost,
      });
      finish(pooled, attempt, isOrphan(error));
      if (cause === undefined) throw explained(pooled, error);
      // A refusal that crosses an abort, or the end of the pool, is still not
      // the caller's affair.
      signal?.throwIfAborted();
      if (core.isClosing) throw core.closedError(lane.name);
      if (cause !== "channel-open") tries.lost++;
      if (cause === "idempotent") tries.ran = error as ConnectionLostError;
      core.telemetry.record({ type: "retry", host: lane.name, cause });
      // It keeps its place: everybody else in the queue came later.
      tries.seq ??= 0;
      tries.deadlineAt ||= job.timeoutMs === 0
        ? Infinity
        : performance.now() + job.timeoutMs;
    }
  }
}

function wait(job: Job<unknown>, { deadlineAt }: Tries) {
  const { signal, timeoutMs } = job;
  if (deadlineAt === 0 || deadlineAt === Infinity) return { signal, timeoutMs };
  return { signal, timeoutMs: Math.max(1, deadlineAt - performance.now()) };
}

function release(
  pooled: PooledConnection,
  attempt: Attempt,
  hold: Promise<unknown> | undefined,
): void {
  if (hold === undefined) {
    finish(pooled, attempt, false);
  } else {
    hold.then(
      () => finish(pooled, attempt, false),
      (error) => finish(pooled, attempt, isOrphan(error)),
    );
  }
}

function finish(
  pooled: PooledConnection,
  attempt: Attempt,
  orphaned: boolean,
): void {
  const hadSession = attempt.isOpen;
  pooled.limit.ended(attempt, orphaned);
  pooled.giveSlot(hadSession);
}

/** A command that we stopped may live on in the server, and keep its session. */
function isOrphan(error: unknown): boolean {
  return !(error instanceof ChannelOpenError) &&
    !(error instanceof ConnectionLostError);
}

interface Failure {
  readonly pooled: PooledConnection;
  readonly attempt: Attempt;
  readonly job: Job<unknown>;
  readonly error: unknown;
  /** How often the connection was lost under this job. */
  readonly lost: number;
}

/** Why the job is to be tried again; `undefined` if it must not. */
function retryCause(
  core: PoolContext,
  lane: Lane,
  failure: Failure,
): RetryCause | undefined {
  const { pooled, attempt, job, error, lost } = failure;
  if (error instanceof ChannelOpenError && !attempt.isOpen) {
    if (error.reason !== OPEN_CONNECT_FAILED) return undefined;
    return judge(lane, pooled, attempt) ? "channel-open" : undefined;
  }
  if (core.isClosing || job.signal?.aborted) return undefined;
  if (!(error instanceof ConnectionLostError) || lost > 0) return undefined;
  if (!error.mayHaveRun) return "not-sent";
  return job.idempotent ? "idempotent" : undefined;
}

/** Whether a refused channel is worth another try. */
function judge(
  lane: Lane,
  pooled: PooledConnection,
  attempt: Attempt,
): boolean {
  // Where nothing is open, no stray is.
  if (pooled.connection.openChannels === 0) pooled.hasStrays = false;
  const foreign = pooled.leases > 0 || pooled.hasStrays;
  const verdict = pooled.limit.refused(attempt, foreign);
  switch (verdict.kind) {
    case "refused":
      return false;
    case "limit":
      lane.learn(verdict.limit);
      return true;
    case "clogged":
      pooled.drain("discarded");
      return true;
    case "wait":
      return true;
  }
}

/** Names the hop whose end took the connection with it. */
function explained(pooled: PooledConnection, error: unknown): unknown {
  const { hop } = pooled;
  if (!(error instanceof ConnectionLostError) || hop?.state !== "gone") {
    return error;
  }
  return new ConnectionLostError(
    `${error.message}: its hop "${hostName(hop.connection.host)}" was lost`,
    {
      host: error.host,
      mayHaveRun: error.mayHaveRun,
      output: error.output,
      cause: error,
    },
  );
}

/** Runs a command on a slot of the lane; the line is known to be good. */
export function execOn(
  core: PoolContext,
  lane: Lane,
  command: Command,
  options: ExecOptions = {},
): Promise<ExecResult<string | Uint8Array>> {
  return run(core, lane, {
    start: (connection, opened) =>
      connection.exec(command, {
        ...options,
        onOpen: both(opened, options.onOpen),
      }),
    // A stream is used up by the first try.
    idempotent: options.idempotent === true &&
      !(options.stdin instanceof ReadableStream),
    signal: options.signal,
    timeoutMs: acquireTimeout(core.limits, options),
  });
}

/** Starts a command on a slot of the lane, which it keeps until it has ended. */
export function spawnOn(
  core: PoolContext,
  lane: Lane,
  command: Command,
  options: SpawnOptions = {},
): Promise<RemoteProcess> {
  return run(core, lane, {
    start: (connection, opened) =>
      connection.spawn(command, {
        ...options,
        onOpen: both(opened, options.onOpen),
      }),
    hold: (process) => process.status,
    idempotent: false,
    signal: options.signal,
    timeoutMs: acquireTimeout(core.limits, options),
  });
}

function both(first: () => void, second: (() => void) | undefined): () => void {
  if (second === undefined) return first;
  return () => {
    first();
    second();
  };
}
