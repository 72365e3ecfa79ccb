/**
 * Whether a connection outlives its first session.
 *
 * @module
 */

/** A server that hangs up so soon after a session does it because of that. */
const HANG_UP_MS = 1_000;

/** How long the first session must be over before the connection is trusted. */
const TRIAL_MS = 250;

/**
 * So long the first session is alone. One that runs on then is no short command,
 * and the others are not kept waiting for its end.
 */
const ALONE_MS = 1_000;

/**
 * A look so late says that this process had no time: a hang-up may have come,
 * and nobody has read it.
 */
const LATE_MS = 50;

/**
 * Servers that keep a connection when a session ends, as far as is known. Some
 * switches and appliances hang up after each command, and what was sent to them
 * meanwhile is lost.
 */
const KEEPS_CONNECTION =
  /^(OpenSSH|dropbear|AsyncSSH|paramiko|libssh|Go\b|Erlang|mod_sftp|APACHE-SSHD|sshpool)/;

/** How a connection is treated until its first session is over. */
export type Trust =
  /** It carries what there is. */
  | "full"
  /** It gets nothing new beside its first session, for a while, and after it. */
  | "careful"
  /** One session at a time until then: the one before it hung up. */
  | "suspected";

/**
 * Returns what is due to the first connection to a server.
 *
 * @param software How the server calls itself; `undefined` if that is unknown.
 */
export function firstTrust(software: string | undefined): Trust {
  return software === undefined || KEEPS_CONNECTION.test(software)
    ? "full"
    : "careful";
}

/**
 * Watches one connection:
 *
 *     first session ends --- TRIAL_MS without a hang-up ---> it has survived
 *       \__ nothing new    \__ nothing new meanwhile, if none is open
 *           for ALONE_MS
 */
export class Survival {
  /** No more sessions at once than this, for the moment. */
  ceiling: number;
  #isOnTrial: boolean;
  readonly #isSuspected: boolean;
  /** Until when the first session is alone. */
  #aloneUntil = Infinity;
  #firstEndAt = Infinity;
  #ended = 0;
  /** When the rest is over. */
  #dueAt = Infinity;
  #isLookedAtAgain = false;

  /** @param trust How it is treated. */
  constructor(trust: Trust) {
    this.#isOnTrial = trust !== "full";
    this.#isSuspected = trust === "suspected";
    this.ceiling = trust === "full" ? Infinity : 1;
  }

  /** Whether nothing new is begun, to see if the server hangs up. */
  get isResting(): boolean {
    return this.ceiling === 0 || this.#aloneUntil !== Infinity;
  }

  /** Whether the connection has outlived its first session by {@linkcode TRIAL_MS}. */
  get hasSurvived(): boolean {
    return performance.now() >= this.#dueAt;
  }

  /**
   * Whether its first session is over for so long that no hang-up can be because
   * of it. Of a connection that lives.
   */
  get isProven(): boolean {
    return performance.now() - this.#firstEndAt >= HANG_UP_MS;
  }

  /**
   * Returns whether it was one session alone, and not long before this moment.
   */
  hungUpAfterOne(at: number): boolean {
    return this.#ended === 1 && this.hungUp(at);
  }

  /** Returns whether its first session was over not long before this moment. */
  hungUp(at: number): boolean {
    return this.#ended > 0 && at - this.#firstEndAt < HANG_UP_MS;
  }

  /** A session is about to begin. */
  sessionBegins(): void {
    if (!this.#isOnTrial || this.#isSuspected || this.ceiling !== 1) return;
    if (this.isResting) return;
    this.#aloneUntil = performance.now() + ALONE_MS;
  }

  /**
   * A session has ended, and not with its connection.
   *
   * @param left Sessions that are open.
   */
  sessionEnded(left: number): void {
    this.#ended++;
    if (this.#ended === 1) {
      this.#firstEndAt = performance.now();
      this.#dueAt = this.#firstEndAt + TRIAL_MS;
    }
    if (!this.#isOnTrial) return;
    this.#aloneUntil = Infinity;
    if (this.hasSurvived) this.recheck();
    else if (left === 0) this.ceiling = 0;
  }

  /** When to look again, from now, in milliseconds; `Infinity` if all is well. */
  get recheckMs(): number {
    if (!this.isResting) return Infinity;
    const nextAt = Math.min(this.#dueAt, this.#aloneUntil);
    return Math.max(1, nextAt - performance.now());
  }

  /** The moment to look again has come. */
  recheck(): void {
    const now = performance.now();
    if (now >= this.#aloneUntil) {
      this.#aloneUntil = Infinity;
      this.ceiling = Infinity;
    }
    if (!this.#isOnTrial || now < this.#dueAt) return;
    if (now - this.#dueAt > LATE_MS && !this.#isLookedAtAgain) {
      this.#isLookedAtAgain = true;
      this.#dueAt = now + LATE_MS;
      return;
    }
    this.#isOnTrial = false;
    this.ceiling = Infinity;
  }
}
