/**
 * Joins what is written in one turn of the event loop.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { clearImmediate, setImmediate } from "node:timers";

/**
 * With so much held it is written at once: copying would cost more than the
 * write that it saves, and a server has something to do meanwhile.
 */
const MAX_HELD_BYTES = 16 * 1024;

/**
 * What is to be written, held until the event loop has heard all that came.
 *
 * A write costs a system call, and on the other side a wake-up: more than all
 * else that a small message costs. What came in one piece often asks for
 * several answers, and some only after a few promises: the end of a command is
 * answered, and its caller begins the next one. By then all of them are here.
 *
 * Not by `cork()`: what Deno does then takes four times as long as a write of
 * the same bytes in one piece.
 */
export class Outbox {
  readonly #write: (bytes: Uint8Array) => void;
  #held: Uint8Array[] = [];
  #bytes = 0;
  #due: ReturnType<typeof setImmediate> | undefined;

  /** @param write Writes to the system. */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  /** Bytes that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes bytes, which are not to change any more. */
  push(bytes: Uint8Array): void {
    this.#held.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes >= MAX_HELD_BYTES) this.flush();
    else this.#due ??= setImmediate(() => this.#onTurn());
  }

  #onTurn(): void {
    this.#due = undefined;
    this.flush();
  }

  /** Writes what is held. */
  flush(): void {
    const held = this.#held;
    this.drop();
    if (held.length === 0) return;
    this.#write(held.length === 1 ? held[0]! : Buffer.concat(held));
  }

  /** Forgets what is held. */
  drop(): void {
    if (this.#due !== undefined) clearImmediate(this.#due);
    this.#due = undefined;
    this.#held = [];
    this.#bytes = 0;
  }
}
