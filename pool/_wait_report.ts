/**
 * Why a caller's wait ended, in one sentence and in numbers.
 *
 * @module
 */

import type { PoolContext } from "./_pool_context.ts";
import type { Lane } from "./_lane.ts";
import { hintOf, reasonOf } from "./_reason.ts";
import {
  AcquireTimeoutError,
  type WaitReason,
  type WaitSnapshot,
} from "./errors.ts";

/** The error for a waiter of this lane whose time is up, before it leaves. */
export function waitedTooLong(
  lane: Lane,
  core: PoolContext,
  waitedMs: number,
): AcquireTimeoutError {
  const snapshot: WaitSnapshot = {
    reason: waitReason(lane),
    waitedMs,
    connections: lane.open.length,
    slotsInUse: lane.open.reduce((sum, pooled) => sum + pooled.load, 0),
    slots: lane.open.length * lane.sessionLimit,
    waiting: lane.waiting,
    dialing: lane.dialing,
    poolConnections: core.connections.size,
    maxConnections: core.limits.maxConnections,
  };
  const { lastError } = lane.backoff;
  return new AcquireTimeoutError(
    `Cannot acquire "${lane.name}" within ${Math.round(waitedMs)} ms: ${
      sentence(snapshot, reasonOf(lastError))
    }`,
    { host: lane.name, cause: lastError, hint: hintOf(lastError), snapshot },
  );
}

function waitReason(lane: Lane): WaitReason {
  const failing = lane.backoff.lastError !== undefined;
  if (lane.open.length > 0) return "busy";
  if (lane.dialing > 0) return failing ? "dial-failing" : "dialing";
  return lane.backoff.remainingMs > 0 ? "cooling-down" : "cap";
}

function sentence(s: WaitSnapshot, failure: string): string {
  switch (s.reason) {
    case "busy":
      return `all ${s.slots} slots of ${s.connections} connections are busy, ${s.waiting} callers wait`;
    case "dialing":
      return "the dial is still under way";
    case "dial-failing":
      return `dials keep failing, the last: ${failure}`;
    case "cooling-down":
      return `the host is cooling down, the last dial failed: ${failure}`;
    case "cap":
      return `${s.poolConnections} connections of ${s.maxConnections} are open and busy`;
  }
}
