/**
 * Frames of a control socket: a length of four bytes, and so many bytes.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** As much as OpenSSH itself puts into one, and more than any SSH packet. */
const MAX_FRAME_BYTES = 1024 * 1024;
const LENGTH_BYTES = 4;

/** Takes frames that are not all there yet, in pieces. */
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

/** Cuts a byte stream into frames, and copies only what lies in two chunks. */
export class FrameSplitter {
  #pieces: Buffer[] = [];
  #have = 0;
  #need = LENGTH_BYTES;
  /** What is missing of a frame that is taken in pieces. */
  #passing = 0;

  /**
   * Takes the next bytes.
   *
   * @param chunk The bytes.
   * @param onFrame Gets each frame that they complete, without its length.
   * @param parts Gets those that lie in two chunks, if it wants them.
   * @throws {Error} If a frame is larger than any that OpenSSH sends.
   */
  push(
    chunk: Buffer,
    onFrame: (frame: Buffer) => void,
    parts?: FrameParts,
  ): void {
    let rest = this.#passing === 0 ? chunk : this.#pass(chunk, parts!);
    if (this.#have > 0) {
      const whole = this.#complete(rest, onFrame);
      if (whole === undefined) return;
      rest = whole;
    }
    let at = 0;
    this.#need = LENGTH_BYTES;
    while (rest.length - at >= LENGTH_BYTES) {
      const length = rest.readUInt32BE(at);
      if (length > MAX_FRAME_BYTES) {
        throw new Error(`ssh sent a frame of ${length} bytes`);
      }
      const end = at + LENGTH_BYTES + length;
      if (rest.length < end) {
        this.#need = LENGTH_BYTES + length;
        break;
      }
      onFrame(rest.subarray(at + LENGTH_BYTES, end));
      at = end;
    }
    if (at === rest.length) return;
    const tail = rest.subarray(at);
    const missing = this.#need - tail.length;
    const head = tail.subarray(LENGTH_BYTES);
    if (head.length > 0 && parts?.begin(head, missing)) {
      this.#passing = missing;
      return;
    }
    this.#pieces.push(tail);
    this.#have = tail.length;
  }

  #pass(chunk: Buffer, parts: FrameParts): Buffer {
    const bytes = chunk.subarray(0, this.#passing);
    this.#passing -= bytes.length;
    parts.more(bytes);
    return chunk.subarray(bytes.length);
  }

  /** Goes on with a frame that was begun, and returns what is still to be cut. */
  #complete(
    chunk: Buffer,
    onFrame: (frame: Buffer) => void,
  ): Buffer | undefined {
    const missing = this.#need - this.#have;
    if (chunk.length < missing || this.#need === LENGTH_BYTES) {
      this.#pieces.push(chunk);
      this.#have += chunk.length;
      return this.#have < this.#need ? undefined : this.#take();
    }
    // Only the frame that was begun is copied, not what follows it.
    this.#pieces.push(chunk.subarray(0, missing));
    onFrame(this.#take().subarray(LENGTH_BYTES));
    return chunk.subarray(missing);
  }

  #take(): Buffer {
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#have = 0;
    return all;
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
