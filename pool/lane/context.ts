/**
 * What the lower rooms may use of the pool: the one interface through which
 * they see it.
 *
 * @module
 */

import type { Connector } from "../../transport/connector.ts";
import type { ResolvedHost } from "../../transport/host/host.ts";
import type { DialLimiter } from "../limits/dial_limiter.ts";
import type { IdleSweeper } from "../connection/idle_sweeper.ts";
import type { LeaseTracker } from "../connection/lease_tracker.ts";
import type { Permits } from "../limits/permits.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import type { Telemetry } from "../telemetry/counters.ts";
import type { Operation } from "../telemetry/tracing.ts";
import type { PoolClosedError } from "../../transport/pool_errors.ts";
import type { Limits } from "../options.ts";

/** The shared parts of one pool. */
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
  /** Returns a connection to a hop, pinned, for a dial. */
  pinHop(
    hop: ResolvedHost,
    signal: AbortSignal,
    dial: Operation | undefined,
  ): Promise<PooledConnection>;
  /** Remembers something that is being closed, so that `close()` waits for it. */
  closing(done: Promise<unknown>): void;
  /** Returns the error for calls on a pool that is closed. */
  closedError(host?: string): PoolClosedError;
}
