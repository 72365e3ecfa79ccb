/**
 * Leases: borrowed slots.
 *
 * @module
 */

import type { Connection } from "../transport/connector.ts";
import type { Entry } from "./_entry.ts";
import type { Ticket } from "./_lease_ledger.ts";

/**
 * The right to open one session channel on {@linkcode Lease.connection}, until
 * it is given back by `release()`, `discard()` or the end of a `using` block.
 *
 * One lease is good for many channels one after another, and for one at a
 * time. A lease that is forgotten gives its slot back when it is garbage
 * collected, which may be late or never: release it.
 *
 * @example Two commands on one connection
 * ```ts ignore
 * using lease = await pool.acquire("deploy@web-1");
 * await lease.connection.exec("systemctl stop app");
 * await lease.connection.exec("systemctl start app");
 * ```
 */
export class Lease implements Disposable {
  /**
   * The connection. It is the connector's own: channels opened on it beyond
   * this lease's one are not scheduled, and the server may refuse them.
   */
  readonly connection: Connection;
  #entry: Entry | undefined;
  #ticket: Ticket | undefined;
  #unwatch: (() => void) | undefined;

  /**
   * Leases come from `ConnectionPool.acquire()`.
   *
   * @ignore
   */
  constructor(
    entry: Entry,
    ticket: Ticket,
    unwatch: (() => void) | undefined,
  ) {
    this.connection = entry.connection;
    this.#entry = entry;
    this.#ticket = ticket;
    this.#unwatch = unwatch;
    entry.leases++;
  }

  /** Whether the slot was given back. */
  get isReleased(): boolean {
    return this.#entry === undefined;
  }

  /** Gives the slot back. A second call does nothing. */
  release(): void {
    const entry = this.#entry;
    const ticket = this.#ticket;
    if (entry === undefined || ticket === undefined) return;
    this.#entry = this.#ticket = undefined;
    this.#unwatch?.();
    ticket.account.open--;
    entry.giveLease();
  }

  /**
   * Gives the slot back and takes the connection out of the pool: nobody gets
   * it any more, and it closes when the last of its channels has ended. For a
   * connection that proved bad. After `release()` it does nothing.
   */
  discard(): void {
    this.#entry?.drain("discarded");
    this.release();
  }

  /** Gives the slot back. */
  [Symbol.dispose](): void {
    this.release();
  }
}
