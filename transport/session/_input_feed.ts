/**
 * Feeding the input of a session from what the caller gave for `stdin`.
 *
 * @module
 */

import type { StdinSource } from "../process.ts";
import { type ByteSource, openStdin } from "./_byte_source.ts";
import type { RemoteSession } from "./remote_session.ts";

/** Sends a source to a session; a source that fails stops the session. */
export class InputFeed {
  readonly #session: RemoteSession;
  #source: ByteSource | undefined;

  /** @param session The session that reads it. */
  constructor(session: RemoteSession) {
    this.#session = session;
  }

  /** Sends all of it, and then the end of the input. */
  start(stdin: StdinSource): void {
    try {
      const input = openStdin(stdin);
      if (input instanceof Uint8Array) return this.#sendAll(input);
      this.#source = input;
      void this.#send(input);
    } catch (error) {
      // The stream was taken after it was checked.
      this.#session.stop(error);
    }
  }

  /** The session is over: it may not have read all that it was given. */
  cancel(): void {
    this.#source?.cancel();
  }

  #sendAll(bytes: Uint8Array): void {
    const pending = this.#session.write(bytes);
    if (pending === undefined) this.#session.endInput();
    else pending.then(() => this.#session.endInput());
  }

  async #send(input: ByteSource): Promise<void> {
    try {
      while (!this.#session.isOver) {
        const piece = await input.next();
        if (piece === undefined) return this.#session.endInput();
        await this.#session.write(piece);
      }
    } catch (error) {
      this.#session.stop(error);
    }
  }
}
