/**
 * Acknowledges at once what comes through tunnels.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import { clearImmediate, setImmediate } from "node:timers";
import { sendIgnore } from "./_ignore.ts";
import type { RawClient } from "./fence/internals.ts";

/**
 * Until its first session runs, sshd sends by Nagle's algorithm: a small piece
 * waits until TCP has acknowledged the one before, and a side that has nothing
 * to send acknowledges 40 ms late. A jump host runs no session, so a command
 * behind one would take 40 ms longer, and so would each answer of a database.
 *
 * While there are only tunnels, whatever arrives is answered with a message
 * that means nothing, unless something else was sent in the same turn.
 */
export class PromptAcks {
  readonly #raw: RawClient;
  readonly #socket: Duplex;
  #hadSession = false;
  #isOn = false;
  #due: ReturnType<typeof setImmediate> | undefined;

  /**
   * @param raw ssh2's client.
   * @param socket What it runs on.
   */
  constructor(raw: RawClient, socket: Duplex) {
    this.#raw = raw;
    this.#socket = socket;
  }

  /** A tunnel is opened. */
  onTunnel(): void {
    if (this.#hadSession || this.#isOn) return;
    this.#isOn = true;
    // Before ssh2, which may answer at once.
    this.#socket.prependListener("data", this.#onData);
  }

  /** A session is opened: from now on sshd sends at once by itself. */
  onSession(): void {
    this.#hadSession = true;
    this.end();
  }

  /** The connection is gone, or there is no need any more. */
  end(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#socket.off("data", this.#onData);
    if (this.#due !== undefined) clearImmediate(this.#due);
    this.#due = undefined;
  }

  readonly #onData = (): void => {
    if (this.#due !== undefined) return;
    const sent = this.#sent();
    this.#due = setImmediate(() => {
      this.#due = undefined;
      if (this.#sent() === sent) sendIgnore(this.#raw._protocol);
    });
  };

  /** Counts what was sent. */
  #sent(): number | undefined {
    return this.#raw._protocol._cipher?.outSeqno;
  }
}
