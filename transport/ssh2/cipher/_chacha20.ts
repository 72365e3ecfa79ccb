/**
 * ChaCha20 for packets of a few hundred bytes.
 *
 * @module
 */

/** Whether numbers are laid out here as ChaCha20 has them. */
const IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

const BLOCK_BYTES = 64;

/**
 * The key stream of one key, block by block, as SSH numbers it: the nonce is
 * the packet's number.
 *
 * A cipher of node:crypto takes longer to make than a small packet to encrypt,
 * and SSH wants three for each packet. For small packets this is faster, and
 * leaves nothing behind; for large ones node:crypto is faster by far.
 */
export class ChaCha20 {
  /** Whether it works on this machine. */
  static readonly isUsable: boolean = IS_LITTLE_ENDIAN;
  readonly #state = new Uint32Array(16);
  readonly #words = new Uint32Array(16);
  readonly #stream: Uint8Array = new Uint8Array(this.#words.buffer);

  /** @param key 32 bytes. */
  constructor(key: Uint8Array) {
    const bytes = new Uint8Array(BLOCK_BYTES);
    bytes.set(new TextEncoder().encode("expand 32-byte k"));
    bytes.set(key.subarray(0, 32), 16);
    this.#state.set(new Uint32Array(bytes.buffer));
  }

  /**
   * Copies the first bytes of a block.
   *
   * @param packet The number of the packet.
   * @param block The number of the block.
   * @param out Where to.
   */
  copy(packet: number, block: number, out: Uint8Array): void {
    this.#compute(packet, block);
    out.set(this.#stream.subarray(0, out.length));
  }

  /**
   * Encrypts, or decrypts, which is the same.
   *
   * @param packet The number of the packet.
   * @param block The number of the first block.
   * @param data What to encrypt.
   * @param out Where to: to the places that the data has.
   * @param from Where it begins in the data.
   * @param to Where it ends.
   */
  xor(
    packet: number,
    block: number,
    data: Uint8Array,
    out: Uint8Array,
    from = 0,
    to: number = data.length,
  ): void {
    const stream = this.#stream;
    for (let at = from; at < to; at += BLOCK_BYTES) {
      this.#compute(packet, block++);
      const end = Math.min(BLOCK_BYTES, to - at);
      for (let i = 0; i < end; i++) out[at + i] = data[at + i]! ^ stream[i]!;
    }
  }

  /** One block, in variables: an array would cost five times as much. */
  #compute(packet: number, block: number): void {
    const s = this.#state;
    s[12] = block;
    // The number is big-endian in the last four bytes of the nonce.
    s[15] = swap(packet);
    let a0 = s[0]!, a1 = s[1]!, a2 = s[2]!, a3 = s[3]!;
    let b0 = s[4]!, b1 = s[5]!, b2 = s[6]!, b3 = s[7]!;
    let c0 = s[8]!, c1 = s[9]!, c2 = s[10]!, c3 = s[11]!;
    let d0 = s[12]!, d1 = s[13]!, d2 = s[14]!, d3 = s[15]!;
    for (let round = 0; round < 10; round++) {
      // Columns.
      a0 = (a0 + b0) | 0, d0 = rotate(d0 ^ a0, 16);
      c0 = (c0 + d0) | 0, b0 = rotate(b0 ^ c0, 12);
      a0 = (a0 + b0) | 0, d0 = rotate(d0 ^ a0, 8);
      c0 = (c0 + d0) | 0, b0 = rotate(b0 ^ c0, 7);
      a1 = (a1 + b1) | 0, d1 = rotate(d1 ^ a1, 16);
      c1 = (c1 + d1) | 0, b1 = rotate(b1 ^ c1, 12);
      a1 = (a1 + b1) | 0, d1 = rotate(d1 ^ a1, 8);
      c1 = (c1 + d1) | 0, b1 = rotate(b1 ^ c1, 7);
      a2 = (a2 + b2) | 0, d2 = rotate(d2 ^ a2, 16);
      c2 = (c2 + d2) | 0, b2 = rotate(b2 ^ c2, 12);
      a2 = (a2 + b2) | 0, d2 = rotate(d2 ^ a2, 8);
      c2 = (c2 + d2) | 0, b2 = rotate(b2 ^ c2, 7);
      a3 = (a3 + b3) | 0, d3 = rotate(d3 ^ a3, 16);
      c3 = (c3 + d3) | 0, b3 = rotate(b3 ^ c3, 12);
      a3 = (a3 + b3) | 0, d3 = rotate(d3 ^ a3, 8);
      c3 = (c3 + d3) | 0, b3 = rotate(b3 ^ c3, 7);
      // Diagonals.
      a0 = (a0 + b1) | 0, d3 = rotate(d3 ^ a0, 16);
      c2 = (c2 + d3) | 0, b1 = rotate(b1 ^ c2, 12);
      a0 = (a0 + b1) | 0, d3 = rotate(d3 ^ a0, 8);
      c2 = (c2 + d3) | 0, b1 = rotate(b1 ^ c2, 7);
      a1 = (a1 + b2) | 0, d0 = rotate(d0 ^ a1, 16);
      c3 = (c3 + d0) | 0, b2 = rotate(b2 ^ c3, 12);
      a1 = (a1 + b2) | 0, d0 = rotate(d0 ^ a1, 8);
      c3 = (c3 + d0) | 0, b2 = rotate(b2 ^ c3, 7);
      a2 = (a2 + b3) | 0, d1 = rotate(d1 ^ a2, 16);
      c0 = (c0 + d1) | 0, b3 = rotate(b3 ^ c0, 12);
      a2 = (a2 + b3) | 0, d1 = rotate(d1 ^ a2, 8);
      c0 = (c0 + d1) | 0, b3 = rotate(b3 ^ c0, 7);
      a3 = (a3 + b0) | 0, d2 = rotate(d2 ^ a3, 16);
      c1 = (c1 + d2) | 0, b0 = rotate(b0 ^ c1, 12);
      a3 = (a3 + b0) | 0, d2 = rotate(d2 ^ a3, 8);
      c1 = (c1 + d2) | 0, b0 = rotate(b0 ^ c1, 7);
    }
    const w = this.#words;
    w[0] = a0 + s[0]!, w[1] = a1 + s[1]!, w[2] = a2 + s[2]!;
    w[3] = a3 + s[3]!, w[4] = b0 + s[4]!, w[5] = b1 + s[5]!;
    w[6] = b2 + s[6]!, w[7] = b3 + s[7]!, w[8] = c0 + s[8]!;
    w[9] = c1 + s[9]!, w[10] = c2 + s[10]!, w[11] = c3 + s[11]!;
    w[12] = d0 + s[12]!, w[13] = d1 + s[13]!, w[14] = d2 + s[14]!;
    w[15] = d3 + s[15]!;
  }
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

function swap(value: number): number {
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) |
    ((value >>> 8) & 0xff00) | (value >>> 24);
}
