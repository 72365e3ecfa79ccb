/**
 * The parts of one pool, put together, and their end.
 *
 * @module
 */

import { abortable, Deadline, settledWithin } from "../../transport/abort.ts";
import type { Connector } from "../../transport/connector.ts";
import type { Forward } from "../../transport/forward/forward.ts";
import type { HostLike, ResolvedHost } from "../../transport/host/host.ts";
import { withDefaults } from "../../transport/host/defaults.ts";
import {
  type HostResolver,
  PlainResolver,
} from "../../transport/host/resolver.ts";
import { SshConfigResolver } from "../../transport/ssh_config/resolver.ts";
import type { CallContext } from "../calls/call.ts";
import { DialLimiter } from "../limits/dial_limiter.ts";
import { Directory } from "./directory.ts";
import { FileSessions } from "../calls/sftp_sessions.ts";
import { givenLabel } from "../telemetry/host_label.ts";
import { IdleSweeper } from "../connection/idle_sweeper.ts";
import { Lane } from "../lane/lane.ts";
import { LeaseTracker } from "../connection/lease_tracker.ts";
import { Permits } from "../limits/permits.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import { SharedConnection } from "../calls/shared_connection.ts";
import { Telemetry } from "../telemetry/counters.ts";
import type { Operation } from "../telemetry/tracing.ts";
import { lookupTimedOut } from "../lane/wait_error.ts";
import type { WaitOptions } from "../lane/wait_queue.ts";
import type { DiagnosticPool } from "../telemetry/diagnostics.ts";
import { PoolClosedError } from "../../transport/pool_errors.ts";
import type { HostStats, PoolStats } from "../telemetry/events.ts";
import {
  type CloseOptions,
  type ConnectionPoolOptions,
  drainTimeout,
  type Limits,
  limitsOf,
  POOL_OPTIONS,
} from "../options.ts";

/** How often a host that waits for room looks for channels that ended unreported. */
const ROOM_CHECK_MS = 50;

/** A connector that never ends a connection is not waited for any longer. */
const CLOSE_TIMEOUT_MS = 3_000;

let poolsMade = 0;

/** Owns the lanes and the limits, and their end. */
export class PoolCore implements CallContext {
  readonly name: string;
  readonly limits: Limits;
  readonly connector: Connector;
  readonly telemetry: Telemetry;
  readonly permits: Permits;
  readonly dialLimiter: DialLimiter;
  readonly sweeper: IdleSweeper;
  readonly connections: Set<PooledConnection> = new Set();
  readonly leases: LeaseTracker;
  readonly forwards: Set<Forward> = new Set();
  readonly directory: Directory;
  isClosing = false;
  readonly #files = new WeakMap<Lane, FileSessions>();
  /** What is being closed; each settles in bounded time. */
  readonly #closings = new Set<Promise<void>>();
  /** Aborts when the pool begins to close. */
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;
  /** Ends the drain of `close()`. */
  #endDrain: (() => void) | undefined;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;
  #serveTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(pool: DiagnosticPool, options: ConnectionPoolOptions) {
    const given = POOL_OPTIONS.check(options);
    const { connector } = given;
    if (connector === undefined) {
      throw new TypeError(
        "Cannot create the pool: connector is undefined, must be an object " +
          "with a connect() method (only the main entry point has a default)",
      );
    }
    this.name = given.name ?? `sshpool-${++poolsMade}`;
    this.limits = limitsOf(given);
    this.connector = connector;
    this.telemetry = new Telemetry(pool, given.observer);
    this.permits = new Permits(this.limits.maxConnections, () => this.#evict());
    this.dialLimiter = new DialLimiter(this.limits.maxConcurrentDials);
    this.leases = new LeaseTracker(this.telemetry, this.limits.leakDetectionMs);
    this.sweeper = new IdleSweeper(this.limits, {
      onIdle: (pooled) => pooled.end("idle"),
      onTick: () => this.#dropLeaseGroups(),
    });
    this.directory = new Directory(
      resolverOf(given),
      (host, key) => this.#makeLane(host, key),
      (host, notice) =>
        this.telemetry.record({
          type: "notice",
          host: givenLabel(host),
          notice,
        }),
      this.#closing.signal,
      connector.usesAlias ?? false,
    );
  }

  get lanes(): Iterable<Lane> {
    return this.directory.lanes;
  }

  /** Aborts when the pool begins to close, with the error for its callers. */
  get closingSignal(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * Waits for a lane that is being looked up; the lookup goes on for others.
   *
   * @throws {AcquireTimeoutError} If time is up.
   * @throws {PoolClosedError} If the pool is closed meanwhile.
   * @throws The signal's reason on abort.
   */
  async awaitLane(
    host: HostLike,
    lane: Promise<Lane>,
    { signal, timeoutMs }: WaitOptions,
  ): Promise<Lane> {
    const late = () => lookupTimedOut(givenLabel(host), this, timeoutMs);
    const deadline = new Deadline(timeoutMs || Infinity, late, signal);
    try {
      return await abortable(
        abortable(lane, this.#closing.signal),
        deadline.signal,
      );
    } finally {
      deadline.cancel();
    }
  }

  /** Returns the SFTP sessions of a lane. */
  filesOf(lane: Lane): FileSessions {
    const files = this.#files.get(lane) ?? new FileSessions(this, lane);
    this.#files.set(lane, files);
    return files;
  }

  pinHop(
    hop: ResolvedHost,
    signal: AbortSignal,
    operation: Operation | undefined,
  ): Promise<PooledConnection> {
    const lane = this.directory.laneOf(hop);
    // The target's waiters have deadlines; the hop's wait ends with theirs.
    return lane.acquire("pin", { signal, timeoutMs: 0, operation });
  }

  closing(done: Promise<unknown>): void {
    const bounded = settledWithin(CLOSE_TIMEOUT_MS, done);
    this.#closings.add(bounded);
    bounded.then(() => this.#closings.delete(bounded));
    if (this.connections.size === 0) this.#endDrain?.();
  }

  closedError(host?: string): PoolClosedError {
    const what = host === undefined ? "the host" : `"${host}"`;
    return new PoolClosedError(
      `Cannot serve ${what}: the pool is closed`,
      { host },
    );
  }

  /** Ends the connections of a lane now, and waits for those. */
  async endConnections(lane: Lane): Promise<void> {
    const before = new Set(this.#closings);
    for (const pooled of [...lane.connections]) pooled.end("requested");
    await Promise.all([...this.#closings].filter((it) => !before.has(it)));
  }

  /** Ends every connection that there is now, and waits for those. */
  async closeAll(): Promise<void> {
    for (const lane of this.lanes) {
      lane.reject(
        new PoolClosedError(
          `Cannot serve "${lane.name}": all connections are being closed`,
          { host: lane.name },
        ),
      );
    }
    for (const pooled of [...this.connections]) pooled.end("requested");
    await Promise.all(this.#closings);
  }

  /** Drains and ends the pool; see `ConnectionPool.close()`. */
  close(options?: CloseOptions): Promise<void> {
    const drainMs = drainTimeout(this.limits, options);
    if (this.#closed === undefined) {
      // A deferred promise first: closing calls back into the pool, which must
      // know by then that it is closing.
      let done!: () => void;
      this.#closed = new Promise((resolve) => done = resolve);
      this.isClosing = true;
      this.#close(drainMs).then(done);
    } else if (options?.drainTimeoutMs !== undefined) {
      this.#limitDrain(drainMs);
    }
    return this.#closed;
  }

  async #close(drainMs: number): Promise<void> {
    this.#closing.abort(this.closedError());
    for (const lane of this.lanes) lane.reject(this.closedError(lane.name));
    for (const pooled of [...this.connections]) pooled.drain("requested");
    const forwards = [...this.forwards].map((forward) => forward.close());
    if (this.connections.size > 0 && drainMs > 0) {
      await new Promise<void>((resolve) => {
        this.#endDrain = resolve;
        this.#limitDrain(drainMs);
      });
      clearTimeout(this.#drainTimer);
      this.#endDrain = undefined;
    }
    for (const pooled of [...this.connections]) pooled.end("requested");
    this.sweeper.stop();
    this.leases.stop();
    clearTimeout(this.#serveTimer);
    await Promise.all(forwards);
    while (this.#closings.size > 0) await Promise.all(this.#closings);
  }

  #limitDrain(ms: number): void {
    if (this.#endDrain === undefined) return;
    clearTimeout(this.#drainTimer);
    this.#drainTimer = setTimeout(this.#endDrain, ms);
  }

  #makeLane(host: ResolvedHost, key: string): Lane {
    return new Lane(this, host, key, {
      share: (lane, pooled) => new SharedConnection(this, lane, pooled),
      current: (lane) => this.directory.current(lane),
    });
  }

  /** Ends the least recently used idle connection, if there is one. */
  #evict(): boolean {
    const pooled = this.sweeper.leastRecent();
    if (pooled === undefined) {
      this.#dropLeaseGroups();
      // A lease released early gives no event when its channel closes, so poll.
      if ([...this.connections].some((it) => it.hasUnwatchedChannels)) {
        this.#serveSoon(ROOM_CHECK_MS);
      }
      return false;
    }
    if (pooled.consumeRecentShare()) {
      // Its caller has the promise but has not run yet. One turn later it
      // either has a channel on it, or has left it idle.
      this.#serveSoon(0);
      return false;
    }
    pooled.end("lru");
    return true;
  }

  /** Lets groups be collected whose leases were all forgotten. */
  #dropLeaseGroups(): void {
    for (const pooled of this.connections) pooled.leaseGroup = undefined;
  }

  #serveSoon(ms: number): void {
    this.#serveTimer ??= setTimeout(() => {
      this.#serveTimer = undefined;
      this.permits.serve();
    }, ms);
  }

  /** Returns what the pool looks like now. */
  stats(): PoolStats {
    this.#dropLeaseGroups();
    const hosts = [...this.lanes].filter((lane) => !lane.isEmpty).map(
      hostStats,
    );
    const sum = (field: keyof HostStats): number =>
      hosts.reduce((total, host) => total + (host[field] as number), 0);
    return {
      connections: sum("connections"),
      busy: sum("busy"),
      idle: sum("idle"),
      slots: sum("slots"),
      slotsInUse: sum("slotsInUse"),
      waiting: sum("waiting"),
      dialing: sum("dialing"),
      maxConnections: this.isClosing ? 0 : this.limits.maxConnections,
      coolingDown: hosts.filter((host) => host.coolingDownMs > 0).length,
      dialWindow: this.dialLimiter.size,
      hosts,
      counters: this.telemetry.counters(),
    };
  }
}

/** A string is `user@host:port` and nothing else, unless files are named. */
function resolverOf(
  { resolver, config = false, defaults }: Readonly<ConnectionPoolOptions>,
): HostResolver {
  const chosen = resolver ??
    (config === false ? new PlainResolver() : new SshConfigResolver(config));
  return defaults === undefined ? chosen : withDefaults(chosen, defaults);
}

/** Gauges are counted by walking, so that they cannot disagree. */
function hostStats(lane: Lane): HostStats {
  const all = [...lane.connections];
  const busy = all.filter((pooled) => pooled.isBusy).length;
  return {
    host: lane.name,
    connections: all.length,
    busy,
    idle: all.length - busy,
    slots: lane.open.length * lane.sessionLimit,
    slotsInUse: all.reduce((sum, pooled) => sum + pooled.load, 0),
    waiting: lane.waiting,
    dialing: lane.dialing,
    coolingDownMs: lane.backoff.remainingMs,
    sessionLimit: lane.sessionLimit,
  };
}
