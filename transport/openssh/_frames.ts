/**
 * Frames of a control socket: a length of four bytes, and so many bytes.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** As much as OpenSSH itself puts into one, and more than any SSH packet. */
const MAX_FRAME_BYTES = 1024 * 1024;
const LENGTH_BYTES = 4;

/** Takes frames that are not all there yet, in pieces, and keeps none of them. */
export interface FrameParts {
  /**
   * The chunk ends in a frame.
   *
   * @param head What there is of it, without its length.
   * @param missing How many bytes are still to come.
   * @returns Whether they go to `more()`; else the frame is given whole.
   */
  begin(head: Buffer, missing: number): boolean;
  /** Some of the bytes that were missing, in order. */
  more(bytes: Buffer): void;
}

/**
 * Cuts a byte stream into frames, and copies only what lies in two chunks. It
 * keeps no chunk: its memory may be used again.
 */
export class FrameSplitter {
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthBytes = 0;
  /** A frame that is not all there yet. */
  #frame: Buffer | undefined;
  #filled = 0;
  /** What is missing of a frame that is taken in pieces. */
  #passing = 0;

  /**
   * Takes the next bytes.
   *
   * @param chunk The bytes.
   * @param onFrame Gets each frame that they complete, without its length. It
   *   must copy what it keeps.
   * @param parts Gets those that lie in two chunks, if it wants them.
   * @throws {Error} If a frame is larger than any that OpenSSH sends.
   */
  push(
    chunk: Buffer,
    onFrame: (frame: Buffer) => void,
    parts?: FrameParts,
  ): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#passing > 0) at = this.#pass(chunk, at, parts!);
      else if (this.#frame !== undefined) at = this.#fill(chunk, at, onFrame);
      else at = this.#begin(chunk, at, onFrame, parts);
    }
  }

  /** Reads a length, and the frame if all of it is there. */
  #begin(
    chunk: Buffer,
    at: number,
    onFrame: (frame: Buffer) => void,
    parts: FrameParts | undefined,
  ): number {
    const count = Math.min(LENGTH_BYTES - this.#lengthBytes, chunk.length - at);
    chunk.copy(this.#length, this.#lengthBytes, at, at + count);
    this.#lengthBytes += count;
    at += count;
    if (this.#lengthBytes < LENGTH_BYTES) return at;
    this.#lengthBytes = 0;
    const length = this.#length.readUInt32BE();
    if (length > MAX_FRAME_BYTES) {
      throw new Error(`ssh sent a frame of ${length} bytes`);
    }
    const end = at + length;
    const head = chunk.subarray(at, end);
    if (head.length === length) onFrame(head);
    else if (head.length > 0 && parts?.begin(head, length - head.length)) {
      this.#passing = length - head.length;
    } else {
      this.#frame = Buffer.allocUnsafe(length);
      this.#filled = head.copy(this.#frame);
    }
    return Math.min(end, chunk.length);
  }

  #pass(chunk: Buffer, at: number, parts: FrameParts): number {
    const bytes = chunk.subarray(at, at + this.#passing);
    this.#passing -= bytes.length;
    parts.more(bytes);
    return at + bytes.length;
  }

  /** Goes on with a frame that was begun. */
  #fill(chunk: Buffer, at: number, onFrame: (frame: Buffer) => void): number {
    const frame = this.#frame!;
    const count = chunk.copy(frame, this.#filled, at);
    this.#filled += count;
    if (this.#filled === frame.length) {
      this.#frame = undefined;
      onFrame(frame);
    }
    return at + count;
  }
}

/** What a frame is made of: a number is a uint32, a text has its length before it. */
export type FrameField = number | string | Uint8Array;

/**
 * Makes a frame.
 *
 * @param fields Numbers and texts in order; bytes stand as they are.
 */
export function frameOf(...fields: readonly FrameField[]): Buffer {
  const pieces: Uint8Array[] = [Buffer.alloc(LENGTH_BYTES)];
  for (const field of fields) {
    if (typeof field === "number") pieces.push(uint32(field));
    else if (typeof field === "string") {
      const bytes = Buffer.from(field);
      pieces.push(uint32(bytes.length), bytes);
    } else pieces.push(field);
  }
  const all = Buffer.concat(pieces);
  all.writeUInt32BE(all.length - LENGTH_BYTES);
  return all;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
