/**
 * The calls that a pool and a shared connection have in common: each is checked,
 * traced if somebody subscribes, and done on the lane of its host.
 *
 * @module
 */

import {
  type CheckedCall,
  checkExec,
  checkShellOptions,
  checkSpawn,
  whenOpened,
} from "../../transport/command/call_options.ts";
import type { Command } from "../../transport/command/command.ts";
import type { HostLike } from "../../transport/host/host.ts";
import type {
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
} from "../../transport/process.ts";
import type { Sftp } from "../../transport/sftp/sftp.ts";
import { isRepeatable } from "../../transport/command/stdin.ts";
import { withCallerStack } from "../telemetry/caller_stack.ts";
import type { FileSessions } from "./sftp_sessions.ts";
import type { Lane } from "../lane/lane.ts";
import type { PoolContext } from "../lane/context.ts";
import { type Job, run, unsupported } from "./run.ts";
import { isTraced, type Operation, trace } from "../telemetry/tracing.ts";
import type { WaitOptions } from "../lane/wait_queue.ts";
import type { OperationName } from "../telemetry/diagnostics.ts";
import {
  acquireTimeout,
  EXEC_NAMES,
  type ExecOptions,
  type ShellOptions,
  type SpawnOptions,
  WAIT_NAMES,
} from "../options.ts";

/** What calls use of the pool. */
export interface CallContext extends PoolContext {
  /** Waits for a lane that is being looked up. */
  found(
    host: HostLike,
    lane: Promise<Lane>,
    options: WaitOptions,
  ): Promise<Lane>;
  /** The SFTP sessions of a lane. */
  filesOf(lane: Lane): FileSessions;
}

/** Where a call goes. */
export interface Place {
  readonly host: HostLike;
  /**
   * The lane of the host; a promise if a file has to be read first.
   *
   * @throws If nothing can be done there.
   */
  find(): Lane | Promise<Lane>;
}

/** One call. */
export interface Call {
  readonly name: OperationName;
  readonly place: Place;
  readonly signal?: AbortSignal | undefined;
  readonly acquireTimeoutMs?: number | undefined;
  readonly command?: Command | undefined;
  /** The call that this one is part of. */
  readonly parent?: Operation | undefined;
}

/** What a call does with its lane. */
export type Use<T> = (lane: Lane, wait: WaitOptions) => Promise<T>;

/** Does something on the lane of a host. */
export function onLane<T>(
  context: CallContext,
  call: Call,
  use: Use<T>,
): Promise<T> {
  if (!isTraced(call.name)) return useLane(context, call, undefined, use);
  const { host } = call.place;
  const operation = context.telemetry.operation(call.name, { ...call, host });
  const done = () => useLane(context, call, operation, use);
  return operation === undefined ? done() : trace(operation, done);
}

/**
 * Finds the lane and goes on with it in the same turn, unless a file has to be
 * read first: of a hundred callers that come at once the first makes the lane,
 * and the others find it in use.
 */
async function useLane<T>(
  context: CallContext,
  call: Call,
  operation: Operation | undefined,
  use: Use<T>,
): Promise<T> {
  const { place, signal } = call;
  try {
    signal?.throwIfAborted();
    const timeoutMs = acquireTimeout(context.limits, call);
    const wait = { signal, timeoutMs, operation };
    const found = place.find();
    // No await if the lane is known: it is used in the turn of the call.
    const lane = found instanceof Promise
      ? await context.found(place.host, found, wait)
      : found;
    operation?.found(lane);
    return await use(lane, wait);
  } catch (error) {
    throw withCallerStack(error);
  }
}

/** Runs a command, and collects its output. */
export function exec<Encoding extends OutputEncoding>(
  context: CallContext,
  place: Place,
  command: Command,
  options: ExecOptions<Encoding> | undefined,
): Promise<ExecResult<Output<Encoding>>> {
  return onSlot(
    context,
    { name: "exec", place },
    () => checkExec(command, options, EXEC_NAMES),
    ({ command, options, own }) => ({
      kind: "command",
      start: (connection, opened) =>
        connection.exec(command, whenOpened(options, opened)),
      // A stream is used up by the first try.
      idempotent: own.idempotent === true && isRepeatable(options.stdin),
    }),
  );
}

/** Starts a command, which keeps its slot until it has ended. */
export function spawn(
  context: CallContext,
  place: Place,
  command: Command,
  options: SpawnOptions | undefined,
): Promise<RemoteProcess> {
  return onSlot(
    context,
    { name: "spawn", place },
    () => checkSpawn(command, options, WAIT_NAMES),
    ({ command, options }) => ({
      kind: "stream",
      start: (connection, opened) =>
        connection.spawn(command, whenOpened(options, opened)),
      hold: ({ status }) => status,
    }),
  );
}

/** Starts a shell, which keeps its slot until it has ended. */
export function shell(
  context: CallContext,
  place: Place,
  options: ShellOptions | undefined,
): Promise<RemoteProcess> {
  return onSlot(
    context,
    { name: "shell", place },
    () => checkShellOptions(options, WAIT_NAMES),
    ({ options }) => ({
      kind: "stream",
      start: (connection, opened) => {
        if (connection.shell === undefined) {
          throw unsupported(connection, "shells");
        }
        return connection.shell(whenOpened(options, opened));
      },
      hold: ({ status }) => status,
    }),
  );
}

/** Lends an SFTP session. */
export function sftp(
  context: CallContext,
  call: Omit<Call, "name">,
): Promise<Sftp> {
  return onLane(context, { name: "sftp", ...call }, async (lane, wait) => {
    const session = await context.filesOf(lane).open(wait);
    wait.operation?.opened(session.closed);
    return session;
  });
}

/** Of a call that was checked: what is common to all. */
type Checked =
  & Pick<CheckedCall<{ readonly signal?: AbortSignal }>, "options" | "own">
  & { readonly command?: Command };

/** Checks a call before anything is done for it, and runs it on a slot. */
function onSlot<T extends Checked, Result>(
  context: CallContext,
  { name, place }: Pick<Call, "name" | "place">,
  check: () => T,
  jobOf: (checked: T) => Job<Result>,
): Promise<Result> {
  try {
    const checked = check();
    const { options: { signal }, own: { acquireTimeoutMs }, command } = checked;
    return onLane(
      context,
      { name, place, signal, acquireTimeoutMs, command },
      (lane, wait) => run(context, lane, jobOf(checked), wait),
    );
  } catch (error) {
    return Promise.reject(error);
  }
}
