/**
 * How many sessions the server of a host takes, as far as that is known.
 *
 * @module
 */

import type { ClosedReason, Connection } from "../../transport/connector.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import type { Trust } from "../connection/survival.ts";
import type { Limits } from "../options.ts";
import type { CloseCause } from "../telemetry/events.ts";
import { HangUps } from "./hang_ups.ts";

/** The share of a host's slots that streams, such as tails, leave to commands. */
const COMMAND_SHARE = 1 / 8;

/** Limits that were configured, and lowered by what the server has refused. */
export class LearnedLimits {
  readonly #configured: number;
  readonly #hangUps = new HangUps();
  /** Sessions at once on each connection. For these limits alone to write. */
  sessions: number;
  #sessionsInLife: number;
  /** After how many the latest connection would take no more. */
  #spentAfter = 0;

  constructor(limits: Limits) {
    this.#configured = limits.maxSessionsPerConnection;
    this.sessions = limits.maxSessionsPerConnection;
    this.#sessionsInLife = limits.maxLifetimeSessions || Infinity;
  }

  /** Sessions that a connection carries in its life. */
  get sessionsInLife(): number {
    return this.#sessionsInLife;
  }

  /** Sessions that a new connection can carry at once. */
  get sessionsOfNew(): number {
    return Math.min(this.sessions, this.#sessionsInLife);
  }

  /** Returns how many streams so many connections may carry. */
  streamsOf(connections: number): number {
    const slots = connections * this.sessionsOfNew;
    return slots - Math.floor(slots * COMMAND_SHARE);
  }

  /** Lowers the limit of sessions at once. Returns whether it was higher. */
  lower(limit: number): boolean {
    if (limit >= this.sessions) return false;
    this.sessions = limit;
    return true;
  }

  /**
   * Notes that a connection takes no more sessions. When the next one says so
   * after as many, none is asked for more.
   *
   * @param sessions How many it took.
   * @param open The connections that there are.
   */
  noteSpent(sessions: number, open: readonly PooledConnection[]): void {
    if (sessions === this.#spentAfter) this.#limitLife(sessions, open);
    this.#spentAfter = sessions;
  }

  /** Notes the end of a connection; with the `last` the server may have changed. */
  noteEnd(
    { survival }: PooledConnection,
    cause: CloseCause,
    reason: ClosedReason | undefined,
    isLast: boolean,
  ): void {
    this.#hangUps.note(survival, cause, reason);
    // The next server may have another configuration.
    if (cause === "ended" && isLast) this.sessions = this.#configured;
  }

  /**
   * Returns how a new connection is to be treated.
   *
   * @param connection The connection.
   * @param open The connections that there are.
   */
  trustIn(
    { serverSoftware }: Connection,
    open: readonly PooledConnection[],
  ): Trust {
    const trust = this.#hangUps.trustIn(serverSoftware, open);
    if (this.#hangUps.isCertain) this.#limitLife(1, open);
    return trust;
  }

  #limitLife(sessions: number, open: readonly PooledConnection[]): void {
    if (sessions >= this.#sessionsInLife) return;
    this.#sessionsInLife = sessions;
    for (const pooled of open) pooled.sessionsInLife = sessions;
  }
}
