/**
 * One dial: through its hop, when its turn comes, again where the server only
 * asked for wait.
 *
 * @module
 */

import type {
  Connection,
  ConnectOptions,
  Tunnel,
} from "../transport/connector.ts";
import { DialError, type DialPhase, SshError } from "../transport/errors.ts";
import { hostName, type ResolvedHost } from "../transport/host.ts";
import type { PoolContext } from "./_pool_context.ts";
import type { DialOutcome } from "./_dial_limiter.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import { hintOf, reasonOf } from "./_reason.ts";

/** A connection, and the hop that it goes through, pinned. */
export interface Dialled {
  readonly connection: Connection;
  readonly hop: PooledConnection | undefined;
}

/** The share of the deadline that one more attempt must have left. */
const LEAST_SHARE = 0.05;

/** Options for {@linkcode dial}. */
export interface DialOptions {
  /** Ends the dial, wherever it is. */
  readonly signal: AbortSignal;
  /** Told of each attempt that will be made again. */
  readonly onThrottled: (error: unknown) => void;
}

/** The longest delay that timers take: a longer one ends at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** How long a connector that breaks its treaty is waited for, beyond the deadline. */
const GRACE_MS = 250;

/**
 * Opens one connection.
 *
 * @throws {DialError} For the last attempt, if it fails for good.
 * @throws The signal's reason on abort, when nothing is left behind.
 */
export async function dial(
  core: PoolContext,
  host: ResolvedHost,
  { signal, onThrottled }: DialOptions,
): Promise<Dialled> {
  const budgetMs = host.dialTimeoutMs ?? core.limits.dialTimeoutMs;
  let spentMs = 0;
  for (let attempt = 1;; attempt++) {
    const pauseMs = core.pauseMs(attempt);
    const turn = await begin(core, host, signal, attempt);
    const startedAt = performance.now();
    let outcome: DialOutcome = "failed";
    try {
      core.telemetry.record({ type: "dial", host: hostName(host), attempt });
      const connection = await connect(core, host, signal, {
        timeoutMs: Math.max(1, budgetMs - spentMs),
        hop: turn.hop,
      });
      outcome = "ok";
      return { connection, hop: turn.hop };
    } catch (error) {
      turn.hop?.removePin();
      signal.throwIfAborted();
      spentMs += performance.now() - startedAt;
      const throttled = error instanceof DialError && error.throttled;
      if (throttled) outcome = "throttled";
      // With next to nothing left it would only fail for want of time, which
      // says less than what the server did.
      const leftMs = budgetMs - spentMs - pauseMs;
      if (!throttled || leftMs < LEAST_SHARE * budgetMs) throw error;
      onThrottled(error);
      noteFailure(core, host, error, pauseMs);
      spentMs += pauseMs;
    } finally {
      core.dialLimiter.give(outcome);
    }
    await sleep(pauseMs, signal);
  }
}

/** Tells of a failed dial. */
export function noteFailure(
  core: PoolContext,
  host: ResolvedHost,
  error: unknown,
  retryInMs?: number,
): void {
  core.telemetry.record({
    type: "dial-failed",
    host: hostName(host),
    phase: phaseOf(error),
    error,
    ...(retryInMs === undefined ? {} : { retryInMs }),
  });
}

function phaseOf(error: unknown): DialPhase | "unknown" {
  return error instanceof DialError ? error.phase : "unknown";
}

/**
 * The hop first, then the turn: a target that held a turn while its hop waits
 * for one would be a deadlock.
 */
async function begin(
  core: PoolContext,
  host: ResolvedHost,
  signal: AbortSignal,
  attempt: number,
): Promise<{ hop: PooledConnection | undefined }> {
  const hop = await openHop(core, host, signal);
  try {
    await core.dialLimiter.take(signal, attempt > 1);
  } catch (error) {
    hop?.removePin();
    throw error;
  }
  return { hop };
}

async function openHop(
  core: PoolContext,
  host: ResolvedHost,
  signal: AbortSignal,
): Promise<PooledConnection | undefined> {
  const jump = host.jump ?? [];
  const last = jump.at(-1);
  if (last === undefined) return undefined;
  const before = jump.slice(0, -1);
  const hop: ResolvedHost = before.length === 0
    ? last
    : { ...last, jump: before };
  try {
    return await core.pinHop(hop, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw hopFailed(host, hop, error);
  }
}

async function connect(
  core: PoolContext,
  host: ResolvedHost,
  signal: AbortSignal,
  options: { timeoutMs: number; hop: PooledConnection | undefined },
): Promise<Connection> {
  const { limits } = core;
  const startedAt = performance.now();
  const tunnel = options.hop === undefined
    ? undefined
    : await openTunnel(host, options.hop, signal, options.timeoutMs);
  const spentMs = tunnel === undefined ? 0 : performance.now() - startedAt;
  const timeoutMs = Math.max(1, options.timeoutMs - spentMs);
  const connectOptions: ConnectOptions = {
    signal,
    timeoutMs,
    keepaliveIntervalMs: host.keepaliveIntervalMs ?? limits.keepaliveIntervalMs,
    keepaliveCountMax: host.keepaliveCountMax ?? limits.keepaliveCountMax,
    ...(tunnel === undefined ? {} : { tunnel }),
    onNotice: (notice) =>
      core.telemetry.record({ type: "notice", host: hostName(host), notice }),
  };
  return await settled(
    core.connector.connect(host, connectOptions),
    host,
    signal,
    Math.min(timeoutMs + GRACE_MS, MAX_TIMER_MS),
  );
}

/** A hop that never answers must not keep the dial's turn beyond its deadline. */
async function openTunnel(
  host: ResolvedHost,
  hop: PooledConnection,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Tunnel> {
  const { connection } = hop;
  if (connection.forwardOut === undefined) {
    throw new DialError(
      "proxy",
      `Cannot connect to "${hostName(host)}": the connector of hop "${
        hostName(connection.host)
      }" cannot forward`,
      { host: hostName(host) },
    );
  }
  signal.throwIfAborted();
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => {
    const why = new Error(`no tunnel in ${Math.round(timeoutMs)} ms`);
    stop.abort(hopFailed(host, connection.host, why));
  }, timeoutMs);
  try {
    return await connection.forwardOut(host, { signal: stop.signal });
  } catch (error) {
    stop.signal.throwIfAborted();
    throw hopFailed(host, connection.host, error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

function hopFailed(
  host: ResolvedHost,
  hop: ResolvedHost,
  cause: unknown,
): DialError {
  return new DialError(
    "proxy",
    `Cannot connect to "${hostName(host)}": hop "${hostName(hop)}" failed: ${
      reasonOf(cause)
    }`,
    { host: hostName(host), cause, hint: hintOf(cause) },
  );
}

/**
 * Races a connector against abort and deadline, which its treaty says it keeps
 * by itself. What it opens too late is closed: a connection nobody knows of
 * would be a leak.
 */
function settled(
  dialled: Promise<Connection>,
  host: ResolvedHost,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    const end = (then: () => void) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      then();
    };
    const onAbort = () => end(() => reject(signal.reason));
    const timer = setTimeout(() => {
      const name = hostName(host);
      end(() =>
        reject(
          new DialError(
            "timeout",
            `Cannot connect to "${name}": the connector did not answer within ${timeoutMs} ms`,
            { host: name },
          ),
        )
      );
    }, timeoutMs);
    signal.addEventListener("abort", onAbort, { once: true });
    dialled.then((connection) => {
      if (isOver) connection.close().catch(() => {});
      else end(() => resolve(connection));
    }, (error) => end(() => reject(wrap(error, host))));
  });
}

/** A connector's own kind of error becomes ours, with the cause kept. */
function wrap(error: unknown, host: ResolvedHost): unknown {
  if (error instanceof SshError) return error;
  if (error instanceof TypeError || error instanceof RangeError) return error;
  const name = hostName(host);
  return new DialError(
    "tcp",
    `Cannot connect to "${name}": ${reasonOf(error)}`,
    {
      host: name,
      cause: error,
    },
  );
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
