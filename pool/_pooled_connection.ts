/**
 * One pooled connection: its slots, its age, and whether it is idle.
 *
 * @module
 */

import type { ClosedReason, Connection } from "../transport/connector.ts";
import type { CloseCause } from "./events.ts";
import type { Permit } from "./_permits.ts";
import type { Ticket } from "./_lease_tracker.ts";
import { SessionLimit } from "./_session_limit.ts";
import { unref } from "./_timers.ts";

/** How often a draining connection shared for the end of stray channels. */
const LINGER_MS = 50;

/** What an pooled tells its lane. */
export interface PooledConnectionListener {
  /** The slots of each connection of this host. */
  readonly sessionLimit: number;
  /** A slot came free. */
  onSlotFreed(pooled: PooledConnection): void;
  /** The last slot or pin went. */
  onIdle(pooled: PooledConnection): void;
  /** An idle connection was handed out to look at. */
  onTouch(pooled: PooledConnection): void;
  /** It gives no slots any more. */
  onDraining(pooled: PooledConnection): void;
  /** The connection has ended, or is ended by the pool. */
  onGone(
    pooled: PooledConnection,
    cause: CloseCause,
    reason?: ClosedReason,
  ): void;
  /** All that it held is given back. */
  onCleared(pooled: PooledConnection): void;
}

/** `open` gives slots; `draining` keeps what it has; `gone` has left the pool. */
export type PooledConnectionState = "open" | "draining" | "gone";

/** What a new pooled is made of. */
export interface PooledConnectionParts {
  readonly connection: Connection;
  readonly permit: Permit;
  /** The hop that carries this connection, pinned. */
  readonly hop?: PooledConnection | undefined;
  /** When it is to be replaced, as of `Date.now()`. */
  readonly expiresAt: number;
}

/**
 * A state machine that only its lane drives:
 *
 *     open ---------------- drain() ----> draining --+
 *      |  \__ takeSlot/giveSlot               |      | last slot or pin gone
 *      |                                      |      |
 *      +-- end(), or the connection closes ---+------+--> gone
 */
export class PooledConnection {
  readonly connection: Connection;
  readonly hop: PooledConnection | undefined;
  readonly expiresAt: number;
  /** What is believed of the server's session limit. */
  readonly limit: SessionLimit = new SessionLimit();
  /** The number of its last use, over all connections. For `IdleSweeper`. */
  lastUse = 0;
  /** When the sweeper saw it idle; 0 if it was used since. For `IdleSweeper`. */
  idleSince = 0;
  /** Handed out to look at, and not looked at for eviction since. */
  isFresh = false;
  /** Leases that are out; their channels are not seen. */
  leases = 0;
  /** A lease was given back with its channel open, which nobody sees end. */
  hasStrays = false;
  /** What the leases of this connection share. For `LeaseTracker`. */
  ticket: WeakRef<Ticket> | undefined = undefined;
  /** The promise that `getConnection()` gives out; set by the lane. */
  shared!: Promise<Connection>;
  readonly #owner: PooledConnectionListener;
  readonly #permit: Permit;
  #state: PooledConnectionState = "open";
  #drainCause: CloseCause = "lifetime";
  #slots = 0;
  #pins = 0;
  #lingering: unknown;

  constructor(owner: PooledConnectionListener, parts: PooledConnectionParts) {
    this.#owner = owner;
    this.connection = parts.connection;
    this.hop = parts.hop;
    this.expiresAt = parts.expiresAt;
    this.#permit = parts.permit;
    this.connection.closed.then((reason) => this.#leave("ended", reason));
  }

  /** Where it is in its life. */
  get state(): PooledConnectionState {
    return this.#state;
  }

  /** Whether its end makes room below the cap. */
  get isCounted(): boolean {
    return this.#permit.isCounted;
  }

  /** Slots that are taken. */
  get slots(): number {
    return this.#slots;
  }

  /** Whether a channel, a lease or a tunnel is on it. */
  get isBusy(): boolean {
    return this.#slots > 0 || this.#pins > 0 ||
      this.connection.openChannels > 0;
  }

  /**
   * Channels that count against the limit: slots, or, where a lease was given
   * back with its channel still open, the channels.
   */
  get load(): number {
    const open = this.connection.openChannels;
    return open > this.#slots ? open : this.#slots;
  }

  /** Takes a slot. The caller has seen that there is one, in the same turn. */
  takeSlot(): void {
    if (this.#slots >= this.#owner.sessionLimit) {
      throw new Error(
        `Bug: slot ${
          this.#slots + 1
        } of ${this.#owner.sessionLimit} handed out`,
      );
    }
    this.#slots++;
  }

  /**
   * Gives a slot back.
   *
   * @param hadSession False if the server had refused the channel: asking for
   * the same again at once would only spin.
   */
  giveSlot(hadSession = true): void {
    if (this.#slots === 0) throw new Error("Bug: slot given back twice");
    this.#slots--;
    if (hadSession) this.limit.sessionEnded();
    if (this.#state === "gone") return;
    if (this.#slots === 0 && this.#pins === 0) this.#settle();
    else this.#owner.onSlotFreed(this);
  }

  /** Gives the slot of a lease back. */
  giveLease(): void {
    this.leases--;
    this.limit.leaseEnded();
    this.giveSlot();
    if (this.connection.openChannels > this.#slots) this.hasStrays = true;
  }

  /** Keeps the connection while a tunnel is on it. */
  addPin(): void {
    this.#pins++;
  }

  /** Gives a pin back. */
  removePin(): void {
    if (this.#pins === 0) throw new Error("Bug: pin given back twice");
    this.#pins--;
    if (this.#state === "gone") return;
    if (this.#slots === 0 && this.#pins === 0) this.#settle();
  }

  /** Counts a hand-out as a use. */
  touch(): void {
    this.isFresh = true;
    if (this.#state === "open" && this.#slots === 0 && this.#pins === 0) {
      this.#owner.onTouch(this);
    }
  }

  /** Gives no new slots; ends when the last one is back. */
  drain(cause: CloseCause): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#drainCause = cause;
    this.#owner.onDraining(this);
    if (this.#slots === 0 && this.#pins === 0) this.#endWhenClear();
  }

  /** Ends it now: what is in flight on it is lost. */
  end(cause: CloseCause): void {
    // One that was lost, and is noticed only now, was not ended by the pool.
    this.#leave(this.connection.isClosed ? "ended" : cause, undefined);
  }

  #settle(): void {
    if (this.#state === "draining") this.#endWhenClear();
    else this.#owner.onIdle(this);
  }

  /**
   * A channel whose lease was given back early still runs, and nobody tells
   * when it ends: a look now and then costs less than its output.
   */
  #endWhenClear(): void {
    if (this.#state === "gone") return;
    if (!this.isBusy) return this.end(this.#drainCause);
    clearTimeout(this.#lingering as number);
    this.#lingering = unref(
      setTimeout(() => this.#endWhenClear(), LINGER_MS),
    );
  }

  #leave(cause: CloseCause, reason: ClosedReason | undefined): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    clearTimeout(this.#lingering as number);
    this.#owner.onGone(this, cause, reason);
    this.hop?.removePin();
    this.#permit.release();
    // Only now: a lane that dialled anew with this permit still out would have
    // another host's connection evicted for it.
    this.#owner.onCleared(this);
  }
}
