/**
 * One host's lane: its connections, its waiters, and the one pump that
 * marries them.
 *
 * @module
 */

import type { ClosedReason, Connection } from "../transport/connector.ts";
import { hostName, type ResolvedHost } from "../transport/host.ts";
import type { Core } from "./_core.ts";
import { Cooldown } from "./_cooldown.ts";
import type { Dialled } from "./_dial.ts";
import { Entry, type EntryOwner } from "./_entry.ts";
import { type DialOutcomes, LaneDials } from "./_lane_dials.ts";
import type { Dialler, Permit } from "./_permits.ts";
import { Roster } from "./_roster.ts";
import { SpillRule } from "./_spill_rule.ts";
import { WaitRoom } from "./_wait_room.ts";
import { type Claim, type Patience, Waiter } from "./_waiter.ts";
import { waitedTooLong } from "./_wait_report.ts";
import type { CloseCause } from "./events.ts";

/** What a lane needs of the pool around it. */
export interface LaneOwner {
  /** Makes what `getConnection()` gives out for an entry. */
  face(lane: Lane, entry: Entry): Connection;
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
 *     acquire() --> WaitRoom  looks [ w w w ]  --+         Roster [ e  e  e ]
 *                             queue [ w w w w ] --+-- pump --> hand out: least
 *                                                 |            loaded first
 *     slot freed, connection gone,                |
 *     dial settled, waiter left, tick ------------+-- pump --> LaneDials: as many
 *                                                              as are wanted
 *
 * "Lock-free" means here: whoever looks and takes does both in one synchronous
 * stretch, with no `await` between, so there is nothing to lock.
 */
export class Lane implements EntryOwner, Dialler, DialOutcomes {
  readonly host: ResolvedHost;
  readonly key: string;
  readonly name: string;
  readonly cooldown: Cooldown;
  readonly #core: Core;
  readonly #owner: LaneOwner;
  readonly #roster = new Roster();
  readonly #room = new WaitRoom();
  readonly #dials: LaneDials;
  readonly #spill = new SpillRule();
  #sessionLimit: number;
  #tick: ReturnType<typeof setTimeout> | undefined;
  #tickAt = 0;
  #isPumping = false;

  constructor(core: Core, host: ResolvedHost, key: string, owner: LaneOwner) {
    this.#core = core;
    this.host = host;
    this.key = key;
    this.name = hostName(host);
    this.cooldown = new Cooldown(
      core.limits.backoff,
      (failures) => core.pauseMs(failures),
    );
    this.#dials = new LaneDials(core, this, this);
    this.#sessionLimit = core.limits.maxSessionsPerConnection;
    this.#owner = owner;
  }

  /** The connection that `getConnection()` shares: the oldest. */
  get primary(): Entry | undefined {
    return this.#roster.open[0];
  }

  /** Connections that give slots. */
  get open(): readonly Entry[] {
    return this.#roster.open;
  }

  /** Slots of each connection. */
  get sessionLimit(): number {
    return this.#sessionLimit;
  }

  /** Every live connection of the host, draining ones too. */
  get entries(): ReadonlySet<Entry> {
    return this.#roster.all;
  }

  /** Callers that wait. */
  get waiting(): number {
    return this.#room.size;
  }

  /** Dials under way. */
  get dialing(): number {
    return this.#dials.size;
  }

  /** Whether the lane may be forgotten. */
  get isEmpty(): boolean {
    return this.entries.size === 0 && this.#dials.size === 0 &&
      this.waiting === 0 && this.cooldown.remainingMs === 0;
  }

  /** Whether somebody has, or is getting, a connection here. */
  get isLive(): boolean {
    return this.open.length > 0 || this.#dials.size > 0 || this.waiting > 0;
  }

  /** Takes a slot if there is one and nobody waits for it. */
  tryTake(): Entry | undefined {
    if (this.#room.queued > 0) return undefined;
    const entry = this.#roster.leastLoaded(this.#sessionLimit);
    entry?.takeSlot();
    return entry;
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
    patience: Patience,
    seq: number = this.#core.nextSeq(),
  ): Promise<Entry> {
    // Between finding the lane and this call there may have been an `await`,
    // in which an empty lane may be forgotten, and even replaced: two lanes of
    // one host would dial twice, and close() would not see one of them.
    const lane = this.#owner.current(this);
    if (lane !== this) return lane.acquire(claim, patience, seq);
    if (patience.signal?.aborted) return Promise.reject(patience.signal.reason);
    if (this.#core.isClosing) {
      return Promise.reject(this.#core.closedError(this.name));
    }
    if (!this.isLive) {
      const error = this.cooldown.check(this.name);
      if (error !== undefined) return Promise.reject(error);
    }
    const waiter = new Waiter(
      claim,
      seq,
      patience,
      (waiter, aborted) => this.#leave(waiter, aborted),
    );
    this.#room.add(waiter);
    this.#core.ledger.cool();
    this.#pump();
    return waiter.promise;
  }

  /** Learns that the server allows fewer sessions. */
  learn(limit: number): void {
    if (limit >= this.sessionLimit) return;
    this.#sessionLimit = limit;
    this.#core.journal.record({
      type: "limit-learned",
      host: this.name,
      limit,
    });
  }

  /** Ends every connection of the host now. Who waits gets a fresh one. */
  endConnections(cause: CloseCause): void {
    for (const entry of [...this.entries]) entry.end(cause);
  }

  /** Aborts what is being dialled and fails everybody who waits. */
  reject(error: unknown): void {
    for (const waiter of this.#room.removeAll()) waiter.fail(error);
    this.#dials.abort();
    this.#pump();
  }

  /** Permits.serve(): this lane's turn to dial has come. */
  startDial(permit: Permit): void {
    if (this.#wanted() <= 0) permit.release();
    else this.#dials.begin(permit);
    this.#pump();
  }

  // --- what an entry tells -------------------------------------------------

  onSlotFreed(_entry: Entry): void {
    this.#spill.completed();
    if (this.#room.queued > 0) this.#pump();
  }

  onIdle(entry: Entry): void {
    this.#spill.completed();
    this.#core.idle.touch(entry);
    if (this.#room.queued > 0) this.#pump();
    if (this.#core.permits.isStarving) this.#core.permits.serve();
  }

  onTouch(entry: Entry): void {
    this.#core.idle.touch(entry);
  }

  onDraining(entry: Entry): void {
    this.#roster.withdraw(entry);
    this.#pump();
  }

  onGone(entry: Entry, cause: CloseCause, reason?: ClosedReason): void {
    this.#roster.remove(entry);
    this.#core.idle.remove(entry);
    this.#core.entries.delete(entry);
    this.#core.journal.record({
      type: "disconnected",
      host: this.name,
      cause,
      ...(reason === undefined ? {} : { reason }),
    });
    // Also when it ended by itself: its socket and its listeners go with it.
    this.#core.closing(entry.connection.close());
  }

  onCleared(_entry: Entry): void {
    this.#pump();
  }

  // --- what becomes of a dial -----------------------------------------------

  onDialled(
    { connection, hop }: Dialled,
    permit: Permit,
    durationMs: number,
  ): void {
    this.cooldown.succeeded();
    this.#spill.dialled(durationMs);
    this.#core.journal.record({
      type: "connected",
      host: this.name,
      durationMs,
    });
    this.#add(connection, hop, permit);
    this.#pump();
    if (this.#core.permits.isStarving) this.#core.permits.serve();
  }

  onThrottled(error: unknown): void {
    this.cooldown.throttled(error);
  }

  onDialFailed(error: unknown): void {
    const durationMs = this.cooldown.failed(error);
    this.#core.journal.record({
      type: "cooldown",
      host: this.name,
      durationMs,
      error,
    });
    this.#spill.dialFailed(durationMs);
    // Who waits shares the failure of the dial it waited for, unless another
    // connection or another dial can still serve it.
    if (this.open.length === 0 && this.#dials.size === 0) this.reject(error);
    else this.#pump();
  }

  // --- the heart -----------------------------------------------------------

  #pump(): void {
    // Ending an entry, or evicting one for a permit, comes back here; the loop
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
    while (this.#room.looks > 0) {
      const entry = this.#roster.firstAlive();
      if (entry === undefined) break;
      this.#room.nextLook()?.grant(entry);
    }
    while (this.#room.queued > 0) {
      const entry = this.#roster.leastLoaded(this.#sessionLimit);
      if (entry === undefined) return;
      this.#room.nextQueued()?.grant(entry);
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
    if (this.open.length === 0 || this.#room.queued === 0) return 0;
    return Math.min(
      this.#spill.extra - this.#dials.size,
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
    return this.#room.hasPin ? permits.uncounted() : permits.request(this);
  }

  #add(
    connection: Connection,
    hop: Entry | undefined,
    permit: Permit,
  ): void {
    const { maxLifetimeMs } = this.#core.limits;
    const entry: Entry = new Entry(this, {
      connection,
      hop,
      permit,
      // Jittered, so that what was opened together does not go together.
      expiresAt: maxLifetimeMs === 0
        ? Infinity
        : Date.now() + maxLifetimeMs * (0.9 + 0.2 * Math.random()),
    });
    entry.shared = Promise.resolve(this.#owner.face(this, entry));
    this.#roster.add(entry);
    this.#core.entries.add(entry);
    this.#core.idle.add(entry);
  }

  #leave(waiter: Waiter, aborted: boolean): void {
    const error = aborted
      ? waiter.abortReason
      : waitedTooLong(this, this.#core, waiter.waitedMs);
    if (!aborted) this.#core.journal.acquireTimedOut();
    this.#room.remove(waiter);
    waiter.fail(error);
    // A dial belongs to those who wait for it; without any it would be work
    // for nobody.
    if (this.waiting === 0) this.#dials.abort();
    this.#pump();
  }

  /**
   * While callers queue, something looks after them also when nothing ends: it
   * weighs another connection, lifts what a refusal held back, and sees
   * channels close whose leases were given back early.
   */
  #armTick(): void {
    if (this.#room.queued === 0) {
      this.#disarmTick();
      return;
    }
    if (this.open.length === 0) return;
    this.#spill.begin();
    const delayMs = Math.min(this.#spill.dialMs, this.#roster.recheckMs);
    const at = performance.now() + delayMs;
    if (this.#tick !== undefined && this.#tickAt <= at) return;
    clearTimeout(this.#tick);
    this.#tickAt = at;
    this.#tick = setTimeout(() => this.#onTick(), delayMs);
  }

  #disarmTick(): void {
    clearTimeout(this.#tick);
    this.#tick = undefined;
    this.#spill.calm();
  }

  #onTick(): void {
    this.#tick = undefined;
    this.#roster.recheck();
    this.#spill.weigh(this.#room.queued, this.#sessionLimit);
    if (this.#spill.takeSurplus() && this.open.length > 1) {
      this.open.at(-1)?.drain("surplus");
    }
    this.#pump();
  }
}
