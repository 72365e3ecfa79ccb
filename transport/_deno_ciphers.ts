/**
 * Ciphers for ssh2 that leave nothing behind in Deno.
 *
 * Deno keeps each cipher of node:crypto in a table until its `final()` is
 * called; garbage collection does not take it out. ssh2 never calls it for
 * stream ciphers, and makes three ChaCha20 ciphers for every packet, so that a
 * connection would lose memory with every packet, for ever. Here the same work
 * is done with two ciphers for each packet, both of which are ended.
 *
 * Node and Bun collect their ciphers; there nothing is changed.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createCipheriv, timingSafeEqual } from "node:crypto";
import createPoly1305 from "ssh2/lib/protocol/crypto/poly1305.js";

/** The largest packet that ssh2 accepts, in bytes. */
const MAX_PACKET_BYTES = 35_000;
/** Where the packets of a block cipher's size end. */
const BLOCK_BYTES = 8;
const MAC_BYTES = 16;
const LENGTH_BYTES = 4;

/** What ssh2's cipher objects have in common. */
interface RawCipher {
  free(): void;
}

/** ssh2's ChaCha20-Poly1305 of the sending side. */
interface RawChaChaCipher extends RawCipher {
  readonly _encKeyMain: Uint8Array;
  readonly _encKeyPktLen: Uint8Array;
  readonly _dead: boolean;
  outSeqno: number;
  _onWrite(data: Uint8Array): void;
  encrypt(packet: Buffer): void;
}

/** ssh2's ChaCha20-Poly1305 of the receiving side. */
interface RawChaChaDecipher extends RawCipher {
  readonly _decKeyMain: Uint8Array;
  readonly _decKeyPktLen: Uint8Array;
  inSeqno: number;
  _onPayload(payload: Buffer): number | boolean | undefined;
  decrypt(
    data: Uint8Array,
    position: number,
    length: number,
  ): number | boolean | undefined;
}

/** A cipher of ssh2 that keeps one of node:crypto. */
interface RawStreamCipher extends RawCipher {
  readonly _cipherInstance?: { final(): unknown } | null;
  readonly _decipherInstance?: { final(): unknown } | null;
}

type Slot = "_cipher" | "_decipher";

const isDeno = "Deno" in globalThis;

/** Poly1305 of ssh2's own WebAssembly module, with its buffers laid out once. */
class Poly1305 {
  readonly #module: Poly1305Module;
  readonly #mac: number;
  readonly #length: number;
  readonly #key: number;
  readonly #data: number;

  constructor(module: Poly1305Module) {
    this.#module = module;
    this.#mac = module._malloc(MAC_BYTES);
    this.#length = module._malloc(LENGTH_BYTES);
    this.#key = module._malloc(32);
    this.#data = module._malloc(MAX_PACKET_BYTES + BLOCK_BYTES);
  }

  /** The MAC of a packet: its length and its content, both encrypted. */
  mac(length: Uint8Array, data: Uint8Array, key: Uint8Array): Uint8Array {
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
}

interface Poly1305Module {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _poly1305_auth(
    mac: number,
    length: number,
    lengthBytes: number,
    data: number,
    dataBytes: number,
    key: number,
  ): void;
}

let poly1305: Poly1305 | undefined;
let loading: Promise<void> | undefined;

/** Makes ready what {@linkcode endCiphers} needs. */
export function prepareCiphers(): Promise<void> {
  if (!isDeno) return Promise.resolve();
  return loading ??= (createPoly1305() as Promise<Poly1305Module>)
    .then((module) => {
      poly1305 = new Poly1305(module);
    });
}

/**
 * Sees to it that the ciphers of a connection end, now and after each key
 * exchange.
 *
 * @param protocol ssh2's protocol object, before the key exchange.
 */
export function endCiphers(protocol: object): void {
  if (poly1305 === undefined) return;
  watch(protocol, "_cipher");
  watch(protocol, "_decipher");
}

/** ssh2 puts a new cipher in place after each key exchange. */
function watch(protocol: object, slot: Slot): void {
  let current = (protocol as Record<Slot, RawCipher | undefined>)[slot];
  Object.defineProperty(protocol, slot, {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (cipher: RawCipher | undefined) => {
      if (cipher !== undefined) mend(cipher);
      current = cipher;
    },
  });
}

function mend(cipher: RawCipher): void {
  switch (cipher.constructor.name) {
    case "ChaChaPolyCipherNative":
      mendChaChaCipher(cipher as RawChaChaCipher);
      break;
    case "ChaChaPolyDecipherNative":
      mendChaChaDecipher(cipher as RawChaChaDecipher);
      break;
    case "GenericCipherNative":
    case "GenericDecipherNative":
    case "AESGCMDecipherNative":
      mendStreamCipher(cipher as RawStreamCipher);
      break;
  }
}

function mendStreamCipher(cipher: RawStreamCipher): void {
  const free = cipher.free;
  cipher.free = () => {
    free.call(cipher);
    // Not in this turn: it may be at work on the packet that ended it all.
    queueMicrotask(() => {
      try {
        (cipher._cipherInstance ?? cipher._decipherInstance)?.final();
      } catch {
        // An unfinished packet, or ended before: it is gone either way.
      }
    });
  };
}

function mendChaChaCipher(cipher: RawChaChaCipher): void {
  const nonce = Buffer.alloc(16);
  cipher.encrypt = (packet) => {
    if (cipher._dead) return;
    nonce.writeUInt32BE(cipher.outSeqno, 12);
    const length = applyStream(
      cipher._encKeyPktLen,
      nonce,
      packet.subarray(0, LENGTH_BYTES),
    );
    const { key, text } = applyKeyed(
      cipher._encKeyMain,
      nonce,
      packet.subarray(LENGTH_BYTES),
    );
    const mac = poly1305!.mac(length, text, key);
    // One write, where ssh2 has three: what goes out together costs less, on
    // both sides.
    const sealed = Buffer.allocUnsafe(LENGTH_BYTES + text.length + MAC_BYTES);
    sealed.set(length, 0);
    sealed.set(text, LENGTH_BYTES);
    sealed.set(mac, LENGTH_BYTES + text.length);
    cipher._onWrite(sealed);
    cipher.outSeqno = (cipher.outSeqno + 1) >>> 0;
  };
}

/** What has come of a packet: its encrypted length, content and MAC. */
class Assembly {
  readonly head: Buffer = Buffer.alloc(LENGTH_BYTES);
  #bytes: Buffer = Buffer.alloc(0);
  #have = 0;
  /** How long the content is; 0 until the head is complete. */
  length = 0;

  /** Takes bytes for the head; gives the position after them. */
  takeHead(data: Uint8Array, from: number, to: number): number {
    const end = Math.min(to, from + LENGTH_BYTES - this.#have);
    this.head.set(data.subarray(from, end), this.#have);
    this.#have += end - from;
    return end;
  }

  /** Whether the head is complete. */
  get hasHead(): boolean {
    return this.length > 0 || this.#have === LENGTH_BYTES;
  }

  /** The head is complete, and says so. */
  begin(length: number): void {
    this.length = length;
    this.#have = 0;
  }

  /** How many bytes of content and MAC are missing. */
  get missing(): number {
    return this.length + MAC_BYTES - this.#have;
  }

  /** Whether nothing of content and MAC has come yet. */
  get isEmpty(): boolean {
    return this.#have === 0;
  }

  /** Keeps a part; gives all of it once it is complete. */
  keep(part: Uint8Array): Uint8Array | undefined {
    if (this.#have === 0) {
      this.#bytes = Buffer.allocUnsafe(this.length + MAC_BYTES);
    }
    this.#bytes.set(part, this.#have);
    this.#have += part.length;
    return this.missing === 0 ? this.#bytes : undefined;
  }

  /** Gets ready for the next packet. */
  reset(): void {
    this.length = this.#have = 0;
  }
}

function mendChaChaDecipher(decipher: RawChaChaDecipher): void {
  const nonce = Buffer.alloc(16);
  const packet = new Assembly();

  const readHead = () => {
    nonce.writeUInt32BE(decipher.inSeqno, 12);
    const length = applyStream(decipher._decKeyPktLen, nonce, packet.head)
      .readUInt32BE(0);
    if (
      length > MAX_PACKET_BYTES || length < BLOCK_BYTES ||
      length % BLOCK_BYTES !== 0
    ) {
      throw new Error("Bad packet length");
    }
    packet.begin(length);
  };

  const open = (sealed: Uint8Array): Buffer => {
    const content = sealed.subarray(0, packet.length);
    const mac = sealed.subarray(packet.length);
    const { key, text } = applyKeyed(decipher._decKeyMain, nonce, content);
    if (!timingSafeEqual(poly1305!.mac(packet.head, content, key), mac)) {
      throw new Error("Invalid MAC");
    }
    packet.reset();
    decipher.inSeqno = (decipher.inSeqno + 1) >>> 0;
    return text.subarray(1, text.length - text[0]!);
  };

  decipher.decrypt = (data, position, length) => {
    let p = position;
    while (p < length) {
      if (packet.length === 0) {
        p = packet.takeHead(data, p, length);
        if (!packet.hasHead) return;
        readHead();
      }
      const end = Math.min(length, p + packet.missing);
      const part = data.subarray(p, end);
      p = end;
      // A packet that came in one piece is not copied.
      const isWhole = packet.isEmpty && part.length === packet.missing;
      const sealed = isWhole ? part : packet.keep(part);
      if (sealed === undefined) return;
      const result = decipher._onPayload(open(sealed));
      if (result !== undefined) return result === false ? p : result;
    }
  };
}

/** ChaCha20 from its first block on. */
function applyStream(
  key: Uint8Array,
  nonce: Uint8Array,
  data: Uint8Array,
): Buffer {
  const cipher = createCipheriv("chacha20", key, nonce);
  const result = cipher.update(data);
  cipher.final();
  return result;
}

const FIRST_BLOCK = Buffer.alloc(64);

/** The MAC key, which is of the first block, and ChaCha20 from the second on. */
function applyKeyed(
  key: Uint8Array,
  nonce: Uint8Array,
  data: Uint8Array,
): { key: Buffer; text: Buffer } {
  const cipher = createCipheriv("chacha20", key, nonce);
  const block = cipher.update(FIRST_BLOCK);
  const text = cipher.update(data);
  cipher.final();
  return { key: block.subarray(0, 32), text };
}
