/**
 * What is sent to the bus, a turn of the loop at a time.
 *
 * @module
 */

import { clearImmediate, setImmediate } from "node:timers";
import type { Bus } from "./bus.ts";

/** A message that is to be sent. */
interface Letter {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly reply: string | undefined;
}

/**
 * Collects what one turn of the loop sends. The client of the bus writes to its
 * socket once for each chain of promises, and a write costs more than the rest
 * of a message; so all of them are given to it at once.
 */
export class Mailbox {
  readonly #bus: Bus;
  #letters: Letter[] = [];
  #flush: ReturnType<typeof setImmediate> | undefined;

  /** @param bus Where it sends to. */
  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** The most bytes that a message may have. */
  get maxBytes(): number {
    return this.#bus.info?.max_payload ?? Infinity;
  }

  /**
   * Sends a message, at the end of this turn and in order.
   *
   * @throws {RangeError} If it is longer than the bus takes.
   */
  send(subject: string, payload: Uint8Array, reply?: string): void {
    const most = this.maxBytes;
    if (payload.length > most) {
      throw new RangeError(
        `Cannot send to the bus: the message has ${payload.length} bytes, ` +
          `must have at most ${most} (max_payload of the server)`,
      );
    }
    this.#letters.push({ subject, payload, reply });
    this.#flush ??= setImmediate(() => this.flush());
  }

  /** Sends what there is now. */
  flush(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const letters = this.#letters;
    this.#letters = [];
    try {
      for (const { subject, payload, reply } of letters) {
        this.#bus.publish(
          subject,
          payload,
          reply === undefined ? {} : { reply },
        );
      }
    } catch {
      // The bus was closed: whoever listens to it knows.
    }
  }

  /** Forgets what was not sent. */
  clear(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    this.#letters = [];
  }
}
