/**
 * The rooms of one pool, put together: what is behind its face.
 *
 * @module
 */

import type { Connector } from "../transport/connector.ts";
import {
  type HostLike,
  hostName,
  type ResolvedHost,
} from "../transport/host.ts";
import type { HostResolver } from "../transport/resolver.ts";
import { Closings } from "./_closings.ts";
import type { PoolContext } from "./_pool_context.ts";
import { DialLimiter } from "./_dial_limiter.ts";
import { Directory } from "./_directory.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import { IdleSweeper } from "./_idle_sweeper.ts";
import { Telemetry } from "./_telemetry.ts";
import { Lane } from "./_lane.ts";
import { LeaseTracker } from "./_lease_tracker.ts";
import { Permits } from "./_permits.ts";
import { execOn, spawnOn } from "./_run.ts";
import { SharedConnection } from "./_shared_connection.ts";
import { poolStats } from "./_stats.ts";
import { PoolClosedError } from "./errors.ts";
import type { PoolStats } from "./events.ts";
import {
  checkNumber,
  checkOptions,
  type CloseOptions,
  type ConnectionPoolOptions,
  type Limits,
} from "./options.ts";

/** How often a starved host shared for channels that ended unnoticed. */
const LOOK_AGAIN_MS = 50;

/** Owns the lanes and the limits, and their end. */
export class PoolCore implements PoolContext {
  readonly limits: Limits;
  readonly connector: Connector;
  readonly telemetry: Telemetry;
  readonly permits: Permits;
  readonly dialLimiter: DialLimiter;
  readonly sweeper: IdleSweeper;
  readonly connections: Set<PooledConnection> = new Set();
  readonly leases: LeaseTracker;
  readonly #directory: Directory;
  readonly #closings = new Closings();
  #lastSeq = 0;
  #closed: Promise<void> | undefined;
  /** Ends the drain of `close()`. */
  #endDrain: (() => void) | undefined;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;
  #serveTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectionPoolOptions, resolver: HostResolver) {
    this.limits = checkOptions(options);
    this.connector = options.connector;
    this.telemetry = new Telemetry(options.observer);
    this.permits = new Permits(this.limits.maxConnections, () => this.#evict());
    this.dialLimiter = new DialLimiter(this.limits.maxConcurrentDials);
    this.sweeper = new IdleSweeper(this.limits, {
      onIdle: (pooled) => pooled.end("idle"),
      onTick: () => this.leases.cool(),
      onAgeTick: (now) => this.#endOld(now),
    });
    this.leases = new LeaseTracker(this.telemetry, this.limits.leakDetectionMs);
    this.#directory = new Directory(
      resolver,
      (host, key) => this.#makeLane(host, key),
      (host, notice) => {
        const name = typeof host === "string" ? host : hostName(host);
        this.telemetry.record({ type: "notice", host: name, notice });
      },
    );
  }

  get lanes(): Iterable<Lane> {
    return this.#directory.lanes;
  }

  get isClosing(): boolean {
    return this.#closed !== undefined;
  }

  /** The lane of a host, if finding it takes no work. */
  known(host: HostLike): Lane | undefined {
    return this.#directory.known(host);
  }

  /** The lane of a host. */
  find(host: HostLike): Lane | Promise<Lane> {
    return this.#directory.find(host);
  }

  nextSeq(): number {
    return ++this.#lastSeq;
  }

  pauseMs(failures: number): number {
    const { initialMs, maxMs, factor, jitter } = this.limits.backoff;
    const pauseMs = Math.min(maxMs, initialMs * factor ** (failures - 1));
    return pauseMs * (1 - jitter * Math.random());
  }

  pinHop(hop: ResolvedHost, signal: AbortSignal): Promise<PooledConnection> {
    const lane = this.#directory.laneOf(hop);
    // The target's waiters have deadlines; the hop's wait ends with theirs.
    return lane.acquire("pin", { signal, timeoutMs: 0 });
  }

  closing(done: Promise<unknown>): void {
    this.#closings.add(done);
    if (this.connections.size === 0) this.#endDrain?.();
  }

  /** Settles when everything that is being closed now is closed. */
  closings(): Promise<void> {
    return this.#closings.settled();
  }

  closedError(host?: string): PoolClosedError {
    const what = host === undefined ? "the host" : `"${host}"`;
    return new PoolClosedError(
      `Cannot serve ${what}: the pool is closed`,
      { host },
    );
  }

  stats(): PoolStats {
    this.leases.cool();
    return poolStats(this);
  }

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
    await this.closings();
  }

  close(options: CloseOptions = {}): Promise<void> {
    const given = options.drainTimeoutMs ?? this.limits.drainTimeoutMs;
    const drainMs = checkNumber("drainTimeoutMs", given, 0, 2 ** 31 - 1, false);
    if (this.#closed === undefined) {
      // A deferred promise first: closing calls back into the pool, which must
      // know by then that it is closing.
      let done!: () => void;
      this.#closed = new Promise((resolve) => done = resolve);
      this.#close(drainMs).then(done);
    } else if (options.drainTimeoutMs !== undefined) {
      this.#limitDrain(drainMs);
    }
    return this.#closed;
  }

  async #close(drainMs: number): Promise<void> {
    for (const lane of this.lanes) lane.reject(this.closedError(lane.name));
    for (const pooled of [...this.connections]) pooled.drain("requested");
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
    await this.closings();
  }

  #limitDrain(ms: number): void {
    if (this.#endDrain === undefined) return;
    clearTimeout(this.#drainTimer);
    this.#drainTimer = setTimeout(this.#endDrain, ms);
  }

  #makeLane(host: ResolvedHost, key: string): Lane {
    return new Lane(this, host, key, {
      face: (lane, pooled) =>
        new SharedConnection(pooled, {
          exec: (command, options) => execOn(this, lane, command, options),
          spawn: (command, options) => spawnOn(this, lane, command, options),
        }),
      current: (lane) => this.#directory.current(lane),
    });
  }

  /** Ends the least recently used idle connection, if there is one. */
  #evict(): boolean {
    const pooled = this.sweeper.leastRecent();
    if (pooled === undefined) {
      this.#lookForStrays();
      return false;
    }
    if (pooled.isFresh && pooled.idleSince === 0) {
      // Its caller has the promise but has not run yet. One turn later it
      // either has a channel on it, or has left it idle.
      pooled.isFresh = false;
      this.#serveSoon();
      return false;
    }
    pooled.end("lru");
    return true;
  }

  /** Of a lease that was given back early nobody tells when its channel ends. */
  #lookForStrays(): void {
    for (const { slots, connection } of this.connections) {
      if (slots === 0 && connection.openChannels > 0) {
        return this.#serveSoon(LOOK_AGAIN_MS);
      }
    }
  }

  #serveSoon(ms = 0): void {
    this.#serveTimer ??= setTimeout(() => {
      this.#serveTimer = undefined;
      this.permits.serve();
    }, ms);
  }

  #endOld(now: number): void {
    for (const pooled of [...this.connections]) {
      if (pooled.expiresAt <= now) pooled.drain("lifetime");
    }
  }
}
