/**
 * What the pool tells: events as they happen, and statistics when asked.
 *
 * @module
 */

import type { ClosedReason, Notice } from "../../transport/connector.ts";
import type { DialPhase } from "../../transport/errors.ts";
import type { ForwardFailureReason } from "../../transport/forward/forward.ts";

/** Why the pool ended a connection, or that it ended by itself. */
export type CloseCause =
  /** No channel for `idleTimeoutMs`. */
  | "idle"
  /** Room was needed below `maxConnections`. */
  | "lru"
  /** Older than `maxLifetimeMs`. */
  | "lifetime"
  /** One more connection to the host had not raised its rate of commands. */
  | "surplus"
  /** A lease was discarded, or sessions on it never ended. */
  | "discarded"
  /** `removeConnection()`, `closeAll()` or `close()`. */
  | "requested"
  /** The server or the network ended it. */
  | "ended";

/** Why something is tried again. */
export type RetryCause =
  /** The server refused a channel: its session limit. */
  | "channel-open"
  /** The connection was lost before anything was sent. */
  | "not-sent"
  /** The connection was lost under a command that is `idempotent`. */
  | "idempotent";

/** Something that happened in the pool. None holds a secret. */
export type PoolEvent =
  /** A dial begins. */
  | { readonly type: "dial"; readonly host: string; readonly attempt: number }
  /** A dial succeeded: there is a new connection. */
  | {
    readonly type: "connected";
    readonly host: string;
    readonly durationMs: number;
  }
  /** A dial failed. `retryInMs` is set if the pool tries again by itself. */
  | {
    readonly type: "dial-failed";
    readonly host: string;
    readonly phase: DialPhase | "aborted" | "unknown";
    readonly error: unknown;
    readonly retryInMs?: number;
  }
  /** A connection left the pool. */
  | {
    readonly type: "disconnected";
    readonly host: string;
    readonly cause: CloseCause;
    readonly reason?: ClosedReason;
  }
  /** The server allows fewer sessions per connection than was believed. */
  | {
    readonly type: "limit-learned";
    readonly host: string;
    readonly limit: number;
  }
  /** Something that had not run, or may run twice, is tried again. */
  | {
    readonly type: "retry";
    readonly host: string;
    readonly cause: RetryCause;
  }
  /** A host is left alone for a while. */
  | {
    readonly type: "cooldown";
    readonly host: string;
    readonly durationMs: number;
    readonly error: unknown;
  }
  /** A lease was held for longer than `leakDetectionMs`; `stack` is where it was acquired. */
  | {
    readonly type: "leak";
    readonly host: string;
    readonly heldMs: number;
    readonly stack: string;
  }
  /** Leases were garbage collected unreleased; their slots are free again. */
  | {
    readonly type: "reclaimed";
    readonly host: string;
    readonly slots: number;
  }
  /**
   * A connection of a forward was refused or failed, or a forward of the host's
   * port cannot listen again; with or without `onError`. What listens goes on.
   */
  | {
    readonly type: "forward-failed";
    readonly host: string;
    /** The `type` of the forward. */
    readonly forward: "local" | "dynamic" | "remote";
    /** Where it listens: `127.0.0.1:8080`, or a path. */
    readonly listen: string;
    /** Where the connection was to lead; absent if a client had not said so. */
    readonly to?: string;
    readonly reason: ForwardFailureReason;
    readonly error: unknown;
  }
  /** A note of an adapter or of the configuration. */
  | {
    readonly type: "notice";
    readonly host: string;
    readonly notice: Notice;
  };

/**
 * Called with every event, in order, soon after it happened and never in the
 * middle of the pool's work: it may call the pool. What it throws, and a
 * promise of it that rejects, is ignored.
 */
export type PoolObserver = (event: PoolEvent) => unknown;

/** Numbers that only grow, since the pool was made. */
export interface PoolCounters {
  /** Dials that began, each attempt of a throttled one included. */
  readonly dials: number;
  /** Dials that failed for good, by phase. */
  readonly dialFailures: Readonly<
    Partial<Record<DialPhase | "aborted" | "unknown", number>>
  >;
  /** Attempts that were throttled and tried again. */
  readonly dialRetries: number;
  /** Connections that were opened. */
  readonly opened: number;
  /** Connections that ended, by cause. */
  readonly closed: Readonly<Record<CloseCause, number>>;
  /** Commands and channels that were tried again, by cause. */
  readonly retries: Readonly<Record<RetryCause, number>>;
  /** Session limits that were learned. */
  readonly limitsLearned: number;
  /** Slots that came back by garbage collection. */
  readonly reclaimed: number;
  /** Callers that gave up waiting because of `acquireTimeoutMs`. */
  readonly acquireTimeouts: number;
  /** Connections of forwards that were refused or failed. */
  readonly forwardFailures: number;
}

/** One host, now. */
export interface HostStats {
  /** Its name, as `user@host:port`. */
  readonly host: string;
  /** Live connections. */
  readonly connections: number;
  /** Of these, those with an open channel or a tunnel. */
  readonly busy: number;
  /** Of these, those without. */
  readonly idle: number;
  /** Slots of the live connections. */
  readonly slots: number;
  /** Of these, those taken. */
  readonly slotsInUse: number;
  /** Callers that wait. */
  readonly waiting: number;
  /** Dials in flight, or waiting for their turn. */
  readonly dialing: number;
  /** How long it is still left alone, in milliseconds; 0 if it is not. */
  readonly coolingDownMs: number;
  /** Slots per connection: the option, or the lower limit that was learned. */
  readonly sessionLimit: number;
}

/** The pool, now. Gauges are counted when asked. */
export interface PoolStats
  extends Omit<HostStats, "host" | "coolingDownMs" | "sessionLimit"> {
  /** Connections that there may be: the option; 0 once the pool is closed. */
  readonly maxConnections: number;
  /** Hosts that cool down. */
  readonly coolingDown: number;
  /** Dials that may be in flight at once, now: `maxConcurrentDials` or fewer. */
  readonly dialWindow: number;
  /** Each host that has a connection, a caller or a dial, or cools down. */
  readonly hosts: readonly HostStats[];
  /** Numbers that only grow. */
  readonly counters: PoolCounters;
}
