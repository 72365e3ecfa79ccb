/** What the client of an embedded server sends to its command. */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ServerChannel } from "ssh2";
import { onAbort } from "../../abort.ts";
import type { ServerTerminal } from "./_terminal.ts";

/** Bytes that nobody has read yet; beyond them the client is to wait. */
const BACKLOG_BYTES = 64 * 1024;

/**
 * The input of a channel. It is attached when it is first read, so that it may
 * stay unread; that of a terminal is watched from the first, for its signals.
 */
export class ChannelInput {
  readonly #channel: ServerChannel;
  readonly #terminal: ServerTerminal | undefined;
  /** `undefined` is an end of file, after which a terminal may go on. */
  readonly #queue: (Uint8Array | undefined)[] = [];
  #queuedBytes = 0;
  #waiter: ((chunk: Uint8Array | undefined) => void) | undefined;
  #hasEnded = false;
  #isAttached = false;
  readonly #typed = {
    line: (line: Uint8Array | undefined) => this.#take(line),
    flush: () => {
      this.#queue.length = this.#queuedBytes = 0;
    },
  };

  constructor(channel: ServerChannel, terminal?: ServerTerminal) {
    this.#channel = channel;
    this.#terminal = terminal;
    if (terminal !== undefined) this.#attach();
  }

  /**
   * Reads what comes next.
   *
   * @param signal Ends the wait; what comes later is for the next reader.
   * @returns The bytes; `undefined` at an end of file.
   * @throws The reason of the signal.
   */
  read(signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#queue.length > 0) return Promise.resolve(this.#next());
    if (this.#hasEnded) return Promise.resolve(undefined);
    this.#attach();
    this.#channel.resume();
    return new Promise((resolve, reject) => {
      const stop = onAbort(signal, () => {
        this.#waiter = undefined;
        reject(signal.reason);
      });
      this.#waiter = (chunk) => {
        this.#waiter = undefined;
        stop();
        resolve(chunk);
      };
    });
  }

  /** Gives bytes back that were read too far. */
  unread(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#queue.unshift(chunk);
    this.#queuedBytes += chunk.length;
  }

  /**
   * A stream of what comes next, up to the end of file.
   *
   * @param signal Fails the stream.
   */
  stream(signal: AbortSignal): ReadableStream<Uint8Array> {
    const isWatched = this.#terminal !== undefined;
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const chunk = await this.read(signal);
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      // Nobody else reads: what still comes must not fill the window.
      cancel: isWatched ? () => {} : () => void this.discard(),
    }, { highWaterMark: 0 });
  }

  /** Throws away what is left. */
  discard(): void {
    this.#channel.removeAllListeners("data");
    this.#channel.resume();
  }

  #next(): Uint8Array | undefined {
    const chunk = this.#queue.shift();
    this.#queuedBytes -= chunk?.length ?? 0;
    return chunk;
  }

  #attach(): void {
    if (this.#isAttached) return;
    this.#isAttached = true;
    this.#channel.on("data", (chunk: Buffer) => {
      const bytes = new Uint8Array(chunk);
      if (this.#terminal === undefined) this.#take(bytes);
      else this.#terminal.type(bytes, this.#typed);
      if (this.#queuedBytes > this.#room) this.#channel.pause();
    });
    // What runs in a terminal does not see the end of a channel.
    if (this.#terminal !== undefined) return;
    this.#channel.once("end", () => {
      this.#hasEnded = true;
      this.#waiter?.(undefined);
    });
  }

  get #room(): number {
    return this.#terminal === undefined ? 0 : BACKLOG_BYTES;
  }

  #take(chunk: Uint8Array | undefined): void {
    if (this.#waiter !== undefined) return this.#waiter(chunk);
    this.#queue.push(chunk);
    this.#queuedBytes += chunk?.length ?? 0;
  }
}
