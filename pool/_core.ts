/**
 * What the lanes of one pool share.
 *
 * @module
 */

import type { Connector } from "../transport/connector.ts";
import type { ResolvedHost } from "../transport/host.ts";
import type { DialWindow } from "./_dial_window.ts";
import type { Entry } from "./_entry.ts";
import type { IdleOrder } from "./_idle_order.ts";
import type { Journal } from "./_journal.ts";
import type { LeaseLedger } from "./_lease_ledger.ts";
import type { Permits } from "./_permits.ts";
import type { PoolClosedError } from "./errors.ts";
import type { Limits } from "./options.ts";

/** The rooms of a pool that its lanes use. */
export interface Core {
  readonly limits: Limits;
  readonly connector: Connector;
  readonly journal: Journal;
  readonly permits: Permits;
  readonly window: DialWindow;
  readonly idle: IdleOrder;
  readonly ledger: LeaseLedger;
  /** Every connection of the pool. */
  readonly entries: Set<Entry>;
  /** Whether the pool is closing: nothing new begins. */
  readonly isClosing: boolean;
  /** The next number in the order of arrival. */
  nextSeq(): number;
  /** The pause after the n-th failure in a row, jittered, in milliseconds. */
  pauseMs(failures: number): number;
  /** A connection to a hop, pinned. */
  pinHop(hop: ResolvedHost, signal: AbortSignal): Promise<Entry>;
  /** Keeps an eye on a connection that is being closed. */
  closing(done: Promise<unknown>): void;
  /** The error for calls on a pool that is closed. */
  closedError(host?: string): PoolClosedError;
}
