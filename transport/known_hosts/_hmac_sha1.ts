/**
 * HMAC-SHA1 of one name under many salts. A hashed known_hosts file needs one
 * HMAC per line and lookup; `createHmac` costs 6 µs each in Deno, nearly all
 * of it in building the object, and this 1 µs.
 *
 * @module
 */

const IPAD = 0x36363636;
const OPAD = 0x5c5c5c5c;
const IV = Int32Array.of(
  0x67452301,
  0xefcdab89,
  0x98badcfe,
  0x10325476,
  0xc3d2e1f0,
);

/** Tells whether hashed names stand for one name. */
export class HashedNameMatcher {
  /** The name, padded as the second and later blocks of the inner hash. */
  readonly #message: Int32Array;
  readonly #schedule = new Int32Array(80);
  readonly #state = new Int32Array(5);
  readonly #inner = new Int32Array(5);

  /** @param name The name, as bytes. */
  constructor(name: Uint8Array) {
    const blocks = Math.ceil((name.length + 9) / 64);
    const padded = new DataView(new ArrayBuffer(blocks * 64));
    name.forEach((byte, i) => padded.setUint8(i, byte));
    padded.setUint8(name.length, 0x80);
    padded.setUint32(blocks * 64 - 4, (64 + name.length) * 8);
    this.#message = Int32Array.from(
      { length: blocks * 16 },
      (_, i) => padded.getInt32(i * 4),
    );
  }

  /**
   * Compares the name under the salt `words[at..at+5]` with the digest
   * `words[at+5..at+10]`, both as big-endian words.
   */
  matches(words: ArrayLike<number>, at: number): boolean {
    const state = this.#state;
    const schedule = this.#schedule;
    this.#start(words, at, IPAD);
    for (let block = 0; block < this.#message.length; block += 16) {
      for (let i = 0; i < 16; i++) schedule[i] = this.#message[block + i]!;
      compress(state, schedule);
    }
    this.#inner.set(state);
    this.#start(words, at, OPAD);
    schedule.fill(0, 5, 16);
    schedule.set(this.#inner);
    schedule[5] = 0x80000000;
    schedule[15] = (64 + 20) * 8;
    compress(state, schedule);
    for (let i = 0; i < 5; i++) {
      if (state[i] !== words[at + 5 + i]) return false;
    }
    return true;
  }

  /** Hashes the block of the salt, which is the key of the HMAC. */
  #start(words: ArrayLike<number>, at: number, pad: number): void {
    this.#state.set(IV);
    this.#schedule.fill(pad, 5, 16);
    for (let i = 0; i < 5; i++) this.#schedule[i] = words[at + i]! ^ pad;
    compress(this.#state, this.#schedule);
  }
}

/** One round of SHA-1 (FIPS 180-4, 6.1.2) over the first 16 words. */
function compress(state: Int32Array, w: Int32Array): void {
  for (let i = 16; i < 80; i++) {
    const x = w[i - 3]! ^ w[i - 8]! ^ w[i - 14]! ^ w[i - 16]!;
    w[i] = (x << 1) | (x >>> 31);
  }
  let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!;
  let e = state[4]!;
  for (let i = 0; i < 80; i++) {
    // Every sum is cut to 32 bits at once: a larger one would be a double.
    const f = i < 20
      ? (((b & c) | (~b & d)) + 0x5a827999) | 0
      : i < 40
      ? ((b ^ c ^ d) + 0x6ed9eba1) | 0
      : i < 60
      ? (((b & c) | (b & d) | (c & d)) - 0x70e44324) | 0
      : ((b ^ c ^ d) - 0x359d3e2a) | 0;
    const g = (((a << 5) | (a >>> 27)) + f) | 0;
    const t = (((g + e) | 0) + w[i]!) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = t;
  }
  state[0] = (state[0]! + a) | 0;
  state[1] = (state[1]! + b) | 0;
  state[2] = (state[2]! + c) | 0;
  state[3] = (state[3]! + d) | 0;
  state[4] = (state[4]! + e) | 0;
}
