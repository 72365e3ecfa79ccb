/** What the client of a scripted host sends to its command. */

import { onAbort } from "../../abort.ts";
import { Gate } from "./outcome.ts";

/** How the input hangs together with the channel that feeds it. */
export interface InputParts {
  /** So many bytes that nobody has read yet are taken before the client waits. */
  readonly roomBytes: number;
  /** Called when it is first read: until then a channel may stay unread. */
  readonly start?: () => void;
}

/** A queue of what was sent, with one reader at a time. */
export class CommandInput {
  readonly #parts: InputParts;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #waiter: ((chunk: Uint8Array | undefined) => void) | undefined;
  readonly #room = new Gate();
  /** Why there is no more; `undefined` in it is the end of file. */
  #ended: { readonly error?: unknown } | undefined;
  #isStarted = false;
  #isDiscarded = false;

  constructor(parts: InputParts) {
    this.#parts = parts;
  }

  /**
   * Takes bytes, which must not change afterwards.
   *
   * @returns A promise if the client is to wait before it sends more.
   */
  push(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#ended !== undefined || this.#isDiscarded) return undefined;
    if (this.#waiter !== undefined) this.#waiter(chunk);
    else {
      this.#queue.push(chunk);
      this.#queuedBytes += chunk.length;
    }
    if (this.#queuedBytes <= this.#parts.roomBytes) return undefined;
    return this.#room.wait();
  }

  /** Nothing more comes. With an error, what is unread is lost. */
  end(error?: { readonly error: unknown }): void {
    if (error !== undefined) this.#drop();
    this.#ended ??= error ?? {};
    this.#waiter?.(undefined);
  }

  /** Drops what nobody has read, and whatever comes. */
  discard(): void {
    this.#isDiscarded = true;
    this.#drop();
  }

  #drop(): void {
    this.#queue.length = this.#queuedBytes = 0;
    this.#room.open();
  }

  /**
   * Reads what comes next.
   *
   * @param signal Ends the wait; what comes later is for the next reader.
   * @returns The bytes; `undefined` at an end of file.
   * @throws The reason of the signal, or what the input broke off with.
   */
  read(signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#parts.start?.();
    }
    if (this.#queue.length > 0) return Promise.resolve(this.#next());
    if (this.#ended !== undefined) return this.#end();
    return new Promise((resolve, reject) => {
      const stop = onAbort(signal, () => {
        this.#waiter = undefined;
        reject(signal.reason);
      });
      this.#waiter = (chunk) => {
        this.#waiter = undefined;
        stop();
        resolve(chunk === undefined && this.#ended ? this.#end() : chunk);
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
   * Returns a stream of what comes next, up to the end of file.
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
      // Nobody else reads: what still comes must not hold up the client.
      cancel: () => this.discard(),
    }, { highWaterMark: 0 });
  }

  async #end(): Promise<undefined> {
    if (this.#ended !== undefined && "error" in this.#ended) {
      throw this.#ended.error;
    }
    return await undefined;
  }

  #next(): Uint8Array | undefined {
    const chunk = this.#queue.shift();
    this.#queuedBytes -= chunk?.length ?? 0;
    if (this.#queuedBytes <= this.#parts.roomBytes) this.#room.open();
    return chunk;
  }
}
