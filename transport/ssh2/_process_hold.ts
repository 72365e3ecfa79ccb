/**
 * Keeps the process alive while a connection has work, and only then.
 *
 * @module
 */

import type { Duplex } from "node:stream";

/** A byte stream that can let the process end although it is open. */
interface Refable {
  ref?(): unknown;
  unref?(): unknown;
}

/**
 * Counts the operations of a connection. With the first its byte stream keeps
 * the process alive; after the last it does not.
 */
export class ProcessHold {
  readonly #stream: Refable;
  #count = 0;

  /** @param stream The byte stream, which is let go at once. */
  constructor(stream: Duplex) {
    this.#stream = stream as Refable;
    this.#stream.unref?.();
  }

  /** An operation begins. */
  take(): void {
    if (this.#count++ === 0) this.#stream.ref?.();
  }

  /** An operation has ended. */
  release(): void {
    if (--this.#count === 0) this.#stream.unref?.();
  }
}
