/**
 * Whether the server of a host hangs up after each command, as some switches do.
 *
 * @module
 */

import type { ClosedReason } from "../../transport/connector.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import {
  firstTrust,
  type Survival,
  type Trust,
} from "../connection/survival.ts";
import type { CloseCause } from "../telemetry/events.ts";

/** A connection that the server has ended, and when. */
interface Ended {
  readonly survival: Survival;
  readonly at: number;
  /** Whether it was no failure of the link. */
  readonly isOrderly: boolean;
}

/**
 * What the ends of connections say. One hang-up right after a session makes the
 * next connection a suspect, which carries one session and then rests: nothing
 * is lost on it. If it ends as well, the server is one that hangs up. If it
 * survives, the first end was something else, such as a restart. A link that
 * failed says nothing of a server that is known to stay.
 */
export class HangUps {
  #trust: Trust | undefined;
  #isCertain = false;
  /** Not judged yet. */
  readonly #ended: Ended[] = [];

  /** Whether each connection is good for one session alone. */
  get isCertain(): boolean {
    return this.#isCertain;
  }

  /** Notes that a connection has ended. */
  note(
    survival: Survival,
    cause: CloseCause,
    reason: ClosedReason | undefined,
  ): void {
    if (cause !== "ended" || reason === undefined || reason.kind === "local") {
      if (survival.isProven) this.#trust = "full";
      return;
    }
    // Judged later: the end of its last session may be reported after this.
    const isOrderly = reason.kind === "remote";
    this.#ended.push({ survival, at: performance.now(), isOrderly });
  }

  /**
   * Returns how a new connection is to be treated.
   *
   * @param software How its server calls itself.
   * @param others The connections that there are.
   */
  trustIn(
    software: string | undefined,
    others: readonly PooledConnection[],
  ): Trust {
    const isTrusted = firstTrust(software) === "full";
    for (const it of this.#ended.splice(0)) this.#judge(it, isTrusted);
    if (others.some(({ survival }) => survival.isProven)) this.#trust = "full";
    return this.#trust ??= firstTrust(software);
  }

  #judge({ survival, at, isOrderly }: Ended, isTrusted: boolean): void {
    if (!survival.hungUp(at)) {
      if (survival.isProven) this.#trust = "full";
    } else if (isTrusted && !isOrderly) return;
    else if (this.#trust !== "suspected") this.#trust = "suspected";
    else if (isOrderly && survival.hungUpAfterOne(at)) this.#isCertain = true;
  }
}
