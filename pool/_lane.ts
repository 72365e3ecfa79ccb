/**
 * One host's lane: its connections, its waiters, and the one pump that
 * marries them.
 *
 * @module
 */

import type { ClosedReason, Connection } from "../transport/connector.ts";
import { hostName, type ResolvedHost } from "../transport/host.ts";
import type { PoolContext } from "./_pool_context.ts";
import { Backoff } from "./_backoff.ts";
import type { Dialled } from "./_dial.ts";
import {
  PooledConnection,
  type PooledConnectionListener,
} from "./_pooled_connection.ts";
import { Dialer, type DialerListener } from "./_dialer.ts";
import type { Dialler, Permit } from "./_permits.ts";
import { ConnectionSet } from "./_connection_set.ts";
import { ScaleOut } from "./_scale_out.ts";
import { WaitQueue } from "./_wait_queue.ts";
import { type Claim, Waiter, type WaitOptions } from "./_waiter.ts";
import { waitedTooLong } from "./_wait_report.ts";
import type { CloseCause } from "./events.ts";

/** What a lane needs of the pool around it. */
export interface LaneOwner {
  /** Makes what `getConnection()` gives out for an pooled. */
  face(lane: Lane, pooled: PooledConnection): Connection;
  /**
   * The lane that stands for the host of this one: itself, also if it was
   * forgotten meanwhile, or the one that took its place.
   */
  current(lane: Lane): Lane;
}

/**
 * The lane of one host. Every change of state ends in `#pump()`, the only code
 * that hands out connections and begins dials:
 *
 *     acquire() --> WaitQueue  shared [ w w w ]  --+         ConnectionSet [ e  e  e ]
 *                             queue [ w w w w ] --+-- pump --> hand out: least
 *                                                 |            loaded first
 *     slot freed, connection gone,                |
 *     dial settled, waiter left, tick ------------+-- pump --> Dialer: as many
 *                                                              as are wanted
 *
 * "Lock-free" means here: whoever shared and takes does both in one synchronous
 * stretch, with no `await` between, so there is nothing to lock.
 */
export class Lane implements PooledConnectionListener, Dialler, DialerListener {
  readonly host: ResolvedHost;
  readonly key: string;
  readonly name: string;
  readonly backoff: Backoff;
  readonly #core: PoolContext;
  readonly #owner: LaneOwner;
  readonly #connections = new ConnectionSet();
  readonly #queue = new WaitQueue();
  readonly #dials: Dialer;
  readonly #scaleOut = new ScaleOut();
  #sessionLimit: number;
  #tick: ReturnType<typeof setTimeout> | undefined;
  #tickAt = 0;
  #isPumping = false;

  constructor(
    core: PoolContext,
    host: ResolvedHost,
    key: string,
    owner: LaneOwner,
  ) {
    this.#core = core;
    this.host = host;
    this.key = key;
    this.name = hostName(host);
    this.backoff = new Backoff(
      core.limits.backoff,
      (failures) => core.pauseMs(failures),
    );
    this.#dials = new Dialer(core, this, this);
    this.#sessionLimit = core.limits.maxSessionsPerConnection;
    this.#owner = owner;
  }

  /** The connection that `getConnection()` shares: the oldest. */
  get primary(): PooledConnection | undefined {
    return this.#connections.open[0];
  }

  /** Connections that give slots. */
  get open(): readonly PooledConnection[] {
    return this.#connections.open;
  }

  /** Slots of each connection. */
  get sessionLimit(): number {
    return this.#sessionLimit;
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
    return this.#dials.size;
  }

  /** Whether the lane may be forgotten. */
  get isEmpty(): boolean {
    return this.connections.size === 0 && this.#dials.size === 0 &&
      this.waiting === 0 && this.backoff.remainingMs === 0;
  }

  /** Whether somebody has, or is getting, a connection here. */
  get isLive(): boolean {
    return this.open.length > 0 || this.#dials.size > 0 || this.waiting > 0;
  }

  /** Takes a slot if there is one and nobody waits for it. */
  tryTake(): PooledConnection | undefined {
    if (this.#queue.queued > 0) return undefined;
    const pooled = this.#connections.leastLoaded(this.#sessionLimit);
    pooled?.takeSlot();
    return pooled;
  }

  /**
   * Waits for a connection on which the claim is taken.
   *
   * @param seq The place in the queue; a retry keeps the one it had.
   * @throws {SshError} If the dial fails, the host cools down, or time is up.
   * @throws The signal's reason on abort.
   */
  acquire(
    claim: Claim,
    wait: WaitOptions,
    seq: number = this.#core.nextSeq(),
  ): Promise<PooledConnection> {
    // Between finding the lane and this call there may have been an `await`,
    // in which an empty lane may be forgotten, and even replaced: two lanes of
    // one host would dial twice, and close() would not see one of them.
    const lane = this.#owner.current(this);
    if (lane !== this) return lane.acquire(claim, wait, seq);
    if (wait.signal?.aborted) return Promise.reject(wait.signal.reason);
    if (this.#core.isClosing) {
      return Promise.reject(this.#core.closedError(this.name));
    }
    if (!this.isLive) {
      const error = this.backoff.check(this.name);
      if (error !== undefined) return Promise.reject(error);
    }
    const waiter = new Waiter(
      claim,
      seq,
      wait,
      (waiter, aborted) => this.#leave(waiter, aborted),
    );
    this.#queue.add(waiter);
    this.#core.leases.cool();
    this.#pump();
    return waiter.promise;
  }

  /** Learns that the server allows fewer sessions. */
  learn(limit: number): void {
    if (limit >= this.sessionLimit) return;
    this.#sessionLimit = limit;
    this.#core.telemetry.record({
      type: "limit-learned",
      host: this.name,
      limit,
    });
  }

  /** Ends every connection of the host now. Who waits gets a fresh one. */
  endConnections(cause: CloseCause): void {
    for (const pooled of [...this.connections]) pooled.end(cause);
  }

  /** Aborts what is being dialled and fails everybody who waits. */
  reject(error: unknown): void {
    for (const waiter of this.#queue.removeAll()) waiter.fail(error);
    this.#dials.abort();
    this.#pump();
  }

  /** Permits.serve(): this lane's turn to dial has come. */
  startDial(permit: Permit): void {
    if (this.#wanted() <= 0) permit.release();
    else this.#dials.begin(permit);
    this.#pump();
  }

  // --- what an pooled tells -------------------------------------------------

  onSlotFreed(_entry: PooledConnection): void {
    this.#scaleOut.completed();
    if (this.#queue.queued > 0) this.#pump();
  }

  onIdle(pooled: PooledConnection): void {
    this.#scaleOut.completed();
    this.#core.sweeper.touch(pooled);
    if (this.#queue.queued > 0) this.#pump();
    if (this.#core.permits.isStarving) this.#core.permits.serve();
  }

  onTouch(pooled: PooledConnection): void {
    this.#core.sweeper.touch(pooled);
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
    this.#connections.remove(pooled);
    this.#core.sweeper.remove(pooled);
    this.#core.connections.delete(pooled);
    this.#core.telemetry.record({
      type: "disconnected",
      host: this.name,
      cause,
      ...(reason === undefined ? {} : { reason }),
    });
    // Also when it ended by itself: its socket and its listeners go with it.
    this.#core.closing(pooled.connection.close());
  }

  onCleared(_entry: PooledConnection): void {
    this.#pump();
  }

  // --- what becomes of a dial -----------------------------------------------

  onDialled(
    { connection, hop }: Dialled,
    permit: Permit,
    durationMs: number,
  ): void {
    this.backoff.succeeded();
    this.#scaleOut.dialled(durationMs);
    this.#core.telemetry.record({
      type: "connected",
      host: this.name,
      durationMs,
    });
    this.#add(connection, hop, permit);
    this.#pump();
    if (this.#core.permits.isStarving) this.#core.permits.serve();
  }

  onThrottled(error: unknown): void {
    this.backoff.throttled(error);
  }

  onDialFailed(error: unknown): void {
    const durationMs = this.backoff.failed(error);
    this.#core.telemetry.record({
      type: "cooldown",
      host: this.name,
      durationMs,
      error,
    });
    this.#scaleOut.dialFailed(durationMs);
    // Who waits shares the failure of the dial it waited for, unless another
    // connection or another dial can still serve it.
    if (this.open.length === 0 && this.#dials.size === 0) this.reject(error);
    else this.#pump();
  }

  // --- the heart -----------------------------------------------------------

  #pump(): void {
    // Ending an pooled, or evicting one for a permit, comes back here; the loop
    // that is running sees the change by itself.
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
      const pooled = this.#connections.firstAlive();
      if (pooled === undefined) break;
      this.#queue.nextShared()?.grant(pooled);
    }
    while (this.#queue.queued > 0) {
      const pooled = this.#connections.leastLoaded(this.#sessionLimit);
      if (pooled === undefined) return;
      this.#queue.nextQueued()?.grant(pooled);
    }
  }

  #dialMore(): void {
    while (this.#wanted() > 0) {
      const permit = this.#permit();
      if (permit === undefined) return; // startDial() comes when it is our turn
      this.#dials.begin(permit);
    }
    this.#core.permits.withdraw(this);
  }

  /** How many more dials the waiters justify. */
  #wanted(): number {
    const { limits, isClosing } = this.#core;
    if (isClosing || this.waiting === 0) return 0;
    const have = this.open.length + this.#dials.size;
    if (have === 0) return 1;
    if (this.open.length === 0 || this.#queue.queued === 0) return 0;
    return Math.min(
      this.#scaleOut.extra - this.#dials.size,
      limits.maxConnectionsPerHost - have,
      limits.maxConcurrentDialsPerHost - this.#dials.size,
    );
  }

  /**
   * A hop is dialled beyond the cap: its target has a permit already, and
   * would otherwise wait for itself.
   */
  #permit(): Permit | undefined {
    const { permits } = this.#core;
    return this.#queue.hasPin ? permits.uncounted() : permits.request(this);
  }

  #add(
    connection: Connection,
    hop: PooledConnection | undefined,
    permit: Permit,
  ): void {
    const { maxLifetimeMs } = this.#core.limits;
    const pooled: PooledConnection = new PooledConnection(this, {
      connection,
      hop,
      permit,
      // Jittered, so that what was opened together does not go together.
      expiresAt: maxLifetimeMs === 0
        ? Infinity
        : Date.now() + maxLifetimeMs * (0.9 + 0.2 * Math.random()),
    });
    pooled.shared = Promise.resolve(this.#owner.face(this, pooled));
    this.#connections.add(pooled);
    this.#core.connections.add(pooled);
    this.#core.sweeper.add(pooled);
  }

  #leave(waiter: Waiter, aborted: boolean): void {
    const error = aborted
      ? waiter.abortReason
      : waitedTooLong(this, this.#core, waiter.waitedMs);
    if (!aborted) this.#core.telemetry.acquireTimedOut();
    this.#queue.remove(waiter);
    waiter.fail(error);
    // A dial belongs to those who wait for it; without any it would be work
    // for nobody.
    if (this.waiting === 0) this.#dials.abort();
    this.#pump();
  }

  /**
   * While callers queue, something shared after them also when nothing ends: it
   * weighs another connection, lifts what a refusal held back, and sees
   * channels close whose leases were given back early.
   */
  #armTick(): void {
    if (this.#queue.queued === 0) {
      this.#disarmTick();
      return;
    }
    if (this.open.length === 0) return;
    this.#scaleOut.begin();
    const delayMs = Math.min(
      this.#scaleOut.dialMs,
      this.#connections.recheckMs,
    );
    const at = performance.now() + delayMs;
    if (this.#tick !== undefined && this.#tickAt <= at) return;
    clearTimeout(this.#tick);
    this.#tickAt = at;
    this.#tick = setTimeout(() => this.#onTick(), delayMs);
  }

  #disarmTick(): void {
    clearTimeout(this.#tick);
    this.#tick = undefined;
    this.#scaleOut.calm();
  }

  #onTick(): void {
    this.#tick = undefined;
    this.#connections.recheck();
    this.#scaleOut.weigh(this.#queue.queued, this.#sessionLimit);
    if (this.#scaleOut.takeSurplus() && this.open.length > 1) {
      this.open.at(-1)?.drain("surplus");
    }
    this.#pump();
  }
}
