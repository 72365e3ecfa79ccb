/**
 * Leases: borrowed slots.
 *
 * @module
 */

import type { Connection } from "../transport/connector.ts";
import type { LeaseGroup } from "./connection/lease_tracker.ts";
import type { PooledConnection } from "./connection/pooled_connection.ts";

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
  readonly #group: LeaseGroup;
  readonly #disarm: (() => void) | undefined;

  /**
   * Leases come from `ConnectionPool.acquire()`.
   *
   * @ignore
   */
  constructor(
    pooled: PooledConnection,
    group: LeaseGroup,
    disarm: (() => void) | undefined,
  ) {
    this.connection = pooled.connection;
    this.#pooled = pooled;
    this.#group = group;
    this.#disarm = disarm;
    pooled.addLease();
  }

  /** Whether the slot was given back. */
  get isReleased(): boolean {
    return this.#pooled === undefined;
  }

  /** Gives the slot back. A second call does nothing. */
  release(): void {
    const pooled = this.#pooled;
    if (pooled === undefined) return;
    this.#pooled = undefined;
    this.#disarm?.();
    this.#group.released();
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
