/**
 * One output of a remote process, as a web stream.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

/** How much unread output is held before the sender is stopped, in bytes. */
const HIGH_WATER_MARK_BYTES = 256 * 1024;

/** Fed by a channel, read by anybody; says when it is full, and when it is not. */
export class OutputStream {
  readonly stream: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #isOver = false;

  /** @param onRoom Told when there is room again. */
  constructor(onRoom: () => void) {
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => onRoom(),
      cancel: () => {
        // What still comes is dropped, so that the process can end.
        this.#isOver = true;
        onRoom();
      },
    }, {
      highWaterMark: HIGH_WATER_MARK_BYTES,
      size: (chunk) => chunk?.byteLength ?? 0,
    });
  }

  /** Whether nothing more should come for now. */
  get isFull(): boolean {
    return !this.#isOver && (this.#controller.desiredSize ?? 1) <= 0;
  }

  /** Takes a chunk; false asks for a pause. */
  push(chunk: Buffer): boolean {
    if (this.#isOver) return true;
    // Copied: it may be a small window on a large packet.
    this.#controller.enqueue(new Uint8Array(chunk));
    return !this.isFull;
  }

  /** Nothing more will come. */
  end(): void {
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
}
