/**
 * Session channels that are opened ahead of need, so that a command costs one
 * round trip and not two.
 *
 * @module
 */

import type { SpareChannels } from "../../transport/connector.ts";
import type { SessionAttempt, SessionLimit } from "./session_limit.ts";
import { unref } from "../limits/timers.ts";

/** A connection is busy if its sessions begin no further apart, in milliseconds. */
const BUSY_MS = 1_000;

/** Spares are closed when no session has begun for so long, in milliseconds. */
const IDLE_MS = 10_000;

/**
 * A round trip that is worth saving, in milliseconds. Nearer than that a spare
 * gains nothing: the server opens it while the command runs, and both take
 * their time from the same processors.
 */
const WORTH_MS = 1;

/** For how long no spare is opened after the server refused one, in milliseconds. */
const REFUSED_MS = 5_000;

/**
 * The spare channels of one connection, and when to open one.
 *
 * A connection is worth a spare once two sessions have begun within
 * {@linkcode BUSY_MS}, if the way to the server takes {@linkcode WORTH_MS}. It
 * then gets one with each session that begins: as many as there are sessions,
 * since each of their callers may come back. All must fit below the session
 * limit, with room to spare: a server that has not yet freed a closed session
 * would refuse.
 */
export class SpareSessions {
  readonly #channels: SpareChannels;
  readonly #limit: SessionLimit;
  /** One for each spare channel, in the order in which they are used. */
  readonly #attempts: SessionAttempt[] = [];
  /** What the server took to open a channel, at best, in milliseconds. */
  #roundTripMs = Infinity;
  #closing = 0;
  #lastBeginAt = -Infinity;
  #refusedAt = -Infinity;
  #timer: unknown;

  constructor(channels: SpareChannels, limit: SessionLimit) {
    this.#channels = channels;
    this.#limit = limit;
  }

  /** Spares that are being closed. */
  get closing(): number {
    return this.#closing;
  }

  /** The server has opened a channel, now or before. */
  answered({ startedAt }: SessionAttempt): void {
    const tookMs = performance.now() - startedAt;
    if (tookMs < this.#roundTripMs) this.#roundTripMs = tookMs;
  }

  /**
   * Returns the attempt of the spare that the next session will use, if there
   * is one.
   */
  take(): SessionAttempt | undefined {
    this.#reconcile();
    return this.#attempts.shift();
  }

  /**
   * Opens one more, if the connection is busy and there is room.
   *
   * @param inUse Sessions that are in use.
   * @param room How many more sessions would fit.
   */
  refill(inUse: number, room: number): void {
    const now = performance.now();
    const isBusy = now - this.#lastBeginAt < BUSY_MS;
    this.#lastBeginAt = now;
    if (!isBusy || now - this.#refusedAt < REFUSED_MS) return;
    if (this.#roundTripMs < WORTH_MS) return;
    const { count } = this.#channels;
    // One stays free for a session that the server has not freed yet.
    if (count >= inUse || count + 1 >= room) return;
    const attempt = this.#limit.begin();
    this.#attempts.push(attempt);
    this.#timer ??= this.#arm(IDLE_MS);
    this.#channels.open().then(
      () => {
        this.answered(attempt);
        this.#limit.opened(attempt);
      },
      () => this.#onRefused(attempt),
    );
  }

  /** Closes all that are unused. */
  close(): void {
    this.stop();
    for (let n = this.#channels.count; n > 0; n--) {
      this.#closing++;
      const closed = () => this.#closing--;
      this.#channels.close().then(closed, closed);
    }
    this.#reconcile();
  }

  /** Ends the timer: the connection is gone, and its spares with it. */
  stop(): void {
    clearTimeout(this.#timer as number);
    this.#timer = undefined;
  }

  /** Unref'd: nobody waits for it, and it must not keep a program alive. */
  #arm(delayMs: number): unknown {
    return unref(setTimeout(() => this.#onTimer(), delayMs));
  }

  #onTimer(): void {
    const leftMs = this.#lastBeginAt + IDLE_MS - performance.now();
    if (leftMs <= 0) this.close();
    else this.#timer = this.#arm(leftMs);
  }

  #onRefused(attempt: SessionAttempt): void {
    this.#refusedAt = performance.now();
    this.#forget(attempt);
  }

  /** A spare may have been closed by the server, or used by a lease. */
  #reconcile(): void {
    while (this.#attempts.length > this.#channels.count) {
      this.#forget(this.#attempts[0]!);
    }
  }

  #forget(attempt: SessionAttempt): void {
    const index = this.#attempts.indexOf(attempt);
    if (index < 0) return; // in use: its user ends it
    this.#attempts.splice(index, 1);
    this.#limit.ended(attempt, false);
  }
}
