/**
 * What the lanes of one pool share.
 *
 * @module
 */

import type { Connector } from "../transport/connector.ts";
import type { ResolvedHost } from "../transport/host.ts";
import type { DialLimiter } from "./_dial_limiter.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import type { IdleSweeper } from "./_idle_sweeper.ts";
import type { Telemetry } from "./_telemetry.ts";
import type { LeaseTracker } from "./_lease_tracker.ts";
import type { Permits } from "./_permits.ts";
import type { PoolClosedError } from "./errors.ts";
import type { Limits } from "./options.ts";

/** The rooms of a pool that its lanes use. */
export interface PoolContext {
  readonly limits: Limits;
  readonly connector: Connector;
  readonly telemetry: Telemetry;
  readonly permits: Permits;
  readonly dialLimiter: DialLimiter;
  readonly sweeper: IdleSweeper;
  readonly leases: LeaseTracker;
  /** Every connection of the pool. */
  readonly connections: Set<PooledConnection>;
  /** Whether the pool is closing: nothing new begins. */
  readonly isClosing: boolean;
  /** The next number in the order of arrival. */
  nextSeq(): number;
  /** The pause after the n-th failure in a row, jittered, in milliseconds. */
  pauseMs(failures: number): number;
  /** A connection to a hop, pinned. */
  pinHop(hop: ResolvedHost, signal: AbortSignal): Promise<PooledConnection>;
  /** Keeps an eye on a connection that is being closed. */
  closing(done: Promise<unknown>): void;
  /** The error for calls on a pool that is closed. */
  closedError(host?: string): PoolClosedError;
}
