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
import { dial, type Dialled, noteFailure } from "./_dial.ts";
import { Entry, type EntryOwner } from "./_entry.ts";
import { LinkedList } from "./_linked_list.ts";
import type { Dialler, Permit } from "./_permits.ts";
import { SpillRule } from "./_spill_rule.ts";
import { type Claim, type Patience, Waiter } from "./_waiter.ts";
import { waitedTooLong } from "./_wait_report.ts";
import type { CloseCause } from "./events.ts";

/** A dial under way, until it succeeds, fails or loses its last waiter. */
interface DialAttempt {
  readonly controller: AbortController;
  readonly permit: Permit;
  readonly startedAt: number;
  /** Settles when nothing of the dial is left. */
  done: Promise<void>;
}

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
 *     acquire() ---> looks  [ w w w ]----+         open: [ entry  entry  entry ]
 *                    queue  [ w w w w ]--+-- pump --> hand out: least loaded first
 *                                        |
 *     slot freed, connection gone,       +--------> dial: as many as are wanted,
 *     dial settled, waiter left, tick ---+                each with a permit
 *
 * "Lock-free" means here: whoever looks and takes does both in one synchronous
 * stretch, with no `await` between, so there is nothing to lock.
 */
export class Lane implements EntryOwner, Dialler {
  readonly host: ResolvedHost;
  readonly key: string;
  readonly name: string;
  readonly cooldown: Cooldown;
  readonly #core: Core;
  readonly #owner: LaneOwner;
  readonly #open: Entry[] = [];
  readonly #all = new Set<Entry>();
  readonly #queue = new LinkedList<Waiter>();
  readonly #looks = new LinkedList<Waiter>();
  readonly #dials = new Set<DialAttempt>();
  readonly #spill: SpillRule;
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
    this.#spill = new SpillRule();
    this.#sessionLimit = core.limits.maxSessionsPerConnection;
    this.#owner = owner;
  }

  /** The connection that `getConnection()` shares: the oldest. */
  get primary(): Entry | undefined {
    return this.#open[0];
  }

  /** Connections that give slots. */
  get open(): readonly Entry[] {
    return this.#open;
  }

  /** Slots of each connection. */
  get sessionLimit(): number {
    return this.#sessionLimit;
  }

  /** Every live connection of the host, draining ones too. */
  get entries(): ReadonlySet<Entry> {
    return this.#all;
  }

  /** Callers that wait. */
  get waiting(): number {
    return this.#queue.size + this.#looks.size;
  }

  /** Dials under way. */
  get dialing(): number {
    return this.#dials.size;
  }

  /** Whether the lane may be forgotten. */
  get isEmpty(): boolean {
    return this.#all.size === 0 && this.#dials.size === 0 &&
      this.waiting === 0 && this.cooldown.remainingMs === 0;
  }

  /** Whether somebody has, or is getting, a connection here. */
  get isLive(): boolean {
    return this.#open.length > 0 || this.#dials.size > 0 || this.waiting > 0;
  }

  /** Takes a slot if there is one and nobody waits for it. */
  tryTake(): Entry | undefined {
    if (this.#queue.size > 0) return undefined;
    const entry = this.#leastLoaded();
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
    if (claim === "slot") this.#enqueue(waiter);
    else this.#looks.push(waiter);
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
    for (const entry of [...this.#all]) entry.end(cause);
  }

  /** Aborts what is being dialled and fails everybody who waits. */
  reject(error: unknown): void {
    for (const waiter of [...this.#looks, ...this.#queue]) {
      this.#forget(waiter);
      waiter.fail(error);
    }
    this.#abortDials();
    this.#pump();
  }

  /** Permits.serve(): this lane's turn to dial has come. */
  startDial(permit: Permit): void {
    if (this.#wanted() <= 0) permit.release();
    else this.#dial(permit);
    this.#pump();
  }

  // --- what an entry tells -------------------------------------------------

  onSlotFreed(_entry: Entry): void {
    this.#spill.completed();
    if (this.#queue.size > 0) this.#pump();
  }

  onIdle(entry: Entry): void {
    this.#spill.completed();
    this.#core.idle.touch(entry);
    if (this.#queue.size > 0) this.#pump();
    if (this.#core.permits.isStarving) this.#core.permits.serve();
  }

  onTouch(entry: Entry): void {
    this.#core.idle.touch(entry);
  }

  onDraining(entry: Entry): void {
    this.#withdraw(entry);
    this.#pump();
  }

  onGone(entry: Entry, cause: CloseCause, reason?: ClosedReason): void {
    this.#withdraw(entry);
    this.#all.delete(entry);
    this.#core.idle.remove(entry);
    this.#core.idle.unwatchAge();
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
    while (this.#looks.size > 0) {
      const entry = this.#firstAlive();
      if (entry === undefined) break;
      this.#looks.shift()?.grant(entry);
    }
    while (this.#queue.size > 0) {
      const entry = this.#leastLoaded();
      if (entry === undefined) return;
      this.#queue.shift()?.grant(entry);
    }
  }

  #dialMore(): void {
    while (this.#wanted() > 0) {
      const permit = this.#permit();
      if (permit === undefined) return; // startDial() comes when it is our turn
      this.#dial(permit);
    }
    this.#core.permits.withdraw(this);
  }

  /** How many more dials the waiters justify. */
  #wanted(): number {
    const { limits, isClosing } = this.#core;
    if (isClosing || this.waiting === 0) return 0;
    const have = this.#open.length + this.#dials.size;
    if (have === 0) return 1;
    if (this.#open.length === 0 || this.#queue.size === 0) return 0;
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
    for (const waiter of this.#looks) {
      if (waiter.claim === "pin") return this.#core.permits.uncounted();
    }
    return this.#core.permits.request(this);
  }

  #dial(permit: Permit): void {
    const attempt: DialAttempt = {
      controller: new AbortController(),
      permit,
      startedAt: performance.now(),
      done: Promise.resolve(),
    };
    this.#dials.add(attempt);
    attempt.done = dial(this.#core, this.host, {
      signal: attempt.controller.signal,
      onThrottled: (error) => this.cooldown.throttled(error),
    }).then(
      (dialled) => this.#onDialled(attempt, dialled),
      (error) => this.#onDialFailed(attempt, error),
    );
  }

  #onDialled(attempt: DialAttempt, { connection, hop }: Dialled): void {
    if (!this.#dials.delete(attempt)) {
      // The last waiter left, or the pool closed, while the result was on its
      // way: nobody owns this connection.
      hop?.removePin();
      this.#core.closing(connection.close());
      return;
    }
    const durationMs = performance.now() - attempt.startedAt;
    this.cooldown.succeeded();
    this.#spill.dialled(durationMs);
    this.#core.journal.record({
      type: "connected",
      host: this.name,
      durationMs,
    });
    this.#add(connection, hop, attempt.permit);
    this.#pump();
    if (this.#core.permits.isStarving) this.#core.permits.serve();
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
    this.#open.push(entry);
    this.#all.add(entry);
    this.#core.entries.add(entry);
    this.#core.idle.watchAge();
    this.#core.idle.touch(entry);
  }

  #onDialFailed(attempt: DialAttempt, error: unknown): void {
    attempt.permit.release();
    if (!this.#dials.delete(attempt)) return; // aborted: nobody waits for it
    noteFailure(this.#core, this.host, error);
    const pauseMs = this.cooldown.failed(error);
    this.#core.journal.record({
      type: "cooldown",
      host: this.name,
      durationMs: pauseMs,
      error,
    });
    this.#spill.dialFailed(pauseMs);
    // Who waits shares the failure of the dial it waited for, unless another
    // connection or another dial can still serve it.
    if (this.#open.length === 0 && this.#dials.size === 0) {
      this.reject(error);
    } else {
      this.#pump();
    }
  }

  #leave(waiter: Waiter, aborted: boolean): void {
    const error = aborted
      ? waiter.abortReason
      : waitedTooLong(this, this.#core, waiter.waitedMs);
    if (!aborted) this.#core.journal.acquireTimedOut();
    this.#forget(waiter);
    waiter.fail(error);
    // A dial belongs to those who wait for it; without any it would be work
    // for nobody.
    if (this.waiting === 0) this.#abortDials();
    this.#pump();
  }

  #abortDials(): void {
    for (const attempt of [...this.#dials]) {
      this.#dials.delete(attempt);
      this.#core.journal.record({
        type: "dial-failed",
        host: this.name,
        phase: "aborted",
        error: undefined,
      });
      attempt.controller.abort(
        new DOMException("No caller waits for this dial", "AbortError"),
      );
      attempt.permit.release();
      this.#core.closing(attempt.done);
    }
  }

  // --- small parts ---------------------------------------------------------

  /** In the order of arrival; only a retry ever goes before the tail. */
  #enqueue(waiter: Waiter): void {
    let anchor = this.#queue.tail;
    if (anchor !== undefined && anchor.seq > waiter.seq) {
      anchor = undefined;
      for (const other of this.#queue) {
        if (other.seq > waiter.seq) break;
        anchor = other;
      }
    }
    this.#queue.insertAfter(anchor, waiter);
  }

  #forget(waiter: Waiter): void {
    if (!this.#queue.remove(waiter)) this.#looks.remove(waiter);
  }

  #withdraw(entry: Entry): void {
    const index = this.#open.indexOf(entry);
    if (index >= 0) this.#open.splice(index, 1);
  }

  #firstAlive(): Entry | undefined {
    for (const entry of [...this.#open]) {
      if (!entry.connection.isClosed) return entry;
      entry.end("ended");
    }
    return undefined;
  }

  /**
   * The least loaded connection with a free slot, so that short commands do
   * not pile up behind long ones; the oldest of equals, so that the others can
   * fall idle and go.
   */
  #leastLoaded(): Entry | undefined {
    let best: Entry | undefined;
    let bestLoad = this.sessionLimit;
    let stale: Entry | undefined;
    for (const entry of this.#open) {
      const { load } = entry;
      if (entry.connection.isClosed) stale = entry;
      else if (load < bestLoad && load < entry.belief.ceiling) {
        best = entry;
        bestLoad = load;
      }
    }
    // One at a time; the next look finds the next.
    stale?.end("ended");
    return best;
  }

  /**
   * While callers queue, something looks after them also when nothing ends: it
   * weighs another connection, lifts what a refusal held back, and sees
   * channels close whose leases were given back early.
   */
  #armTick(): void {
    if (this.#queue.size === 0) {
      this.#disarmTick();
      return;
    }
    if (this.#open.length === 0) return;
    let delayMs = this.#spill.dialMs;
    for (const entry of this.#open) {
      delayMs = Math.min(delayMs, entry.belief.recheckMs ?? Infinity);
    }
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
    for (const entry of this.#open) entry.belief.recheck();
    this.#spill.weigh(this.#queue.size, this.sessionLimit);
    this.#pump();
  }
}
