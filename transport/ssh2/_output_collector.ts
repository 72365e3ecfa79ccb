/**
 * The output of a command, collected up to a limit.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

/** What is collected by default, both outputs together, in bytes. */
export const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Collects one output as a whole. */
export class OutputCollector {
  readonly #chunks: Uint8Array[] = [];

  /** Adds a chunk. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  /** All that was added. */
  bytes(): Uint8Array {
    return join(this.#chunks);
  }
}

/**
 * Collects the first and the last part of one output. What is between them is
 * dropped, and a line says how much it was.
 */
export class TruncatingCollector extends OutputCollector {
  readonly #partBytes: number;
  readonly #head: Uint8Array[] = [];
  #headBytes = 0;
  readonly #tail: Uint8Array[] = [];
  #tailBytes = 0;
  #dropped = 0;

  /** @param partBytes The size of each part, in bytes. */
  constructor(partBytes: number) {
    super();
    this.#partBytes = partBytes;
  }

  override push(chunk: Buffer): void {
    const room = this.#partBytes - this.#headBytes;
    const head = chunk.subarray(0, room);
    if (head.length > 0) this.#head.push(new Uint8Array(head));
    this.#headBytes += head.length;
    if (head.length < chunk.length) this.#pushTail(chunk.subarray(room));
  }

  #pushTail(chunk: Uint8Array): void {
    this.#tail.push(new Uint8Array(chunk));
    this.#tailBytes += chunk.length;
    for (;;) {
      const [first] = this.#tail;
      const excess = this.#tailBytes - this.#partBytes;
      if (first === undefined || excess < first.length) return;
      this.#tail.shift();
      this.#tailBytes -= first.length;
      this.#dropped += first.length;
    }
  }

  override bytes(): Uint8Array {
    const excess = Math.max(0, this.#tailBytes - this.#partBytes);
    let head = join(this.#head);
    let tail = join(this.#tail).subarray(excess);
    let dropped = this.#dropped + excess;
    if (dropped === 0) return join([head, tail]);
    const size = head.length + tail.length;
    head = withoutCutEnd(head);
    tail = withoutCutStart(tail);
    dropped += size - head.length - tail.length;
    const line = `\n[${dropped} bytes are left out here]\n`;
    return join([head, new TextEncoder().encode(line), tail]);
  }
}

const isContinuation = (byte: number | undefined) =>
  byte !== undefined && (byte & 0xc0) === 0x80;

/** Takes the beginning of a UTF-8 character off the end. */
function withoutCutEnd(bytes: Uint8Array): Uint8Array {
  for (let back = 1; back <= 4 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if (isContinuation(byte)) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}

/** Takes the rest of a UTF-8 character off the start. */
function withoutCutStart(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start])) start++;
  return bytes.subarray(start);
}

/**
 * Copied also where there is only one: a Buffer may be a small window on a
 * large packet, or on ssh2's pool.
 */
function join(chunks: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const chunk of chunks) size += chunk.length;
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
