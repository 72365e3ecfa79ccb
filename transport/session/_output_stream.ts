/**
 * One output of a remote process, as a web stream.
 *
 * @module
 */

import { SmallPieces } from "./small_pieces.ts";

/** How much unread output is held before the sender is stopped, in bytes. */
const HIGH_WATER_MARK_BYTES = 256 * 1024;

/** Told what the reader of an output does. */
export interface OutputStreamListener {
  /** There is room again. */
  onRoom(): void;
  /** The reader wants no more. */
  onCancelled(): void;
}

/**
 * Fed by a channel, read by anybody; says when it is full, and when it is not.
 *
 * A web stream costs more than a short command does otherwise, so there is none
 * before somebody asks for it, and none where a sink takes the output.
 */
export class OutputStream {
  readonly #listener: OutputStreamListener;
  readonly #stallMs: number;
  #stream: ReadableStream<Uint8Array> | undefined;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  /** What came before anybody asked for the stream. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  /** What came after what is still unread, piece by small piece. */
  readonly #small = new SmallPieces();
  #sink: ((chunk: Uint8Array) => boolean) | undefined;
  #isSinkFull = false;
  #isOver = false;
  /** Why it broke off before anybody asked for the stream. */
  #failure: { readonly reason: unknown } | undefined;
  #mayDrop = false;
  #isDropping = false;
  #dropped = 0;
  #stall: ReturnType<typeof setTimeout> | undefined;
  /** All that the stream was given, in bytes. */
  #given = 0;
  /** The error that the reader gets after all that was kept. */
  #lastError: Error | undefined;

  /**
   * @param listener Told what the reader does.
   * @param stallMs How long a reader may leave a full buffer unread after
   *   {@linkcode OutputStream.dropUnread}, in milliseconds.
   */
  constructor(listener: OutputStreamListener, stallMs: number) {
    this.#listener = listener;
    this.#stallMs = stallMs;
  }

  /** The stream, made when it is asked for. */
  get stream(): ReadableStream<Uint8Array> {
    return this.#stream ??= this.#makeStream();
  }

  #makeStream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        this.#flush();
        for (const chunk of this.#early) controller.enqueue(chunk);
        this.#early = [];
        if (this.#failure !== undefined) controller.error(this.#failure.reason);
        else if (this.#isOver) this.#finish();
      },
      pull: () => this.#onRead(),
      cancel: () => {
        // What still comes is dropped.
        this.#close();
        this.#listener.onCancelled();
      },
    }, {
      highWaterMark: HIGH_WATER_MARK_BYTES,
      size: (chunk) => chunk?.byteLength ?? 0,
    });
  }

  /**
   * Gives the output to a sink, in the place of the stream.
   *
   * @param sink Takes a chunk, which it must copy to keep it; false asks for a
   * pause until `goOn()`.
   */
  pourInto(sink: (chunk: Uint8Array) => boolean): void {
    this.#sink = sink;
    this.#flush();
    for (const chunk of this.#early.splice(0)) {
      this.#isSinkFull = !sink(chunk);
    }
    this.#earlyBytes = 0;
  }

  /** The sink takes more. */
  goOn(): void {
    this.#isSinkFull = false;
    this.#listener.onRoom();
  }

  /** Whether nothing more should come for now. */
  get isFull(): boolean {
    if (this.#sink !== undefined) return this.#isSinkFull;
    return !this.#isOver && !this.#isDropping && this.#room <= 0;
  }

  /**
   * From here on, what does not fit is dropped, unless it is being read. A
   * reader that has stopped to read counts as none after a while.
   */
  dropUnread(): void {
    // A sink decides that for itself.
    if (this.#sink !== undefined) return;
    this.#mayDrop = true;
    if (this.isFull) this.#dropSoon();
  }

  /** Takes a chunk; false asks for a pause. */
  push(chunk: Uint8Array): boolean {
    if (this.#isOver) return true;
    if (this.#sink !== undefined) {
      this.#isSinkFull = !this.#sink(chunk);
      return !this.#isSinkFull;
    }
    if (this.#isDropping) {
      this.#dropped += chunk.length;
      return true;
    }
    this.#given += chunk.length;
    if (!this.#small.takes(chunk)) this.#flush();
    // Copied in any case: it may be a small window on a large packet.
    if (this.#small.takes(chunk) && this.#isUnread) this.#small.add(chunk);
    else this.#keep(new Uint8Array(chunk));
    if (this.#mayDrop && this.isFull) this.#dropSoon();
    return !this.isFull;
  }

  /** Whether the reader has something to read. */
  get #isUnread(): boolean {
    return this.#room < HIGH_WATER_MARK_BYTES;
  }

  #keep(chunk: Uint8Array): void {
    if (this.#stream === undefined) {
      this.#early.push(chunk);
      this.#earlyBytes += chunk.length;
    } else this.#controller.enqueue(chunk);
  }

  #flush(): void {
    const held = this.#small.take();
    if (held !== undefined) this.#keep(held);
  }

  /**
   * Nothing more will come.
   *
   * @param error What the reader gets once it has read all.
   */
  end(error?: Error): void {
    if (!this.#close()) return;
    this.#lastError = this.#dropped === 0 ? error : new Error(
      `Cannot read the rest of the output: ${this.#dropped} bytes came after ` +
        "kill() while nobody read them, and were dropped",
      error === undefined ? {} : { cause: error },
    );
    if (this.#stream !== undefined) this.#finish();
  }

  #finish(): void {
    this.#flush();
    if (this.#lastError === undefined) this.#controller.close();
    else this.#failWhenRead();
  }

  /** It broke off. */
  fail(reason: unknown): void {
    if (!this.#close()) return;
    if (this.#stream !== undefined) return this.#controller.error(reason);
    // An error of a stream takes back what is unread.
    this.#failure = { reason };
    this.#early = [];
    this.#small.take();
  }

  get #room(): number {
    const held = this.#small.length;
    if (this.#stream === undefined) {
      return HIGH_WATER_MARK_BYTES - this.#earlyBytes - held;
    }
    const room = this.#controller.desiredSize;
    return room === null ? 1 : room - held;
  }

  #onRead(): void {
    this.#endStall();
    this.#flush();
    if (this.#lastError !== undefined) this.#failWhenRead();
    else this.#listener.onRoom();
  }

  /** An error takes back what is unread, so it has to wait. */
  #failWhenRead(): void {
    if (this.#room === HIGH_WATER_MARK_BYTES) {
      this.#controller.error(this.#lastError);
    }
  }

  #dropSoon(): void {
    if (this.#stream?.locked !== true) return this.#drop();
    if (this.#stall !== undefined) return;
    const before = this.#taken;
    this.#stall = setTimeout(() => {
      this.#stall = undefined;
      // A slow one may need longer until there is room again.
      if (this.#taken > before) this.#dropSoon();
      else this.#drop();
    }, this.#stallMs);
  }

  /** What was read of the stream, in bytes. */
  get #taken(): number {
    return this.#given - (HIGH_WATER_MARK_BYTES - this.#room);
  }

  /** For good: nobody would see a gap in the middle. */
  #drop(): void {
    this.#endStall();
    this.#isDropping = true;
    this.#listener.onRoom();
  }

  #endStall(): void {
    clearTimeout(this.#stall);
    this.#stall = undefined;
  }

  #close(): boolean {
    this.#endStall();
    const wasOpen = !this.#isOver;
    this.#isOver = true;
    return wasOpen;
  }
}
