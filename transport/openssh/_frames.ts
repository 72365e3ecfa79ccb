/**
 * Frames of a control socket: a length of four bytes, and so many bytes.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** As much as OpenSSH itself puts into one, and more than any SSH packet. */
const MAX_FRAME_BYTES = 1024 * 1024;
const LENGTH_BYTES = 4;

/** Cuts a byte stream into frames, and copies only what lies in two chunks. */
export class FrameSplitter {
  #pieces: Buffer[] = [];
  #have = 0;
  #need = LENGTH_BYTES;

  /**
   * Takes the next bytes.
   *
   * @param chunk The bytes.
   * @param onFrame Gets each frame that they complete, without its length.
   * @throws {Error} If a frame is larger than any that OpenSSH sends.
   */
  push(chunk: Buffer, onFrame: (frame: Buffer) => void): void {
    let rest = chunk;
    if (this.#have > 0) {
      const whole = this.#complete(chunk, onFrame);
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
    this.#pieces.push(rest.subarray(at));
    this.#have = rest.length - at;
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
