/** A black hole that can be entered and left: nothing is answered meanwhile. */

import { abortable } from "../../abort.ts";
import type { ConnectOptions } from "../../connector.ts";

/** Whether a memory connection answers. */
export class Freeze {
  readonly #keepalive: ConnectOptions;
  readonly #onFound: () => void;
  #thawed: { promise: Promise<void>; resolve: () => void } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param keepalive The keepalive that finds a freeze; none by default.
   * @param onFound Told when it did.
   */
  constructor(keepalive: ConnectOptions, onFound: () => void) {
    this.#keepalive = keepalive;
    this.#onFound = onFound;
  }

  /** Whether nothing is answered. */
  get isFrozen(): boolean {
    return this.#thawed !== undefined;
  }

  /** Begins; does nothing if it has begun. */
  begin(): void {
    if (this.#thawed !== undefined) return;
    let resolve!: () => void;
    const promise = new Promise<void>((done) => resolve = done);
    this.#thawed = { promise, resolve };
    const { keepaliveIntervalMs = 0, keepaliveCountMax = 3 } = this.#keepalive;
    if (keepaliveIntervalMs <= 0) return;
    this.#timer = setTimeout(
      this.#onFound,
      keepaliveIntervalMs * (keepaliveCountMax + 1),
    );
  }

  /** Ends; what waited goes on. */
  end(): void {
    this.stop();
    this.#thawed?.resolve();
    this.#thawed = undefined;
  }

  /** Stops the timer: the connection has ended. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Waits for the end; rejects with the signal's reason on abort. */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.#thawed !== undefined) {
      await abortable(this.#thawed.promise, signal);
    }
  }
}
