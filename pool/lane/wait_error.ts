/**
 * Why a caller's wait ended, in one sentence and in numbers.
 *
 * @module
 */

import type { Backoff } from "./backoff.ts";
import type { PoolContext } from "./context.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import { hintOf, reasonOf } from "../telemetry/failure.ts";
import {
  AcquireTimeoutError,
  type WaitReason,
  type WaitSnapshot,
} from "../../transport/pool_errors.ts";

/** What the error says about a host. */
interface WaitedFor {
  readonly name: string;
  readonly backoff: Backoff;
  readonly open: readonly PooledConnection[];
  readonly sessionLimit: number;
  readonly waiting: number;
  readonly dialing: number;
}

/** Counts a waiter whose time is up, and makes its error, before it leaves. */
export function acquireTimedOut(
  host: WaitedFor,
  context: PoolContext,
  waitedMs: number,
): AcquireTimeoutError {
  context.telemetry.acquireTimedOut();
  const snapshot: WaitSnapshot = {
    reason: waitReason(host),
    waitedMs,
    connections: host.open.length,
    slotsInUse: host.open.reduce((sum, { load }) => sum + load, 0),
    slots: host.open.length * host.sessionLimit,
    waiting: host.waiting,
    dialing: host.dialing,
    poolConnections: context.connections.size,
    maxConnections: context.limits.maxConnections,
  };
  const { lastError } = host.backoff;
  return timeoutError(host.name, snapshot, lastError);
}

/** The same for a caller whose host could not be looked up in time. */
export function lookupTimedOut(
  name: string,
  context: PoolContext,
  waitedMs: number,
): AcquireTimeoutError {
  context.telemetry.acquireTimedOut();
  return timeoutError(name, {
    reason: "resolving",
    waitedMs,
    connections: 0,
    slotsInUse: 0,
    slots: 0,
    waiting: 0,
    dialing: 0,
    poolConnections: context.connections.size,
    maxConnections: context.limits.maxConnections,
  }, undefined);
}

function timeoutError(
  name: string,
  snapshot: WaitSnapshot,
  lastError: unknown,
): AcquireTimeoutError {
  return new AcquireTimeoutError(
    `Cannot acquire "${name}" within ${Math.round(snapshot.waitedMs)} ms: ${
      sentence(snapshot, reasonOf(lastError))
    }`,
    { host: name, cause: lastError, hint: hintOf(lastError), snapshot },
  );
}

function waitReason(host: WaitedFor): WaitReason {
  const failing = host.backoff.lastError !== undefined;
  if (host.open.length > 0) return "busy";
  if (host.dialing > 0) return failing ? "dial-failing" : "dialing";
  return host.backoff.remainingMs > 0 ? "cooling-down" : "cap";
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
    case "resolving":
      return "the host is still being looked up";
  }
}
