/**
 * What one connection's refusals say about the server's session limit.
 *
 * @module
 */

/**
 * How long a server may take to free a session after our CLOSE, in
 * milliseconds. OpenSSH frees it one turn of its loop later, and a CLOSE and
 * an OPEN that arrive together are handled in the same turn.
 */
const REAP_MS = 50;

/**
 * By how much each session that ends raises a ceiling that a refusal has
 * lowered. At the limit itself, with short commands, every third attempt is
 * refused for a session that is not reaped yet; a little below it, hardly any.
 */
const GROWTH = 1 / 256;

/** What is left of the number of sessions that a refusal has met. */
const CUT = 0.7;

/** Refusals at one number of sessions that make a pause to find out worth it. */
const DOUBTS = 3;

/** One attempt to open a session channel. */
export interface SessionAttempt {
  readonly startedAt: number;
  isOpen: boolean;
}

/** What a refusal says. */
export type Refusal =
  /** The server refuses sessions as such: tell the caller. */
  | { readonly kind: "refused" }
  /** This connection takes no more sessions, after so many: dial another. */
  | { readonly kind: "spent"; readonly sessions: number }
  /** Nothing is learned: try again when a session has ended, or in a moment. */
  | { readonly kind: "wait" }
  /** The server allows just so many sessions. */
  | { readonly kind: "limit"; readonly limit: number }
  /** Sessions of stopped commands live on in the server: use another connection. */
  | { readonly kind: "clogged" };

/**
 * Tells a low `MaxSessions` from a session that the server has not reaped yet.
 * Both look the same: CHANNEL_OPEN_FAILURE while others are open. The reason is 2
 * of OpenSSH, 4 by the RFC, 1 or 3 of others.
 *
 * A refusal is evidence of a limit only if the connection had been quiet: no
 * session ended within {@linkcode REAP_MS} before the attempt, nor during it, nor
 * within the time that its answer took.
 * Under constant churn there is no such moment, so after a few doubtful
 * refusals the connection pauses for one, and the next burst gives certainty.
 * No limit below what was once open at the same time is ever learned.
 */
export class SessionLimit {
  /** No more sessions than this for the moment; a fraction is on its way up. */
  ceiling = Infinity;
  #open = 0;
  /** Sessions that were ever open. */
  #total = 0;
  /** Attempts without an answer, in the order in which they were made. */
  readonly #unanswered = new Set<SessionAttempt>();
  #peak = 0;
  #lastEndAt = -Infinity;
  /** Something ended since the last attempt; it counts as of the next one. */
  #endedUnseen = false;
  #pausedUntil = 0;
  #loweredAt = -Infinity;
  /** A session ended since the last look. */
  #hasEnded = false;
  #doubts = 0;
  #refusalsInARow = 0;
  #orphans = 0;

  /** Notes that a channel is asked for. */
  begin(): SessionAttempt {
    const attempt = { startedAt: performance.now(), isOpen: false };
    if (this.#endedUnseen) {
      this.#endedUnseen = false;
      this.#lastEndAt = attempt.startedAt;
    }
    this.#unanswered.add(attempt);
    return attempt;
  }

  /** The server opened it. */
  opened(attempt: SessionAttempt): void {
    // The caller left before the answer: its channel is being closed.
    if (!this.#unanswered.delete(attempt)) return;
    attempt.isOpen = true;
    this.#total++;
    this.#refusalsInARow = 0;
    if (++this.#open > this.#peak) {
      this.#peak = this.#open;
      this.#doubts = 0;
    }
  }

  /**
   * The attempt is over.
   *
   * @param orphaned We closed the channel and the process may live on, in
   * which case sshd keeps its session.
   */
  ended(attempt: SessionAttempt, orphaned: boolean): void {
    // The server may still open a channel that we abandoned; it closes it again.
    if (this.#unanswered.delete(attempt)) this.#lastEndAt = performance.now();
    if (!attempt.isOpen) return;
    attempt.isOpen = false;
    this.#open--;
    if (orphaned) this.#orphans++;
    this.#lastEndAt = performance.now();
  }

  /**
   * A lease was given back: a session of it may have ended just now. The clock
   * is left alone here, since looking at it costs as much as all the rest.
   */
  leaseEnded(): void {
    this.#endedUnseen = true;
  }

  /** A session ended, so one more may fit, or part of one. */
  sessionEnded(): void {
    this.#hasEnded = true;
    if (this.ceiling === Infinity || this.#pausedUntil > 0) return;
    this.#raise(this.ceiling < 1 ? 1 : GROWTH);
  }

  /** Sessions that are open. */
  get open(): number {
    return this.#open;
  }

  /** Whether a session was ever open. */
  get hadSession(): boolean {
    return this.#total > 0;
  }

  /** The server refused the attempt. */
  refused(attempt: SessionAttempt, foreignChannels: boolean): Refusal {
    const others = this.#open;
    const now = performance.now();
    // A server that was slow to answer may have read the CLOSE just then, too.
    const reapMs = REAP_MS + now - attempt.startedAt;
    const quiet = attempt.startedAt - this.#lastEndAt >= reapMs;
    // Answers may overtake each other where the client is another process, and
    // an earlier attempt may have the session that this one was refused.
    const [first] = this.#unanswered;
    this.#unanswered.delete(attempt);
    const certain = quiet && this.#orphans === 0 && !foreignChannels &&
      first === attempt;
    this.#refusalsInARow++;
    if (others === 0 && certain) {
      return this.#total > 0
        ? { kind: "spent", sessions: this.#total }
        : { kind: "refused" };
    }
    if (this.#orphans > 0 && this.#refusalsInARow > DOUBTS) {
      return { kind: "clogged" };
    }
    this.#lower(attempt, others + this.#unanswered.size);
    if (certain && others >= this.#peak) {
      return { kind: "limit", limit: others };
    }
    if (others >= this.#peak && ++this.#doubts >= DOUBTS) {
      this.#doubts = 0;
      this.ceiling = 0;
      this.#pausedUntil = now + reapMs;
    }
    return { kind: "wait" };
  }

  /** When to look again, from now, in milliseconds; `undefined` if all is well. */
  get recheckMs(): number | undefined {
    if (this.ceiling === Infinity) return undefined;
    if (this.#pausedUntil > 0) {
      return Math.max(1, this.#pausedUntil - performance.now());
    }
    // With nothing open there is no end of a session to wait for.
    if (this.ceiling >= 1) return REAP_MS;
    return Math.min(REAP_MS, 2 ** Math.min(this.#refusalsInARow, 6));
  }

  /** The moment to look again has come. */
  recheck(): void {
    if (this.#pausedUntil > performance.now()) return;
    if (this.#pausedUntil > 0) this.ceiling = Infinity;
    // While sessions come and go, each of them raises it a little. Where none
    // does, waiting for one may be waiting for ever.
    else if (!this.#hasEnded) this.#raise(1);
    this.#hasEnded = false;
    this.#pausedUntil = 0;
  }

  /** Once for all that were under way together: they met the same moment. */
  #lower(attempt: SessionAttempt, others: number): void {
    if (attempt.startedAt <= this.#loweredAt) {
      this.ceiling = Math.min(this.ceiling, others);
      return;
    }
    this.#loweredAt = performance.now();
    const cut = others < this.#peak ? Math.ceil(others * CUT) : others;
    this.ceiling = Math.min(this.ceiling, cut);
  }

  #raise(by: number): void {
    this.ceiling += by;
    if (this.ceiling > this.#peak + 1) this.ceiling = Infinity;
  }
}
