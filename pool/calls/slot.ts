/**
 * A slot that is taken: from the lane to the channel, and back.
 *
 * @module
 */

import type { Connection } from "../../transport/connector.ts";
import {
  ConnectionLostError,
  ExecTimeoutError,
  OutputLimitError,
  SshError,
} from "../../transport/errors.ts";
import { isCallersError } from "../../transport/session/callers_error.ts";
import type {
  PooledConnection,
  SessionEnd,
  SlotKind,
} from "../connection/pooled_connection.ts";
import type { SessionAttempt } from "../connection/session_limit.ts";
import type { PoolContext } from "../lane/context.ts";
import type { Lane } from "../lane/lane.ts";
import type { WaitOptions } from "../lane/wait_queue.ts";
import { isTraced, type Operation, trace } from "../telemetry/tracing.ts";

/** What runs on a slot. */
export interface SlotWork<T> {
  readonly kind: SlotKind;
  /** Begins it; `onOpen` is to be called when the channel is open. */
  start(
    connection: Connection,
    onOpen: () => void,
    pooled: PooledConnection,
  ): Promise<T>;
  /** Returns what keeps the slot after `start` has resolved. */
  hold?(value: T): Promise<unknown>;
}

/** A slot, which is given back once: by `end()` or by `giveBack()`. */
export class Slot {
  readonly pooled: PooledConnection;
  readonly #kind: SlotKind;
  readonly #operation: Operation | undefined;
  #attempt: SessionAttempt | undefined;

  constructor(
    pooled: PooledConnection,
    kind: SlotKind,
    operation: Operation | undefined,
  ) {
    this.pooled = pooled;
    this.#kind = kind;
    this.#operation = operation;
  }

  /** The session that was begun on it. */
  get attempt(): SessionAttempt | undefined {
    return this.#attempt;
  }

  /** Starts the work, in the turn in which its session channel is asked for. */
  start<T>(work: SlotWork<T>, lane: Lane): Promise<T> {
    const { pooled } = this;
    const attempt = this.#attempt = pooled.beginSession();
    const started = work.start(
      pooled.connection,
      () => pooled.sessionOpened(attempt),
      pooled,
    );
    pooled.openSpare(lane.sessionLimit);
    return started;
  }

  /**
   * Gives it back after work that has failed, or was never begun.
   *
   * @param signal What stops the work: its reason may be any error.
   */
  giveBack(error: unknown, signal?: AbortSignal): void {
    const isStopped = signal?.aborted && error === signal.reason;
    this.end(isStopped ? "orphaned" : endOf(error));
  }

  /** Gives it back after work that has ended so. */
  end(end: SessionEnd): void {
    const attempt = this.#attempt;
    if (attempt === undefined) this.pooled.giveSlot(this.#kind);
    else this.pooled.endSession(attempt, this.#kind, end);
    this.#operation?.release();
  }
}

/**
 * Takes a slot: at once if one is free, else in turn. The one place where that
 * is traced, as a part of the call that `wait` names.
 *
 * @throws {SshError} If there is no slot in time.
 * @throws The signal's reason on abort.
 */
export function takeSlot(
  context: PoolContext,
  lane: Lane,
  kind: SlotKind,
  wait: WaitOptions,
): Slot | Promise<Slot> {
  if (!isTraced("acquire")) {
    const pooled = lane.tryTake(kind);
    return pooled === undefined
      ? waitForSlot(lane, kind, wait, undefined)
      : new Slot(pooled, kind, undefined);
  }
  const operation = context.telemetry.operation({
    name: "acquire",
    host: lane.host,
    parent: wait.operation,
  });
  operation.setHost(lane);
  return trace(operation, () => takeTold(lane, kind, wait, operation));
}

/** Takes a slot, and notes in the operation whether that took a wait. */
export async function takeTold(
  lane: Lane,
  kind: SlotKind,
  wait: WaitOptions,
  operation: Operation | undefined,
): Promise<Slot> {
  const free = lane.tryTake(kind);
  if (operation !== undefined) operation.waited = free === undefined;
  const slot = free === undefined
    ? await waitForSlot(lane, kind, wait, operation)
    : new Slot(free, kind, operation);
  operation?.holdOpen();
  return slot;
}

async function waitForSlot(
  lane: Lane,
  kind: SlotKind,
  wait: WaitOptions,
  operation: Operation | undefined,
): Promise<Slot> {
  const pooled = await lane.acquire(kind, { ...wait, operation });
  const slot = new Slot(pooled, kind, operation);
  if (!wait.signal?.aborted) return slot;
  // The hand-over crossed the abort: the slot goes to the next.
  slot.giveBack(undefined);
  throw wait.signal.reason;
}

/** A command that we stopped may live on in the server, and keep its session. */
function endOf(error: unknown): SessionEnd {
  const isOrphan = isCallersError(error) || !(error instanceof SshError) ||
    error instanceof ExecTimeoutError || error instanceof OutputLimitError;
  if (isOrphan) return "orphaned";
  return error instanceof ConnectionLostError ? "lost" : "ended";
}
