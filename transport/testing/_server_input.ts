/** What the client of an embedded server sends to its command. */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ServerChannel } from "ssh2";
import { onAbort } from "../abort.ts";

/**
 * The input of a channel. It is attached when it is first read, so that it may
 * stay unread.
 */
export class ChannelInput {
  readonly #channel: ServerChannel;
  readonly #queue: Uint8Array[] = [];
  #waiter: ((chunk: Uint8Array | undefined) => void) | undefined;
  #hasEnded = false;
  #isAttached = false;

  constructor(channel: ServerChannel) {
    this.#channel = channel;
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
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
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

  /**
   * A stream of what comes next, up to the end of file.
   *
   * @param signal Fails the stream.
   */
  stream(signal: AbortSignal): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const chunk = await this.read(signal);
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      // Nobody else reads: what still comes must not fill the window.
      cancel: () => void this.discard(),
    }, { highWaterMark: 0 });
  }

  /** Throws away what is left. */
  discard(): void {
    this.#channel.removeAllListeners("data");
    this.#channel.resume();
  }

  #attach(): void {
    if (this.#isAttached) return;
    this.#isAttached = true;
    this.#channel.on("data", (chunk: Buffer) => {
      const bytes = new Uint8Array(chunk);
      if (this.#waiter !== undefined) return this.#waiter(bytes);
      this.#queue.push(bytes);
      this.#channel.pause();
    });
    this.#channel.once("end", () => {
      this.#hasEnded = true;
      this.#waiter?.(undefined);
    });
  }
}
