/**
 * Leases: borrowed slots.
 *
 * @module
 */

import type { Connection } from "../transport/connector.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import type { Ticket } from "./_lease_tracker.ts";

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
  #pooled: PooledConnection | undefined;
  #ticket: Ticket | undefined;
  #unwatch: (() => void) | undefined;

  /**
   * Leases come from `ConnectionPool.acquire()`.
   *
   * @ignore
   */
  constructor(
    pooled: PooledConnection,
    ticket: Ticket,
    unwatch: (() => void) | undefined,
  ) {
    this.connection = pooled.connection;
    this.#pooled = pooled;
    this.#ticket = ticket;
    this.#unwatch = unwatch;
    pooled.leases++;
  }

  /** Whether the slot was given back. */
  get isReleased(): boolean {
    return this.#pooled === undefined;
  }

  /** Gives the slot back. A second call does nothing. */
  release(): void {
    const pooled = this.#pooled;
    const ticket = this.#ticket;
    if (pooled === undefined || ticket === undefined) return;
    this.#pooled = this.#ticket = undefined;
    this.#unwatch?.();
    ticket.account.open--;
    pooled.giveLease();
  }

  /**
   * Gives the slot back and takes the connection out of the pool: nobody gets
   * it any more, and it closes when the last of its channels has ended. For a
   * connection that proved bad. After `release()` it does nothing.
   */
  discard(): void {
    this.#pooled?.drain("discarded");
    this.release();
  }

  /** Gives the slot back. */
  [Symbol.dispose](): void {
    this.release();
  }
}
