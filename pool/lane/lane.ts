/**
 * One host's lane: its connections, its waiters, and the code that hands the
 * connections to the waiters.
 *
 * @module
 */

import type { ClosedReason, Connection } from "../../transport/connector.ts";
import { hostLabel, type ResolvedHost } from "../../transport/host/host.ts";
import { Backoff } from "./backoff.ts";
import { ConnectionSet } from "./connection_set.ts";
import { Demand } from "./demand.ts";
import { Dialer, type DialerListener, type Dialled } from "./dialer.ts";
import type { Permit, PermitRequester } from "../limits/permits.ts";
import type { PoolContext } from "./context.ts";
import {
  PooledConnection,
  type PooledConnectionListener,
  type SlotKind,
} from "../connection/pooled_connection.ts";
import { ScaleOut } from "./scale_out.ts";
import { LearnedLimits } from "./learned_limits.ts";
import { EarliestTimer } from "../limits/timers.ts";
import { acquireTimedOut } from "./wait_error.ts";
import {
  type Claim,
  Waiter,
  type WaiterListener,
  type WaitOptions,
  WaitQueue,
} from "./wait_queue.ts";
import type { CloseCause } from "../telemetry/events.ts";

/** What a lane needs of the pool beside its context. */
export interface LaneOptions {
  /** Makes what `getConnection()` gives out. */
  share(lane: Lane, pooled: PooledConnection): Connection;
  /**
   * Returns the current lane of this lane's host: itself, also if it was
   * forgotten meanwhile, or the one that took its place.
   */
  current(lane: Lane): Lane;
}

/**
 * The lane of one host. Every change of state ends in `#pump()`, the only code
 * that hands out connections and begins dials:
 *
 *     acquire() --> WaitQueue  shared  [ w w w ]  --+    ConnectionSet [ c c c ]
 *                              command [ w w w w ] -+
 *                              stream  [ w ] -------+- pump --> hand out: least
 *                                                   |           loaded first
 *     slot freed, connection gone,                  |
 *     dial settled, waiter left, tick --------------+- pump --> Dialer: as many
 *                                                               as are wanted
 *
 * "Lock-free" means here: code that looks and takes does both in one
 * synchronous stretch, with no `await` between, so there is nothing to lock.
 */
export class Lane
  implements
    PooledConnectionListener,
    PermitRequester,
    DialerListener,
    WaiterListener {
  readonly host: ResolvedHost;
  readonly key: string;
  readonly name: string;
  readonly backoff: Backoff;
  /** Connections that give slots; the first is the one that callers share. */
  readonly open: readonly PooledConnection[];
  readonly #context: PoolContext;
  readonly #options: LaneOptions;
  readonly #connections: ConnectionSet;
  readonly #queue = new WaitQueue((waiter) => this.#onTimedOut(waiter));
  readonly #dialer: Dialer;
  readonly #scaleOut = new ScaleOut();
  readonly #learned: LearnedLimits;
  readonly #maxConnections: number;
  readonly #demand: Demand;
  readonly #tick = new EarliestTimer(() => this.#onTick(), { isUnref: false });
  #isPumping = false;

  constructor(
    context: PoolContext,
    host: ResolvedHost,
    key: string,
    options: LaneOptions,
  ) {
    const { limits } = context;
    this.#context = context;
    this.#options = options;
    this.host = host;
    this.key = key;
    this.name = hostLabel(host);
    this.backoff = new Backoff(limits.backoff);
    this.#connections = new ConnectionSet(context);
    this.open = this.#connections.open;
    this.#dialer = new Dialer(context, this, this);
    this.#learned = new LearnedLimits(limits);
    this.#maxConnections = host.keyboardInteractive === undefined
      ? limits.maxConnectionsPerHost
      : limits.maxInteractiveConnectionsPerHost;
    this.#demand = new Demand({
      context,
      maxConnections: this.#maxConnections,
      queue: this.#queue,
      connections: this.#connections,
      learned: this.#learned,
      scaleOut: this.#scaleOut,
    });
  }

  /** Slots of each connection. */
  get sessionLimit(): number {
    return this.#learned.sessions;
  }

  /** Every live connection of the host, draining ones too. */
  get connections(): ReadonlySet<PooledConnection> {
    return this.#connections.all;
  }

  /** Callers that wait. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** Dials under way. */
  get dialing(): number {
    return this.#dialer.size;
  }

  /** Whether the lane may be forgotten: nothing is in it. */
  get isEmpty(): boolean {
    return this.connections.size === 0 && this.dialing === 0 &&
      this.waiting === 0 && this.backoff.remainingMs === 0;
  }

  /** Whether there is a connection, a dial or a waiter. */
  get isLive(): boolean {
    return this.open.length > 0 || this.dialing > 0 || this.waiting > 0;
  }

  /** Takes a slot if there is one and nobody waits for it. */
  tryTake(kind: SlotKind): PooledConnection | undefined {
    if (this.#queue.hasWaitersBefore(kind)) return undefined;
    if (kind === "stream" && !this.#demand.mayStream) return undefined;
    const pooled = this.#connections.leastLoaded(this.sessionLimit);
    pooled?.takeSlot(kind);
    return pooled;
  }

  /**
   * Waits for a connection on which the claim is taken.
   *
   * @throws {SshError} If the dial fails, the host cools down, or time is up.
   * @throws The signal's reason on abort.
   */
  acquire(claim: Claim, options: WaitOptions): Promise<PooledConnection> {
    // Between finding the lane and this call there may have been an `await`,
    // in which an empty lane may be forgotten, and even replaced: two lanes of
    // one host would dial twice, and close() would not see one of them.
    const lane = this.#options.current(this);
    if (lane !== this) return lane.acquire(claim, options);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    if (this.#context.isClosing) {
      return Promise.reject(this.#context.closedError(this.name));
    }
    if (!this.isLive) {
      const error = this.backoff.check(this.name);
      if (error !== undefined) return Promise.reject(error);
    }
    const waiter = new Waiter(claim, options, this);
    this.#queue.add(waiter);
    this.#pump();
    return waiter.promise;
  }

  /** Learns that the server allows fewer sessions. */
  learn(limit: number): void {
    if (!this.#learned.lower(limit)) return;
    const { telemetry } = this.#context;
    telemetry.record({ type: "limit-learned", host: this.name, limit });
  }

  /** Notes that a connection takes no more sessions. */
  noteSpent(sessions: number): void {
    this.#learned.noteSpent(sessions, this.open);
  }

  /** Aborts what is being dialled and fails everybody who waits. */
  reject(error: unknown): void {
    for (const waiter of this.#queue.takeAll()) waiter.fail(error);
    this.#dialer.abort();
    this.#pump();
  }

  /** Permits.serve(): this lane's turn to dial has come. */
  startDial(permit: Permit): void {
    if (this.#demand.dials(this.dialing) <= 0) permit.release();
    else this.#dialer.begin(permit, this.#queue.oldest?.operation);
    this.#pump();
  }

  // --- what happens to a connection ------------------------------------------

  onSlotFreed(): void {
    if (this.#queue.slotsWanted === 0) return;
    this.#scaleOut.completed();
    this.#pump();
  }

  onIdle(pooled: PooledConnection): void {
    this.#context.sweeper.markUsed(pooled);
    this.onSlotFreed();
    if (this.#context.permits.isStarving) this.#context.permits.serve();
  }

  onUsed(pooled: PooledConnection): void {
    this.#context.sweeper.markUsed(pooled);
  }

  onExpired(pooled: PooledConnection): void {
    // At a cap there is no room for a successor. One that ends soon makes
    // room; one with a stream or a tunnel would keep callers waiting.
    if (!pooled.isHeld || this.#hasRoomForAnother) pooled.drain("lifetime");
  }

  get #hasRoomForAnother(): boolean {
    const { permits, sweeper } = this.#context;
    return this.#connections.counted < this.#maxConnections &&
      (!permits.isExhausted || sweeper.leastRecent() !== undefined);
  }

  onDraining(pooled: PooledConnection): void {
    this.#connections.withdraw(pooled);
    this.#pump();
  }

  onGone(
    pooled: PooledConnection,
    cause: CloseCause,
    reason?: ClosedReason,
  ): void {
    const context = this.#context;
    this.#connections.remove(pooled);
    const why = reason === undefined ? { cause } : { cause, reason };
    context.telemetry.record({ type: "disconnected", host: this.name, ...why });
    const isLast = this.connections.size === 0;
    this.#learned.noteEnd(pooled, cause, reason, isLast);
    // Also when it ended by itself: its socket and its listeners go with it.
    context.closing(pooled.connection.close());
  }

  onCleared(): void {
    this.#pump();
  }

  // --- what becomes of dials and waiters -------------------------------------

  onDialled(dialled: Dialled, permit: Permit, durationMs: number): void {
    const { telemetry, permits } = this.#context;
    this.backoff.succeeded();
    this.#scaleOut.recordDial(durationMs);
    telemetry.record({ type: "connected", host: this.name, durationMs });
    this.#add(dialled, permit);
    this.#pump();
    if (permits.isStarving) permits.serve();
  }

  onThrottled(error: unknown): void {
    this.backoff.throttled(error);
  }

  onDialFailed(error: unknown): void {
    const durationMs = this.backoff.failed(error);
    const pause = { host: this.name, durationMs, error };
    this.#context.telemetry.record({ type: "cooldown", ...pause });
    this.#scaleOut.dialFailed(durationMs);
    // Who waits shares the failure of the dial it waited for, unless another
    // connection or another dial can still serve it.
    if (this.open.length === 0 && this.dialing === 0) this.reject(error);
    else this.#pump();
  }

  #onTimedOut(waiter: Waiter): void {
    const error = acquireTimedOut(this, this.#context, waiter.waitedMs);
    this.onAborted(waiter, error);
  }

  onAborted(waiter: Waiter, error: unknown): void {
    this.#queue.remove(waiter);
    waiter.fail(error);
    // A dial belongs to those who wait for it.
    if (this.waiting === 0) this.#dialer.abort();
    this.#pump();
  }

  // --- the heart ---------------------------------------------------------------

  #pump(): void {
    // Ending a connection, or evicting one for a permit, comes back here; the
    // loop that is running sees the change by itself.
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      this.#handOut();
      this.#dialMore();
      this.#armTick();
    } finally {
      this.#isPumping = false;
    }
  }

  #handOut(): void {
    while (this.#queue.shared > 0) {
      const pooled = this.#connections.oldest();
      if (pooled === undefined) break;
      this.#queue.takeShared()?.grant(pooled);
    }
    while (this.#queue.slotsWanted > 0) {
      const pooled = this.#connections.leastLoaded(this.sessionLimit);
      const waiter = pooled &&
        this.#queue.takeSlotWaiter(this.#demand.mayStream);
      if (pooled === undefined || waiter === undefined) {
        // A parked slot is one of a stream, too. Its end comes back to this pump.
        this.#connections.reclaimSlot();
        return;
      }
      waiter.grant(pooled);
    }
  }

  #dialMore(): void {
    const { permits } = this.#context;
    while (this.#demand.dials(this.dialing) > 0) {
      // A hop is dialled beyond the cap, and once: its target has a permit
      // already, and would otherwise wait for itself.
      const permit = this.#queue.hasPin && this.dialing === 0
        ? permits.uncounted()
        : permits.request(this);
      if (permit === undefined) return; // startDial() comes when it is our turn
      this.#dialer.begin(permit, this.#queue.oldest?.operation);
    }
    permits.withdraw(this);
  }

  #add({ connection, hop }: Dialled, permit: Permit): void {
    const { maxLifetimeMs } = this.#context.limits;
    const trust = this.#learned.trustIn(connection, this.open);
    const pooled = new PooledConnection({
      connection,
      hop,
      permit,
      maxLifetimeMs,
      sessionsInLife: this.#learned.sessionsInLife,
      trust,
      listener: this,
      share: (pooled) => this.#options.share(this, pooled),
    });
    if (connection.maxSessions !== undefined) {
      this.learn(connection.maxSessions);
    }
    this.#connections.add(pooled);
  }

  /**
   * While callers wait for slots, a timer looks after them also when nothing
   * ends: it weighs another connection, lifts what a refusal held back, and sees
   * channels close whose leases were given back early.
   */
  #armTick(): void {
    if (this.#queue.slotsWanted === 0) {
      this.#tick.clear();
      this.#scaleOut.stop();
    } else if (this.open.length > 0) {
      this.#scaleOut.start();
      const { recheckMs } = this.#connections;
      this.#tick.arm(Math.min(this.#scaleOut.dialMs, recheckMs));
    }
  }

  #onTick(): void {
    this.#connections.recheck();
    if (!this.#connections.isResting) {
      this.#scaleOut.sample(
        this.#queue.slotsWanted,
        this.#learned.sessionsOfNew,
      );
    }
    if (this.#scaleOut.takeSurplus() && this.open.length > 1) {
      this.open.at(-1)?.drain("surplus");
    }
    this.#pump();
  }
}
