/** Bytes on their way to a reader in this process. */

import { abortable } from "../../abort.ts";
import { Gate } from "./outcome.ts";

/** As much as an SSH window: a writer ahead of its reader by more has to wait. */
export const PIPE_BYTES = 2 * 1024 * 1024;

const encoder = new TextEncoder();

/** Encodes text; lets bytes through. */
export function toBytes(chunk: string | Uint8Array): Uint8Array {
  return typeof chunk === "string" ? encoder.encode(chunk) : chunk;
}

/** What is written can be read, in order, by one reader at a time. */
export class ByteQueue {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Opens when there is something to read. */
  readonly #filled = new Gate();
  /** Opens when there is room for more. */
  readonly #room = new Gate();
  readonly #over = new Gate();
  #hasEnded = false;
  #isDiscarded = false;
  #failure: { readonly error: unknown } | undefined;

  /** Whether nothing more can go through. */
  get isOver(): boolean {
    return this.#hasEnded || this.#isDiscarded;
  }

  /** Waits until nothing more can go through; what is left can still be read. */
  async over(): Promise<void> {
    if (!this.isOver) await this.#over.wait();
  }

  /**
   * Takes a copy of bytes. When it is over they are dropped.
   *
   * @returns A promise if the writer is to wait for the reader.
   */
  push(chunk: Uint8Array): Promise<void> | undefined {
    if (this.isOver || chunk.length === 0) return undefined;
    this.#chunks.push(chunk.slice());
    this.#bytes += chunk.length;
    this.#filled.open();
    return this.#bytes < PIPE_BYTES ? undefined : this.#room.wait();
  }

  /** Nothing more comes. With an error, what is unread is lost. */
  end(failure?: { readonly error: unknown }): void {
    if (failure !== undefined) {
      this.#failure ??= failure;
      this.#drop();
    }
    this.#hasEnded = true;
    this.#filled.open();
    this.#over.open();
  }

  /** Drops what nobody has read, and whatever comes. */
  discard(): void {
    this.#isDiscarded = true;
    this.#drop();
    this.#over.open();
  }

  /**
   * Reads what comes next.
   *
   * @param signal Ends the wait; what comes later is for the next reader.
   * @returns The bytes; `undefined` at the end.
   * @throws The reason of the signal, or the error that it ended with.
   */
  async read(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted();
    while (this.#chunks.length === 0 && !this.#hasEnded) {
      await abortable(this.#filled.wait(), signal);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    const chunk = this.#chunks.shift();
    this.#bytes -= chunk?.length ?? 0;
    if (this.#bytes < PIPE_BYTES) this.#room.open();
    return chunk;
  }

  /** Gives bytes back that were read too far. */
  unread(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.unshift(chunk);
    this.#bytes += chunk.length;
  }

  /**
   * Returns a stream of what comes next, up to the end.
   *
   * @param signal Fails the stream.
   */
  stream(signal?: AbortSignal): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const chunk = await this.read(signal);
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      // Nobody else reads: what still comes must not hold up the writer.
      cancel: () => this.discard(),
    }, { highWaterMark: 0 });
  }

  #drop(): void {
    this.#chunks.length = this.#bytes = 0;
    this.#room.open();
  }
}
