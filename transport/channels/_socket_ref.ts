/**
 * Keeps the process alive while a connection has work, and only then.
 *
 * @module
 */

/** What can let the process end although it is open. */
interface Refable {
  ref(): void;
  unref(): void;
}

/**
 * Counts the operations of a connection. With the first its transport keeps
 * the process alive; after the last it does not.
 */
export class SocketRef {
  readonly #transport: Refable;
  #count = 0;

  /** @param transport The transport, which is let go at once. */
  constructor(transport: Refable) {
    this.#transport = transport;
    transport.unref();
  }

  /** An operation begins. */
  take(): void {
    if (this.#count++ === 0) this.#transport.ref();
  }

  /** An operation has ended. */
  release(): void {
    if (--this.#count === 0) this.#transport.unref();
  }
}
