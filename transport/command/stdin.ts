/**
 * What a command reads: which sources there are, and how each becomes bytes.
 *
 * @module
 */

import { joinBytes } from "../bytes.ts";
import type { StdinSource } from "../process.ts";
import { showType } from "../options/show_value.ts";

/** Bytes that come one piece after the other. */
export interface ByteSource {
  /**
   * Gives the next piece.
   *
   * @returns The piece; `undefined` at the end.
   * @throws {TypeError} If the source yields what is neither bytes nor text.
   */
  next(): Promise<Uint8Array | undefined>;
  /** Tells the source that nothing more is read. Never throws. */
  cancel(reason?: unknown): void;
}

const encoder = new TextEncoder();

/** What is allowed, for a message. */
export const STDIN_ALLOWED =
  "a string, bytes, a Blob, or a ReadableStream or async iterable of bytes " +
  "or text that nobody has read from";

/**
 * Says why a value cannot be the standard input of a command.
 *
 * @param value The value. Nothing is read from it, and it is not locked.
 * @returns What it is instead; `undefined` if it can be used.
 */
export function stdinFault(value: unknown): string | undefined {
  if (typeof value === "string") return undefined;
  if (typeof value !== "object" || value === null) return showType(value);
  if (ArrayBuffer.isView(value)) {
    return isDetached(value.buffer) ? "a view of a detached buffer" : undefined;
  }
  if (isArrayBuffer(value)) {
    return isDetached(value) ? "a detached ArrayBuffer" : undefined;
  }
  if (isBlob(value)) return undefined;
  if (isReadableStream(value)) return streamFault(value);
  if (isNodeReadable(value)) return nodeFault(value);
  return isAsyncIterable(value) ? undefined : showType(value);
}

/**
 * Whether a source gives the same bytes a second time.
 *
 * @param source The source, if there is one.
 */
export function isRepeatable(source: StdinSource | undefined): boolean {
  return source === undefined || typeof source === "string" ||
    ArrayBuffer.isView(source) || isArrayBuffer(source) || isBlob(source);
}

/**
 * Begins to read a source.
 *
 * @param source The source; a stream is locked from here on.
 * @returns All bytes where they are at hand, else the pieces.
 * @throws {TypeError} If it is none, or somebody else reads it.
 */
export function openStdin(source: StdinSource): Uint8Array | ByteSource {
  if (typeof source === "string") return encoder.encode(source);
  const fault = stdinFault(source);
  if (fault !== undefined) {
    throw new TypeError(
      `Cannot read stdin: it is ${fault}, must be ${STDIN_ALLOWED}`,
    );
  }
  const bytes = bytesOf(source);
  if (bytes !== undefined) return bytes;
  if (isBlob(source)) return new Pieces(fromStream(source.stream()));
  if (isReadableStream(source)) return new Pieces(fromStream(source));
  return new Pieces(fromIterable(source as AsyncIterable<unknown>));
}

/** A source before its pieces are looked at. */
interface RawSource {
  next(): Promise<{ readonly done?: boolean; readonly value?: unknown }>;
  cancel(reason: unknown): unknown;
}

function fromStream(stream: ReadableStream<unknown>): RawSource {
  const reader = stream.getReader();
  return {
    next: () => reader.read(),
    cancel: (reason) => reader.cancel(reason),
  };
}

function fromIterable(source: AsyncIterable<unknown>): RawSource {
  const iterator = source[Symbol.asyncIterator]();
  return {
    // A source of the caller may throw instead of rejecting.
    next: async () => await iterator.next(),
    cancel: () => {
      // The iterator of a Node stream would first wait for another piece.
      if (isNodeReadable(source)) source.destroy();
      return iterator.return?.();
    },
  };
}

class Pieces implements ByteSource {
  readonly #raw: RawSource;
  /** The first half of a character that two strings share. */
  #half = "";
  #isOver = false;

  constructor(raw: RawSource) {
    this.#raw = raw;
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#isOver) return undefined;
    const { done, value } = await this.#raw.next();
    if (this.#isOver) return undefined;
    if (done === true) return this.#last();
    if (typeof value === "string") return this.#encode(value);
    const bytes = typeof value === "object" && value !== null
      ? bytesOf(value)
      : undefined;
    if (bytes === undefined) {
      throw new TypeError(
        `Cannot read stdin: it yielded ${
          showType(value)
        }, must yield a Uint8Array or a string`,
      );
    }
    return this.#half === "" ? bytes : joinBytes([this.#flush(), bytes]);
  }

  cancel(reason?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // Not awaited: a generator that waits for something returns after that.
    (async () => await this.#raw.cancel(reason))().catch(() => {});
  }

  #last(): Uint8Array | undefined {
    this.#isOver = true;
    return this.#half === "" ? undefined : this.#flush();
  }

  #encode(text: string): Uint8Array {
    const whole = this.#half + text;
    const isSplit = /[\ud800-\udbff]$/.test(whole);
    this.#half = isSplit ? whole.slice(-1) : "";
    return encoder.encode(isSplit ? whole.slice(0, -1) : whole);
  }

  /** Half a character that nothing completes becomes U+FFFD. */
  #flush(): Uint8Array {
    const bytes = encoder.encode(this.#half);
    this.#half = "";
    return bytes;
  }
}

function bytesOf(value: object): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value;
    const bytes = value instanceof Uint8Array
      ? value
      : new Uint8Array(buffer, byteOffset, byteLength);
    // Sockets take no memory that is shared between threads.
    return isArrayBuffer(buffer) ? bytes : Uint8Array.from(bytes);
  }
  return isArrayBuffer(value) ? new Uint8Array(value) : undefined;
}

function tagOf(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

function isArrayBuffer(value: object): value is ArrayBuffer {
  return value instanceof ArrayBuffer || tagOf(value) === "ArrayBuffer";
}

/** Not known to every runtime, which then has buffers of length 0. */
function isDetached(buffer: ArrayBufferLike): boolean {
  return (buffer as { readonly detached?: boolean }).detached === true;
}

function isBlob(value: object): value is Blob {
  return value instanceof Blob ||
    /^(Blob|File)$/.test(tagOf(value)) && "stream" in value;
}

function isReadableStream(value: object): value is ReadableStream<unknown> {
  return value instanceof ReadableStream ||
    "getReader" in value && typeof value.getReader === "function" &&
      "locked" in value && typeof value.locked === "boolean";
}

function streamFault(stream: ReadableStream<unknown>): string | undefined {
  if (stream.locked) return "a locked ReadableStream";
  return wasRead(stream)
    ? "a ReadableStream that was already read from"
    : undefined;
}

/** A stream does not say so, but a response refuses one that was read from. */
function wasRead(stream: ReadableStream<unknown>): boolean {
  if (!(stream instanceof ReadableStream)) return false;
  try {
    // Reads nothing until somebody asks for the body.
    new Response(stream as ReadableStream<Uint8Array>);
    return false;
  } catch {
    return true;
  }
}

interface NodeReadable extends AsyncIterable<unknown> {
  readonly destroyed?: boolean;
  readonly readableEnded?: boolean;
  destroy(): void;
}

function isNodeReadable(value: object): value is NodeReadable {
  return "pipe" in value && typeof value.pipe === "function" &&
    "destroy" in value && typeof value.destroy === "function" &&
    isAsyncIterable(value);
}

function nodeFault(stream: NodeReadable): string | undefined {
  if (stream.readableEnded === true) return "a Readable that has ended";
  return stream.destroyed === true ? "a destroyed Readable" : undefined;
}

function isAsyncIterable(value: object): value is AsyncIterable<unknown> {
  return Symbol.asyncIterator in value &&
    typeof value[Symbol.asyncIterator] === "function";
}
