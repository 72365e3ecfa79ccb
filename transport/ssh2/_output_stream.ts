/**
 * One output of a remote process, as a web stream.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

/** How much unread output is held before the sender is stopped, in bytes. */
const HIGH_WATER_MARK_BYTES = 256 * 1024;

/** Told what the reader of an output does. */
export interface OutputStreamListener {
  /** There is room again. */
  onRoom(): void;
  /** The reader wants no more. */
  onCancelled(): void;
}

/** Fed by a channel, read by anybody; says when it is full, and when it is not. */
export class OutputStream {
  readonly stream: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #isOver = false;
  #mayDrop = false;
  #dropped = 0;

  constructor(listener: OutputStreamListener) {
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => listener.onRoom(),
      cancel: () => {
        // What still comes is dropped.
        this.#isOver = true;
        listener.onCancelled();
      },
    }, {
      highWaterMark: HIGH_WATER_MARK_BYTES,
      size: (chunk) => chunk?.byteLength ?? 0,
    });
  }

  /** Whether nothing more should come for now. */
  get isFull(): boolean {
    return !this.#isOver && !this.#drops &&
      (this.#controller.desiredSize ?? 1) <= 0;
  }

  /** From here on, what does not fit is dropped as long as nobody reads. */
  dropUnread(): void {
    this.#mayDrop = true;
  }

  /** Takes a chunk; false asks for a pause. */
  push(chunk: Buffer): boolean {
    if (this.#isOver) return true;
    if (this.#drops && (this.#controller.desiredSize ?? 1) <= 0) {
      this.#dropped += chunk.length;
      return true;
    }
    // Copied: it may be a small window on a large packet.
    this.#controller.enqueue(new Uint8Array(chunk));
    return !this.isFull;
  }

  /** Nothing more will come. */
  end(): void {
    if (this.#dropped > 0) {
      return this.fail(
        new Error(
          `Cannot read the rest of the output: ${this.#dropped} bytes came ` +
            "after kill() while nobody read them, and were dropped",
        ),
      );
    }
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controller.close();
  }

  /** It broke off. */
  fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controller.error(reason);
  }

  get #drops(): boolean {
    return this.#mayDrop && !this.stream.locked;
  }
}
