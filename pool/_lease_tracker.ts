/**
 * Gives the slots of forgotten leases back, and reports leases held for long.
 *
 * @module
 */

import { hostName } from "../transport/host.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import type { Telemetry } from "./_telemetry.ts";
import { unref } from "./_timers.ts";

/** What outlives a ticket: whose slots it stood for, and how many are out. */
interface Account {
  readonly pooled: PooledConnection;
  /** Leases that are out. */
  open: number;
  /** Leases that may still be given out under the ticket. */
  left: number;
}

/**
 * Shared by several leases, since registering each for garbage collection
 * would cost more than the rest of `acquire()`. Only leases that are not
 * released hold it, so when it is collected, every lease that it still counts
 * was forgotten.
 */
export class Ticket {
  readonly account: Account;

  constructor(account: Account) {
    this.account = account;
  }
}

/** Leases per ticket: one that is held for long delays the others of its ticket. */
const TICKET_SIZE = 64;

/** Watches the leases of one pool. */
export class LeaseTracker {
  readonly #telemetry: Telemetry;
  readonly #detectionMs: number;
  readonly #collected: FinalizationRegistry<Account>;
  /** The last ticket used: looking through a WeakRef costs more than a compare. */
  #hot: Ticket | undefined;
  readonly #watches = new Set<() => void>();

  constructor(telemetry: Telemetry, detectionMs: number) {
    this.#telemetry = telemetry;
    this.#detectionMs = detectionMs;
    this.#collected = new FinalizationRegistry((account) =>
      reclaim(account, telemetry)
    );
  }

  /** The ticket for one more lease on this connection. */
  ticket(pooled: PooledConnection): Ticket {
    const hot = this.#hot;
    const ticket = hot !== undefined && hot.account.pooled === pooled &&
        hot.account.left > 0
      ? hot
      : this.#heat(pooled);
    ticket.account.left--;
    ticket.account.open++;
    return ticket;
  }

  /**
   * Lets go of the ticket in use, so that nothing but leases holds it. Called
   * when a caller has to wait, from time to time, and when statistics are read.
   */
  cool(): void {
    this.#hot = undefined;
  }

  #heat(pooled: PooledConnection): Ticket {
    const left = pooled.ticket?.deref();
    if (left !== undefined && left.account.left > 0) return this.#hot = left;
    const account: Account = { pooled, open: 0, left: TICKET_SIZE };
    const ticket = new Ticket(account);
    // Weak in the pooled: a connection must not keep its ticket alive.
    pooled.ticket = new WeakRef(ticket);
    this.#collected.register(ticket, account);
    return this.#hot = ticket;
  }

  /**
   * Arms the timer that reports the lease that is being made, if that is
   * wanted; gives what disarms it.
   */
  watch(pooled: PooledConnection): (() => void) | undefined {
    if (this.#detectionMs === 0) return undefined;
    const heldMs = this.#detectionMs;
    const host = hostName(pooled.connection.host);
    const stack = new Error("Lease acquired here").stack ?? "";
    const disarm = () => {
      clearTimeout(timer);
      this.#watches.delete(disarm);
    };
    const timer = unref(setTimeout(() => {
      this.#watches.delete(disarm);
      this.#telemetry.record({ type: "leak", host, heldMs, stack });
    }, heldMs));
    this.#watches.add(disarm);
    return disarm;
  }

  /** Disarms every timer: the pool has ended. */
  stop(): void {
    for (const disarm of this.#watches) disarm();
  }
}

function reclaim(account: Account, telemetry: Telemetry): void {
  const { pooled, open } = account;
  const host = hostName(pooled.connection.host);
  if (open === 0) return;
  account.open = 0;
  telemetry.record({ type: "reclaimed", host, slots: open });
  for (let i = 0; i < open; i++) pooled.giveLease();
}
