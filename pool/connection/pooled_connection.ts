/**
 * One pooled connection: its slots, its age, and whether it is idle.
 *
 * @module
 */

import type { ClosedReason, Connection } from "../../transport/connector.ts";
import { hostLabel } from "../../transport/host/host.ts";
import type { Permit } from "../limits/permits.ts";
import type { LeaseGroup, LeaseOwner } from "./lease_tracker.ts";
import {
  type Refusal,
  type SessionAttempt,
  SessionLimit,
} from "./session_limit.ts";
import { SpareSessions } from "./spare_sessions.ts";
import { Survival, type Trust } from "./survival.ts";
import { unref } from "../limits/timers.ts";
import type { CloseCause } from "../telemetry/events.ts";

/** How often a draining connection looks for the end of channels without a slot. */
const DRAIN_CHECK_MS = 50;

/** What a slot is for: a command, or something that may stay open for long. */
export type SlotKind = "command" | "stream";

/** Handles what happens to a pooled connection: its lane. */
export interface PooledConnectionListener {
  /** A slot came free, and others are still taken. */
  onSlotFreed(): void;
  /** The last slot or pin went. */
  onIdle(pooled: PooledConnection): void;
  /** It was handed out while it was idle. */
  onUsed(pooled: PooledConnection): void;
  /** It has lived for long enough, and is to be drained as soon as can be. */
  onExpired(pooled: PooledConnection): void;
  /** It gives no slots any more. */
  onDraining(pooled: PooledConnection): void;
  /** The connection has ended, or is ended by the pool. */
  onGone(
    pooled: PooledConnection,
    cause: CloseCause,
    reason?: ClosedReason,
  ): void;
  /** All that it held is given back. */
  onCleared(): void;
}

/** How a session ended, as far as that matters to its connection. */
export type SessionEnd = "ended" | "orphaned" | "lost";

/** `open` gives slots; `draining` keeps what it has; `gone` has left the pool. */
export type PooledConnectionState = "open" | "draining" | "gone";

/** What a pooled connection is made of. */
export interface PooledConnectionOptions {
  readonly connection: Connection;
  readonly permit: Permit;
  /** The hop that carries this connection, pinned. */
  readonly hop?: PooledConnection | undefined;
  /** When it is to be replaced, about, in milliseconds; 0 for never. */
  readonly maxLifetimeMs: number;
  /** Sessions that it may carry in its life. */
  readonly sessionsInLife: number;
  /** How it is treated until its first session is over. */
  readonly trust: Trust;
  readonly listener: PooledConnectionListener;
  /** Makes what `getConnection()` gives out. */
  share(pooled: PooledConnection): Connection;
}

/**
 * Owns a connection's state. Slots, leases and pins are raised and
 * lowered here and nowhere else:
 *
 *     open ---------------- drain() ----> draining --+
 *      |  \__ takeSlot/giveSlot               |      | last slot or pin gone
 *      |                                      |      |
 *      +-- end(), or the connection closes ---+------+--> gone
 */
export class PooledConnection implements LeaseOwner {
  readonly connection: Connection;
  /** The promise that `getConnection()` gives out, the same for everybody. */
  readonly shared: Promise<Connection>;
  readonly hop: PooledConnection | undefined;
  leaseGroup: LeaseGroup | undefined = undefined;
  readonly #listener: PooledConnectionListener;
  readonly #permit: Permit;
  readonly #expiresAt: number;
  readonly #limit = new SessionLimit();
  /** Whether it outlives its first session. */
  readonly survival: Survival;
  readonly #spares: SpareSessions | undefined;
  #state: PooledConnectionState = "open";
  #drainCause: CloseCause = "lifetime";
  #slots = 0;
  /** Slots that were ever taken. */
  #taken = 0;
  /** Sessions that it may carry in its life. */
  sessionsInLife: number;
  #streams = 0;
  #leases = 0;
  #pins = 0;
  /** Slots that can be had back: each gives its own back when it is called. */
  readonly #reclaimable = new Set<() => void>();
  /** A lease was given back with its channel open, whose end nobody reports. */
  #hasStrays = false;
  #lastUse = 0;
  /** When the sweeper saw it idle; 0 if it was used since. */
  #idleSince = 0;
  #wasShared = false;
  #drainCheck: unknown;

  constructor(options: PooledConnectionOptions) {
    this.connection = options.connection;
    this.hop = options.hop;
    this.#listener = options.listener;
    this.#permit = options.permit;
    this.sessionsInLife = options.sessionsInLife;
    this.survival = new Survival(options.trust);
    // Jittered, so that what was opened together does not end together.
    const lifetimeMs = options.maxLifetimeMs * (0.9 + 0.2 * Math.random());
    this.#expiresAt = performance.now() + (lifetimeMs || Infinity);
    const { spares } = options.connection;
    this.#spares = spares && new SpareSessions(spares, this.#limit);
    this.shared = Promise.resolve(options.share(this));
    this.connection.closed.then((reason) => this.#leave("ended", reason));
  }

  /** The name of the host. */
  get name(): string {
    return hostLabel(this.connection.host);
  }

  /** Where it is in its life. */
  get state(): PooledConnectionState {
    return this.#state;
  }

  /** Whether new channels may be opened on it. */
  get isUsable(): boolean {
    return this.#state === "open" && !this.connection.isClosed &&
      this.connection.isFailing !== true;
  }

  /** Whether its end makes room below the cap. */
  get isCounted(): boolean {
    return this.#permit.isCounted;
  }

  /** Slots that are taken and may be held for long. */
  get streams(): number {
    return this.#streams;
  }

  /** Whether a channel, a lease or a tunnel is on it. */
  get isBusy(): boolean {
    // A spare that is being closed is nobody's, though the server counts it.
    const channels = this.#openChannels - (this.#spares?.closing ?? 0);
    return !this.#isUnused || channels > this.#reclaimable.size;
  }

  /** Whether channels are open whose end nobody reports. */
  get hasUnwatchedChannels(): boolean {
    return this.#slots === 0 && this.#openChannels > 0;
  }

  /** Whether {@linkcode reclaimSlot} would have something to do. */
  get hasReclaimableSlot(): boolean {
    return this.#reclaimable.size > 0;
  }

  /** Sessions that it may still carry in its life. */
  get sessionsLeft(): number {
    return Math.max(0, this.sessionsInLife - this.#taken);
  }

  /** Whether it has carried all its sessions, and nothing is on it any more. */
  get isSpent(): boolean {
    return this.#state === "open" && this.#isUnused && this.sessionsLeft === 0;
  }

  /**
   * Channels that count against the limit: slots, or, where a lease was given
   * back with its channel still open, the channels.
   */
  get load(): number {
    return Math.max(this.#openChannels, this.#slots);
  }

  /**
   * Returns whether one more session may be opened now, as far as refusals
   * tell.
   */
  hasRoom(sessionLimit: number): boolean {
    const { load } = this;
    return load < sessionLimit && load + 1 <= this.#limit.ceiling &&
      load < this.survival.ceiling && this.sessionsLeft > 0;
  }

  /** Takes a slot. The caller has seen that there is one, in the same turn. */
  takeSlot(kind: SlotKind): void {
    this.#slots++;
    this.#taken++;
    this.survival.sessionBegins();
    if (kind === "stream") this.#streams++;
  }

  /** Gives the slot of something back that has opened no channel. */
  giveSlot(kind: SlotKind): void {
    this.#giveSlot(kind, true);
  }

  /**
   * Lends a slot that is taken and not in use back to the pool: it no longer
   * keeps the connection from being idle.
   *
   * @param reclaim Gives the slot back, soon; called when one is needed.
   * @returns Takes the slot into use again; false if it was reclaimed.
   */
  parkSlot(reclaim: () => void): () => boolean {
    this.#reclaimable.add(reclaim);
    if (this.#state !== "gone" && this.#isUnused) this.#becomeIdle();
    else this.#listener.onSlotFreed();
    return () => this.#reclaimable.delete(reclaim);
  }

  /** Has one slot given back that is parked. */
  reclaimSlot(): void {
    const [reclaim] = this.#reclaimable;
    if (reclaim === undefined) return;
    this.#reclaimable.delete(reclaim);
    reclaim();
  }

  /** Notes a lease on a slot that is taken. */
  addLease(): void {
    this.#leases++;
  }

  /** Gives the slot of a lease back. */
  giveLease(): void {
    this.#leases--;
    this.#limit.leaseEnded();
    // Before the slot is given: a waiter that gets it in this turn would hide
    // the channel that the lease leaves behind.
    if (this.#openChannels >= this.#slots) this.#hasStrays = true;
    this.#giveSlot("command", true);
  }

  /** Keeps the connection while a tunnel is on it. */
  addPin(): void {
    this.#pins++;
  }

  /** Gives a pin back. */
  removePin(): void {
    if (this.#pins === 0) throw new Error("Bug: pin given back twice");
    this.#pins--;
    if (this.#state !== "gone" && this.#isUnused) this.#becomeIdle();
  }

  /**
   * Begins a session channel, on a slot that is taken and in the turn in which
   * the channel is asked for.
   */
  beginSession(): SessionAttempt {
    return this.#spares?.take() ?? this.#limit.begin();
  }

  /** The server has opened the channel. */
  sessionOpened(attempt: SessionAttempt): void {
    this.#limit.opened(attempt);
    this.#spares?.answered(attempt);
  }

  /** Opens a channel ahead of need, if this connection is busy enough. */
  openSpare(sessionLimit: number): void {
    if (this.#state !== "open" || this.sessionsInLife !== Infinity) return;
    if (this.survival.ceiling !== Infinity) return;
    const room = Math.min(sessionLimit, this.#limit.ceiling) - this.load;
    this.#spares?.refill(this.#slots, room);
  }

  /**
   * Ends a session and gives its slot back.
   *
   * @param end Whether we closed the channel, and the process may live on; or
   * whether it ended with its connection.
   */
  endSession(attempt: SessionAttempt, kind: SlotKind, end: SessionEnd): void {
    const hadSession = attempt.isOpen;
    this.#limit.ended(attempt, end === "orphaned");
    if (hadSession && end !== "lost") {
      this.survival.sessionEnded(this.#limit.open);
    }
    this.#giveSlot(kind, hadSession);
  }

  /** The server refused a session: what does it mean? */
  sessionRefused(attempt: SessionAttempt): Refusal {
    // Where nothing is open, no stray is.
    if (this.connection.openChannels === 0) this.#hasStrays = false;
    return this.#limit.refused(attempt, this.#leases > 0 || this.#hasStrays);
  }

  /** Whether a session was ever open on it. */
  get hadSession(): boolean {
    return this.#limit.hadSession;
  }

  /** When to look again at refusals, from now, in milliseconds. */
  get recheckMs(): number {
    return Math.min(
      this.#limit.recheckMs ?? Infinity,
      this.survival.recheckMs,
    );
  }

  /** Looks again at refusals whose time is over. */
  recheck(): void {
    this.#limit.recheck();
    this.survival.recheck();
  }

  /** Counts a hand-out to everybody as a use. */
  markShared(): void {
    this.#wasShared = true;
    if (this.#state === "open" && this.#isUnused) this.#listener.onUsed(this);
  }

  /**
   * Returns whether it was handed out just now, by `getConnection()`, to a
   * caller that may not have run yet. True once for each such time.
   */
  consumeRecentShare(): boolean {
    const wasShared = this.#wasShared && this.#idleSince === 0;
    if (wasShared) this.#wasShared = false;
    return wasShared;
  }

  /** The number of its last use, over all connections of the pool. */
  get lastUse(): number {
    return this.#lastUse;
  }

  /** Notes a use; each use has a higher number. */
  markUsed(number: number): void {
    this.#idleSince = 0;
    this.#lastUse = number;
  }

  /** Since when it is idle: the first look after a use, by the clock of `now`. */
  idleSince(now: number): number {
    if (this.#idleSince === 0 || this.isBusy) this.#idleSince = now;
    return this.#idleSince;
  }

  /** Whether it is drained because it proved bad. */
  get isDiscarded(): boolean {
    return this.#state === "draining" && this.#drainCause === "discarded";
  }

  /** Whether something is on it that may stay for long: a stream, a tunnel. */
  get isHeld(): boolean {
    return this.#streams > this.#reclaimable.size || this.#pins > 0;
  }

  /** Says that it has lived for long enough, if it has. */
  expire(now: number): void {
    if (this.#state !== "open" || this.#expiresAt > now) return;
    this.#listener.onExpired(this);
  }

  /** Gives no new slots; ends when the last one is back. */
  drain(cause: CloseCause): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#drainCause = cause;
    this.#spares?.close();
    this.#listener.onDraining(this);
    if (this.#isUnused) this.#endWhenClear();
  }

  /** Ends it now: what is in flight on it is lost. */
  end(cause: CloseCause): void {
    // One that was lost, and is noticed only now, was not ended by the pool.
    this.#leave(this.connection.isClosed ? "ended" : cause, undefined);
  }

  /** Whether no slot is in use and no tunnel is on it. */
  get #isUnused(): boolean {
    return this.#slots === this.#reclaimable.size && this.#pins === 0;
  }

  /** Open channels, without those that were opened ahead of need. */
  get #openChannels(): number {
    const { openChannels, spares } = this.connection;
    return spares === undefined ? openChannels : openChannels - spares.count;
  }

  /**
   * @param hadSession False if the server had refused the channel: to ask for
   * the same again at once would only be refused again.
   */
  #giveSlot(kind: SlotKind, hadSession: boolean): void {
    if (this.#slots === 0) throw new Error("Bug: slot given back twice");
    this.#slots--;
    if (kind === "stream") this.#streams--;
    if (hadSession) this.#limit.sessionEnded();
    else this.#taken--;
    if (this.#state === "gone") return;
    if (this.isSpent) this.drain("lifetime");
    else if (this.#isUnused) this.#becomeIdle();
    else this.#listener.onSlotFreed();
  }

  #becomeIdle(): void {
    if (this.#state === "draining") this.#endWhenClear();
    else this.#listener.onIdle(this);
  }

  /**
   * A lease released early gives no event when its channel closes, so a
   * draining connection looks for it from time to time.
   */
  #endWhenClear(): void {
    if (this.#state === "gone") return;
    if (!this.isBusy) return this.end(this.#drainCause);
    clearTimeout(this.#drainCheck as number);
    this.#drainCheck = unref(
      setTimeout(() => this.#endWhenClear(), DRAIN_CHECK_MS),
    );
  }

  #leave(cause: CloseCause, reason: ClosedReason | undefined): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    clearTimeout(this.#drainCheck as number);
    this.#spares?.stop();
    this.#listener.onGone(this, cause, reason);
    this.hop?.removePin();
    this.#permit.release();
    // Only now: a lane that dialled anew with this permit still out would have
    // another host's connection evicted for it.
    this.#listener.onCleared();
  }
}
