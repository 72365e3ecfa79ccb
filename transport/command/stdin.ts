/**
 * What a command can read: which sources there are, and what is wrong with one.
 *
 * @module
 */

import type { RemoteProcess, StdinSource } from "../process.ts";
import { showType } from "../options/show_value.ts";

/** What is allowed, for a message. */
export const STDIN_ALLOWED =
  "a string, bytes, a Blob, a process, or a ReadableStream or async iterable " +
  "of bytes or text that nobody has read from";

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
  if (isProcess(value)) return streamFault(value.stdout, "a process with ");
  if (isNodeReadable(value)) return nodeFault(value);
  return isAsyncIterable(value) ? undefined : showType(value);
}

/**
 * Keeps a Node stream that fails before it is read from ending the process, as
 * an "error" event does that nobody hears. Its reader is told all the same.
 *
 * @param source The source, however often.
 */
export function holdErrors(source: unknown): void {
  if (typeof source !== "object" || source === null) return;
  if (isNodeReadable(source)) source.off("error", heard).on("error", heard);
}

function heard(): void {}

/**
 * Returns whether a source gives the same bytes a second time.
 *
 * @param source The source, if there is one.
 */
export function isRepeatable(source: StdinSource | undefined): boolean {
  return source === undefined || typeof source === "string" ||
    ArrayBuffer.isView(source) || isArrayBuffer(source) || isBlob(source);
}

/** Returns the bytes of a value that is nothing else, not copied. */
export function bytesOf(value: object): Uint8Array | undefined {
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

/** Returns whether it is a `Blob`, of whichever realm. */
export function isBlob(value: object): value is Blob {
  return value instanceof Blob ||
    /^(Blob|File)$/.test(tagOf(value)) && "stream" in value;
}

/** Returns whether it is a web stream, of whichever realm. */
export function isReadableStream(
  value: object,
): value is ReadableStream<unknown> {
  return value instanceof ReadableStream ||
    "getReader" in value && typeof value.getReader === "function" &&
      "locked" in value && typeof value.locked === "boolean";
}

/** A process whose output can be read. */
export type ProcessSource = Pick<RemoteProcess, "stdout" | "status">;

/**
 * Returns whether it is a process with web streams: a remote one, or one of
 * Deno.
 */
export function isProcess(value: object): value is ProcessSource {
  return "status" in value && value.status instanceof Promise &&
    "stdout" in value && typeof value.stdout === "object" &&
    value.stdout !== null && isReadableStream(value.stdout);
}

function streamFault(
  stream: ReadableStream<unknown>,
  owner = "",
): string | undefined {
  if (stream.locked) return `${owner}a locked ReadableStream`;
  return wasRead(stream)
    ? `${owner}a ReadableStream that was already read from`
    : undefined;
}

/** A stream does not say so, but a response refuses one that was read from. */
function wasRead(stream: ReadableStream<unknown>): boolean {
  if (!(stream instanceof ReadableStream)) return false;
  try {
    // Reads nothing before the body is used.
    new Response(stream as ReadableStream<Uint8Array>);
    return false;
  } catch {
    return true;
  }
}

/** A stream of Node. */
export interface NodeReadable extends AsyncIterable<unknown> {
  readonly destroyed?: boolean;
  readonly readableEnded?: boolean;
  readonly errored?: Error | null;
  destroy(): void;
  on(event: "error", listener: () => void): unknown;
  off(event: "error", listener: () => void): NodeReadable;
}

/** Returns whether it is a stream of Node that can be read. */
export function isNodeReadable(value: object): value is NodeReadable {
  return "pipe" in value && typeof value.pipe === "function" &&
    "destroy" in value && typeof value.destroy === "function" &&
    isAsyncIterable(value);
}

/** Not the fault of whoever gave it: whoever reads it is told why. */
function nodeFault(stream: NodeReadable): string | undefined {
  if (stream.errored) return undefined;
  if (stream.readableEnded === true) return "a Readable that has ended";
  return stream.destroyed === true ? "a destroyed Readable" : undefined;
}

function isAsyncIterable(value: object): value is AsyncIterable<unknown> {
  return Symbol.asyncIterator in value &&
    typeof value[Symbol.asyncIterator] === "function";
}
