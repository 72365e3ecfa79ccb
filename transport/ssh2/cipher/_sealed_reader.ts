/**
 * Reads packets in the place of one of ssh2's deciphers.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { RawDecipher } from "../fence/internals.ts";
import type { Opener } from "./_openers.ts";

/**
 * The longest packet that ssh2 accepts, in bytes, its length and MAC not
 * counted: what RFC 4253 asks for.
 */
export const USUAL_PACKET_BYTES = 35_000;

/** What ssh2 says of a packet that is longer. */
export const BAD_LENGTH = "Bad packet length";

/** Longer than any MAC. */
const MAC_ROOM = 64;

/** Buffers for packets of any usual size that nobody fills at the moment. */
const spareBuffers: Buffer[] = [];
const SPARE_BYTES = USUAL_PACKET_BYTES + MAC_ROOM;
/** So many are kept, for all connections together. */
const MAX_SPARE_BUFFERS = 4;
/** Up to this size a packet gets a buffer of its own. */
const SPARE_FROM_BYTES = 4096;

/**
 * Puts packets together and has them opened. What it has read is in the state
 * of the decipher that it stands in for.
 *
 * Large packets share a few buffers, since nothing of a buffer is kept once its
 * packet is decrypted. A new one for each would be as much garbage as data.
 */
export class SealedReader {
  /** The longest packet that is accepted. */
  maxBytes: number;
  readonly #decipher: RawDecipher;
  readonly #opener: Opener;
  readonly #head: Buffer;
  /** Of the head, or of what follows it, so much has come. */
  #have = 0;
  /** How much follows the head, with the MAC; 0 until the head is complete. */
  #rest = 0;
  #bytes: Buffer | undefined;
  #skip: number;

  /**
   * @param decipher The decipher, whose packet number and `_onPayload` are used.
   * @param opener What decrypts.
   * @param maxBytes The longest packet that is accepted.
   * @param skip So many packets are read, and not given to `_onPayload`.
   */
  constructor(
    decipher: RawDecipher,
    opener: Opener,
    maxBytes: number = USUAL_PACKET_BYTES,
    skip = 0,
  ) {
    this.#decipher = decipher;
    this.#opener = opener;
    this.#head = Buffer.alloc(opener.headBytes);
    this.maxBytes = maxBytes;
    this.#skip = skip;
  }

  /**
   * The decipher's `decrypt()`.
   *
   * @param data Where the bytes are.
   * @param position Where they begin.
   * @param end Where they end.
   * @returns Where to go on from, if reading was interrupted.
   * @throws If a packet is not as it was sent, or too long.
   */
  readonly read: RawDecipher["decrypt"] = (data, position, end) => {
    let p = position;
    while (p < end) {
      if (this.#rest === 0) {
        p = this.#takeHead(data, p, end);
        continue;
      }
      const stop = Math.min(end, p + this.#rest - this.#have);
      const part = data.subarray(p, stop);
      p = stop;
      // A packet that came in one piece is not copied.
      const isWhole = this.#have === 0 && part.length === this.#rest;
      const sealed = isWhole ? part : this.#keep(part);
      if (sealed === undefined) return;
      const payload = this.#open(sealed);
      if (this.#skip > 0) {
        this.#skip--;
        continue;
      }
      const result = this.#decipher._onPayload(payload);
      if (result !== undefined) return result === false ? p : result;
    }
  };

  /** Takes bytes for the head; gives the position after them. */
  #takeHead(data: Uint8Array, from: number, to: number): number {
    const head = this.#head;
    const end = Math.min(to, from + head.length - this.#have);
    head.set(data.subarray(from, end), this.#have);
    this.#have += end - from;
    if (this.#have === head.length) this.#begin();
    return end;
  }

  #begin(): void {
    const { headBytes, macBytes, blockBytes } = this.#opener;
    const length = this.#opener.lengthIn(this.#head, this.#decipher.inSeqno);
    const rest = length + 4 - headBytes;
    if (
      length > this.maxBytes || length < Math.min(blockBytes, 8) || rest < 0 ||
      rest % blockBytes !== 0
    ) {
      throw new Error(BAD_LENGTH);
    }
    this.#rest = rest + macBytes;
    this.#have = 0;
  }

  /** Keeps a part; gives all of it once it is complete. */
  #keep(part: Uint8Array): Uint8Array | undefined {
    const bytes = this.#bytes ??= bufferFor(this.#rest);
    bytes.set(part, this.#have);
    this.#have += part.length;
    return this.#have === this.#rest
      ? bytes.subarray(0, this.#rest)
      : undefined;
  }

  #open(sealed: Uint8Array): Buffer {
    const decipher = this.#decipher;
    const text = this.#opener.open(this.#head, sealed, decipher.inSeqno);
    decipher.inSeqno = (decipher.inSeqno + 1) >>> 0;
    const bytes = this.#bytes;
    this.#bytes = undefined;
    this.#rest = this.#have = 0;
    if (
      bytes?.length === SPARE_BYTES && spareBuffers.length < MAX_SPARE_BUFFERS
    ) spareBuffers.push(bytes);
    return text.subarray(1, text.length - text[0]!);
  }
}

function bufferFor(bytes: number): Buffer {
  if (bytes < SPARE_FROM_BYTES || bytes > SPARE_BYTES) {
    return Buffer.allocUnsafe(bytes);
  }
  return spareBuffers.pop() ?? Buffer.allocUnsafe(SPARE_BYTES);
}
