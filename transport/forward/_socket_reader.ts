/**
 * Reads a few bytes of a socket before it is used as a stream.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { ForwardError } from "./errors.ts";

/**
 * Reads exact amounts. It holds at most one chunk more than was asked for: the
 * socket is paused meanwhile.
 */
export class SocketReader {
  readonly #socket: Socket;
  #held: Buffer = Buffer.alloc(0);
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #onData = (chunk: Buffer): void => {
    this.#socket.pause();
    this.#held = this.#held.length === 0
      ? chunk
      : Buffer.concat([this.#held, chunk]);
    this.#wake?.();
  };
  readonly #onEnd = (): void =>
    this.fail(new ForwardError("Cannot read from the client: it hung up"));

  /** @param socket The socket, which nobody else reads. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", this.#onData).pause();
    socket.on("end", this.#onEnd).on("close", this.#onEnd);
  }

  /** Takes so many bytes. One call at a time. */
  async take(count: number): Promise<Buffer> {
    while (this.#held.length < count) await this.#more();
    return this.#cut(count);
  }

  /**
   * Takes what stands before a byte, and the byte with it. One call at a time.
   *
   * @param end The byte.
   * @param most How many bytes may stand before it.
   * @returns What stands before it; `undefined` if that is longer.
   */
  async takeUntil(end: number, most: number): Promise<Buffer | undefined> {
    let at = this.#held.indexOf(end);
    while (at === -1 && this.#held.length <= most) {
      await this.#more();
      at = this.#held.indexOf(end);
    }
    if (at === -1 || at > most) return undefined;
    return this.#cut(at + 1).subarray(0, at);
  }

  #cut(count: number): Buffer {
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return taken;
  }

  /** Resolves when there may be more; it is for the caller to look. */
  async #more(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#socket.destroyed) return this.#onEnd();
    const woken = new Promise<void>((resolve) => this.#wake = resolve);
    this.#socket.resume();
    await woken;
  }

  /** Ends a call that waits, and those to come that would wait. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** Stops reading; what was read too much goes back into the socket. */
  release(): void {
    const socket = this.#socket;
    socket.off("data", this.#onData).pause();
    socket.off("end", this.#onEnd).off("close", this.#onEnd);
    if (this.#held.length > 0 && !socket.readableEnded && !socket.destroyed) {
      socket.unshift(this.#held);
    }
  }
}
