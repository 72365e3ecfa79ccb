/**
 * What a server sends where its first packet should be: text, of a start-up
 * file of the user's shell or of another program than the SFTP server.
 *
 * @module
 */

import { serverText } from "../session/server_text.ts";
import { SftpError } from "./errors.ts";
import { PacketType, protocolError } from "./packets.ts";

/** How long the rest of the text is waited for, in milliseconds. */
const PATIENCE_MS = 1_000;

/** How much of it is looked at, in bytes. */
const MAX_BYTES = 16 * 1024;

/** A VERSION packet, behind its length: the type, and version 3. */
const VERSION: readonly number[] = [PacketType.VERSION, 0, 0, 0, 3];

/**
 * Waits for what comes after the text, which says whose it is: the SFTP server
 * that starts after a start-up file sends its first packet, another program
 * ends or waits for a person.
 */
export class OpeningText {
  readonly #decided: (error: SftpError) => void;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #bytes = new Uint8Array(MAX_BYTES);
  #length = 0;

  /** @param decided Called when it is known; not after `end()`. */
  constructor(decided: (error: SftpError) => void) {
    this.#decided = decided;
    this.#timer = setTimeout(
      () => decided(this.#error("", OTHER_PROGRAM)),
      PATIENCE_MS,
    );
  }

  /** Takes what the server sends. */
  add(chunk: Uint8Array): void {
    const from = this.#length;
    const taken = chunk.subarray(0, MAX_BYTES - from);
    if (taken.length === 0) return;
    this.#bytes.set(taken, from);
    this.#length += taken.length;
    const at = this.#packetAt(from);
    if (at === undefined) return;
    this.#length = at;
    this.#decided(this.#error(", then it began to speak SFTP", STARTUP_FILE));
  }

  /** The channel has ended: with these last words, if there are any. */
  end(lastWords: string): SftpError {
    this.stop();
    const how = lastWords === "" ? "" : `: ${lastWords}`;
    return this.#error(`, and ended${how}`, OTHER_PROGRAM);
  }

  /** Waits no more. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /**
   * Where the first packet begins, with its length.
   *
   * @param from What was looked at before ends here.
   */
  #packetAt(from: number): number | undefined {
    const bytes = this.#bytes;
    let at = Math.max(4, from - VERSION.length + 1);
    for (; at + VERSION.length <= this.#length; at++) {
      // A packet of less than 64 KiB: text has no two NULs.
      if (bytes[at - 4] !== 0 || bytes[at - 3] !== 0) continue;
      if (VERSION.every((byte, i) => bytes[at + i] === byte)) return at - 4;
    }
    return undefined;
  }

  #error(then: string, hint: string): SftpError {
    const text = new TextDecoder().decode(
      this.#bytes.subarray(0, this.#length),
    );
    const { code, message } = protocolError(
      `it sent text instead of a packet${then}: "${serverText(text, 100)}"`,
    );
    return new SftpError(code, message, { hint });
  }
}

const STARTUP_FILE = "a start-up file of the user's shell prints it: have it " +
  "print in interactive shells alone";
const OTHER_PROGRAM = "something else runs in the place of the SFTP server, " +
  "such as a ForceCommand of sshd or the shell of a locked account";
