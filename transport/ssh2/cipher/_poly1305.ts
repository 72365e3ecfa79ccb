/**
 * Poly1305, the MAC of ChaCha20-Poly1305 packets, of ssh2's own WebAssembly
 * module, with its buffers laid out once.
 *
 * @module
 */

import createPoly1305 from "ssh2/lib/protocol/crypto/poly1305.js";
import type { RawPoly1305 } from "../fence/internals.ts";

const KEY_BYTES = 32;
const LENGTH_BYTES = 4;
/** How long a MAC is. */
export const MAC_BYTES = 16;
/** Room for the largest packet that ssh2 receives. Others may be larger. */
const USUAL_BYTES = 36 * 1024;

/** Computes MACs, one at a time. */
export class Poly1305 {
  readonly #module: RawPoly1305;
  readonly #mac: number;
  readonly #length: number;
  readonly #key: number;
  #data: number;
  #capacity = USUAL_BYTES;

  /** @param module The module, for whose memory nobody else is responsible. */
  constructor(module: RawPoly1305) {
    this.#module = module;
    this.#mac = module._malloc(MAC_BYTES);
    this.#length = module._malloc(LENGTH_BYTES);
    this.#key = module._malloc(KEY_BYTES);
    this.#data = module._malloc(USUAL_BYTES);
  }

  /** Loads the module. */
  static async load(): Promise<Poly1305> {
    return new Poly1305(await createPoly1305() as RawPoly1305);
  }

  /**
   * The MAC of a packet: its length and its content, both encrypted.
   *
   * @returns 16 bytes, to be used before the next call.
   */
  mac(length: Uint8Array, data: Uint8Array, key: Uint8Array): Uint8Array {
    if (data.length > this.#capacity) this.#grow(data.length);
    const module = this.#module;
    const heap = module.HEAPU8;
    heap.set(length, this.#length);
    heap.set(data, this.#data);
    heap.set(key, this.#key);
    module._poly1305_auth(
      this.#mac,
      this.#length,
      length.length,
      this.#data,
      data.length,
      this.#key,
    );
    return heap.subarray(this.#mac, this.#mac + MAC_BYTES);
  }

  #grow(bytes: number): void {
    const data = this.#module._malloc(bytes);
    if (data === 0) throw new Error(`No memory for a packet of ${bytes} bytes`);
    this.#module._free(this.#data);
    this.#data = data;
    this.#capacity = bytes;
  }
}
