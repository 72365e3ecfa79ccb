/**
 * Runs something on a slot, and again where nothing can have run.
 *
 * @module
 */

import type { Connection } from "../../transport/connector.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
  SshError,
} from "../../transport/errors.ts";
import { hostLabel } from "../../transport/host/host.ts";
import { isCallersError } from "../../transport/session/callers_error.ts";
import { ChannelClosedError } from "../../transport/session/errors.ts";
import type { Lane } from "../lane/lane.ts";
import type { WaitOptions } from "../lane/wait_queue.ts";
import { withCallerStack } from "../telemetry/failure.ts";
import type { RetryCause } from "../telemetry/events.ts";
import { isTraced, type Operation } from "../telemetry/tracing.ts";
import {
  type Call,
  type CallContext,
  type CallTarget,
  findLane,
  traced,
  waitOptions,
} from "./call.ts";
import { type Slot, type SlotWork, takeSlot } from "./slot.ts";

/** A call that runs on a slot. */
export interface SlotJob<T> extends Call, SlotWork<T> {
  /** Whether it may run twice. */
  readonly idempotent?: boolean;
}

/** The reason code of RFC 4254 that OpenSSH sends beyond MaxSessions. */
const OPEN_CONNECT_FAILED = 2;

/** So often is a job tried again that was never sent. */
const MAX_LOSSES = 4;

/** It ended, and nobody knows how far it came. */
type Loss = ConnectionLostError | ChannelClosedError;

function isLoss(error: unknown): error is Loss {
  return error instanceof ConnectionLostError ||
    error instanceof ChannelClosedError;
}

/**
 * Prepares a job, runs it on a slot of its host, and traces it.
 *
 * @param target Where it is to run.
 * @param prepare Checks the arguments of the call, before anything is done.
 */
export function onSlot<T>(
  target: CallTarget,
  prepare: () => SlotJob<T>,
): Promise<T> {
  try {
    const job = prepare();
    if (!isTraced(job.name)) return run(target, job, undefined);
    return traced(target, job, (operation) => run(target, job, operation));
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Runs a job as a part of an operation, from its first try to its result. */
export async function run<T>(
  target: CallTarget,
  job: SlotJob<T>,
  operation: Operation | undefined,
): Promise<T> {
  try {
    let wait = waitOptions(target, job, operation);
    const found = findLane(target, wait);
    const lane = found instanceof Promise ? await found : found;
    let retries: Retries | undefined;
    for (;;) {
      let slot: Slot | undefined;
      let begunAt = 0;
      try {
        const taken = takeSlot(target.pool, lane, job.kind, wait);
        slot = taken instanceof Promise ? await taken : taken;
        begunAt = performance.now();
        const value = await slot.start(job, lane);
        const held = job.hold?.(value);
        operation?.setResult(value, held);
        const kept = slot;
        if (held === undefined) kept.end("ended");
        else {
          held.then(
            () => kept.end("ended"),
            (it) => kept.giveBack(it, job.signal),
          );
        }
        return value;
      } catch (error) {
        retries ??= new Retries(target.pool, lane, job);
        wait = retries.next(wait, slot && { slot, begunAt }, error);
      }
    }
  } catch (error) {
    throw withCallerStack(error);
  }
}

/** The tries of one job that have failed, and whether there is another. */
class Retries {
  readonly #pool: CallContext;
  readonly #lane: Lane;
  readonly #job: SlotJob<unknown>;
  /** When the wait for a slot must end; set by the first try that failed. */
  #deadlineAt: number | undefined;
  /** How often the connection was lost under it. */
  #losses = 0;
  /** The loss of a try in which it may have run. */
  #ran: Loss | undefined;

  constructor(pool: CallContext, lane: Lane, job: SlotJob<unknown>) {
    this.#pool = pool;
    this.#lane = lane;
    this.#job = job;
  }

  /**
   * Ends a try that has failed.
   *
   * @returns How long the next try waits. It goes first: everybody else came
   * later.
   * @throws What the caller gets, if there must be no other try.
   */
  next(
    wait: WaitOptions,
    failed: { readonly slot: Slot; readonly begunAt: number } | undefined,
    error: unknown,
  ): WaitOptions {
    const [pool, lane] = [this.#pool, this.#lane];
    const slot = failed?.slot;
    const cause = slot && this.#retryCause(slot, error);
    slot?.giveBack(error, this.#job.signal);
    if (cause === undefined) throw this.#explained(error, slot);
    // A refusal that crosses an abort, or the end of the pool, is not the
    // caller's concern.
    wait.signal?.throwIfAborted();
    if (pool.isClosing) {
      throw this.#explained(pool.closedError(lane.name), slot);
    }
    const now = performance.now();
    // A server that grants channels and answers nothing takes its time with
    // each try, and for the caller all of that is a wait.
    const waitedFrom = cause === "not-sent" ? failed!.begunAt : now;
    this.#deadlineAt ??= waitedFrom + (wait.timeoutMs || Infinity);
    const leftMs = this.#deadlineAt - now;
    // The loss says more than that there is no time for another try.
    if (leftMs <= 0 && isLoss(error)) throw this.#explained(error, slot);
    pool.telemetry.record({ type: "retry", host: lane.name, cause });
    if (cause !== "channel-open") this.#losses++;
    if (cause === "idempotent") this.#ran = error as Loss;
    const timeoutMs = leftMs === Infinity ? 0 : Math.max(1, leftMs);
    return { ...wait, timeoutMs, isRetry: true };
  }

  /** Returns why the job is to be tried again; `undefined` if it must not. */
  #retryCause(slot: Slot, error: unknown): RetryCause | undefined {
    const { attempt } = slot;
    if (attempt === undefined) return undefined;
    if (error instanceof ChannelOpenError && !attempt.isOpen) {
      // Whatever the reason: it does not prohibit what was open before.
      const isLimit = error.reason === OPEN_CONNECT_FAILED ||
        (error.reason > 0 && slot.pooled.hadSession);
      if (!isLimit) return undefined;
      return isTemporary(this.#lane, slot) ? "channel-open" : undefined;
    }
    const { signal, idempotent } = this.#job;
    if (this.#pool.isClosing || signal?.aborted) return undefined;
    if (!isLoss(error) || isCallersError(error)) return undefined;
    // TinySSH hangs up when its one session ends, on all that wait for another.
    if (!error.mayHaveRun) {
      return this.#losses < MAX_LOSSES ? "not-sent" : undefined;
    }
    return idempotent && this.#losses === 0 ? "idempotent" : undefined;
  }

  /**
   * Completes an error: a second try that failed does not undo what the first
   * may have done, and the hop is named whose end took the connection with it.
   */
  #explained(error: unknown, slot: Slot | undefined): unknown {
    const ran = this.#ran;
    if (ran !== undefined && error instanceof SshError && !error.mayHaveRun) {
      return new ConnectionLostError(
        `${ran.message}; it could not be run again: ${error.message}`,
        { host: ran.host, mayHaveRun: true, output: ran.output, cause: error },
      );
    }
    const hop = slot?.pooled.hop;
    if (!(error instanceof ConnectionLostError) || hop?.state !== "gone") {
      return error;
    }
    const { host, mayHaveRun, output } = error;
    return new ConnectionLostError(
      `${error.message}: its hop "${hostLabel(hop.connection.host)}" was lost`,
      { host, mayHaveRun, output, cause: error },
    );
  }
}

/** Returns whether a refused channel is worth another try. */
function isTemporary(lane: Lane, { pooled, attempt }: Slot): boolean {
  const refusal = pooled.sessionRefused(attempt!);
  if (refusal.kind === "limit") lane.learn(refusal.limit);
  if (refusal.kind === "spent") lane.noteSpent(refusal.sessions);
  if (refusal.kind === "spent" || refusal.kind === "clogged") {
    pooled.drain("discarded");
  }
  return refusal.kind !== "refused";
}

/** Makes the error for what the adapter of a pool cannot do. */
export function unsupported({ host }: Connection, what: string): TypeError {
  return new TypeError(
    `Cannot serve "${hostLabel(host)}": its connector does not support ${what}`,
  );
}
