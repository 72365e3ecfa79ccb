/**
 * The data types of RFC 4251 section 5, as far as keys and agents need them.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** Reads values off a message; a message that is too short is an error. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  /** @param bytes The message. */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** The next byte, which is not taken. */
  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** A number of four bytes. */
  uint32(): number {
    return this.take(4).readUInt32BE(0);
  }

  /** A byte string with its length before it. */
  string(): Buffer {
    return this.take(this.uint32());
  }

  /** The content of a DER element, which must have this tag. */
  der(tag: number): Buffer {
    const [found] = this.take(1);
    if (found !== tag) {
      throw new Error(`Cannot read the key: tag ${found}, must be ${tag}`);
    }
    const [first = 0] = this.take(1);
    if (first < 0x80) return this.take(first);
    const length = this.take(first & 0x7f);
    return this.take(
      length.length > 4 ? Infinity : length.readUIntBE(0, length.length),
    );
  }

  /** So many bytes as they are. */
  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) {
      throw new Error(
        `Cannot read the message: ${length} bytes are wanted at ${this.#at}, ` +
          `it has ${this.#bytes.length}`,
      );
    }
    return this.#bytes.subarray(this.#at, this.#at += length);
  }
}

/** Writes a number of four bytes. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Writes a byte string with its length before it. */
export function string(value: string | Uint8Array): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** Puts the length of a message before it. */
export const frame: (message: Uint8Array) => Buffer = string;
