/** Bytes in one direction, from a writer to the reader of a web stream. */

import { Gate } from "../scripts/outcome.ts";

/** As much as an SSH window: a writer ahead of its reader by more has to wait. */
export const PIPE_BYTES = 2 * 1024 * 1024;

/** What is written can be read, in order; the end comes after it. */
export class BytePipe {
  readonly readable: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #isOver = false;
  readonly #room = new Gate();
  #ended: () => void;

  /** @param ended Called once, when nothing more can go through. */
  constructor(ended: () => void = () => {}) {
    this.#ended = ended;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#room.open(),
      cancel: () => this.#end(),
    }, {
      highWaterMark: PIPE_BYTES,
      size: (chunk) => chunk?.byteLength ?? 0,
    });
  }

  /** Whether nothing more can go through. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Writes a chunk, which is copied. After the end it is dropped.
   *
   * @returns A promise if the writer is to wait for the reader.
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#isOver || chunk.length === 0) return undefined;
    this.#controller.enqueue(chunk.slice());
    if ((this.#controller.desiredSize ?? 0) > 0) return undefined;
    return this.#room.wait();
  }

  /** Nothing more is written: what was written can still be read. */
  end(): void {
    if (!this.#isOver) this.#controller.close();
    this.#end();
  }

  /** It breaks off: what is unread is lost. */
  fail(error: unknown): void {
    // Also after the end: what is unread is lost.
    this.#controller.error(error);
    this.#end();
  }

  #end(): void {
    const wasOver = this.#isOver;
    this.#isOver = true;
    this.#room.open();
    if (!wasOver) this.#ended();
  }
}
