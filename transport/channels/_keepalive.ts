/**
 * Asks a silent server whether it is still there.
 *
 * @module
 */

// The functions of node:timers give objects with `unref()` in every runtime.
import { clearInterval, setInterval } from "node:timers";

/** When to ask, and how often in vain. */
export interface KeepaliveOptions {
  /** The time between two questions, in milliseconds; 0 for none. */
  readonly intervalMs: number;
  /** So many questions without an answer end the connection. */
  readonly countMax: number;
}

/** The keepalive of one connection. Its timer does not keep the process alive. */
export class Keepalive {
  #unanswered = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * @param options When to ask.
   * @param ask Asks the server.
   * @param onDead Called when the server did not answer in time.
   */
  constructor(
    { intervalMs, countMax }: KeepaliveOptions,
    ask: () => void,
    onDead: (error: Error) => void,
  ) {
    // With a count of 0 a connection would end without one question.
    if (intervalMs <= 0 || countMax <= 0) return;
    this.#timer = setInterval(() => {
      if (++this.#unanswered <= countMax) return ask();
      this.stop();
      onDead(new Error("Keepalive timeout"));
    }, intervalMs);
    this.#timer.unref();
  }

  /** Whatever the server sends shows that it is there. */
  heard(): void {
    this.#unanswered = 0;
  }

  /** Ends it. */
  stop(): void {
    clearInterval(this.#timer);
  }
}
