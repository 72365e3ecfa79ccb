/**
 * Ciphers for ssh2 that leave nothing behind in Deno.
 *
 * Deno keeps each cipher of node:crypto in a table until its `final()` is
 * called; garbage collection does not take it out. ssh2 never calls it for
 * stream ciphers, and makes three ChaCha20 ciphers for every packet, so that a
 * connection would lose memory with every packet, for ever. Here large packets
 * take one, which is ended, and small ones none.
 *
 * Node and Bun collect their ciphers; there nothing is changed.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createCipheriv, randomFillSync } from "node:crypto";
import { ChaCha20 } from "./_chacha20.ts";
import type {
  RawAnyCipher,
  RawChaChaCipher,
  RawChaChaDecipher,
  RawCiphers,
  RawStreamCipher,
} from "../fence/internals.ts";
import { Poly1305 } from "./_poly1305.ts";

/** The largest packet that ssh2 accepts, in bytes: what buffers are shared for. */
const MAX_PACKET_BYTES = 35_000;
/** And OpenSSH: a login banner may be as long. */
const MAX_BANNER_BYTES = 256 * 1024;
/** Where the packets of a block cipher's size end. */
const BLOCK_BYTES = 8;
const MAC_BYTES = 16;
const LENGTH_BYTES = 4;
const KEY_BYTES = 32;
const FIRST_BLOCK: Uint8Array = new Uint8Array(64);
const NOTHING: Uint8Array = new Uint8Array();

/** Up to this size ChaCha20 is computed here, beyond it by node:crypto. */
const SMALL_BYTES = 512;

const isDeno = "Deno" in globalThis;

let poly1305: Poly1305 | undefined;
let loading: Promise<void> | undefined;

/** Makes ready what {@linkcode endCiphers} needs. */
export function prepareCiphers(): Promise<void> {
  if (!isDeno || !ChaCha20.isUsable || poly1305 !== undefined) {
    return Promise.resolve();
  }
  // A failure is not kept: the next dial tries again.
  return loading ??= Poly1305.load()
    .then((loaded) => void (poly1305 = loaded))
    .finally(() => loading = undefined);
}

/**
 * Sees to it that the ciphers of a connection end, now and after each key
 * exchange.
 *
 * @param protocol ssh2's protocol object, before the key exchange.
 */
export function endCiphers(protocol: object): void {
  if (poly1305 === undefined) return;
  watch(protocol as RawCiphers, "_cipher");
  watch(protocol as RawCiphers, "_decipher");
}

/** ssh2 puts a new cipher in place after each key exchange. */
function watch(protocol: RawCiphers, slot: keyof RawCiphers): void {
  let current = protocol[slot];
  Object.defineProperty(protocol, slot, {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (cipher: RawAnyCipher | undefined) => {
      if (cipher !== undefined) mend(cipher);
      current = cipher;
    },
  });
}

/** Told apart by what they have: a minifier changes the names of classes. */
function mend(cipher: RawAnyCipher): void {
  if ("_encKeyMain" in cipher) mendChaChaCipher(cipher);
  else if ("_decKeyMain" in cipher) mendChaChaDecipher(cipher);
  else if ("_cipherInstance" in cipher || "_decipherInstance" in cipher) {
    mendStreamCipher(cipher);
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
  const main = new ChaChaKey(cipher._encKeyMain);
  const head = new ChaCha20(cipher._encKeyPktLen);
  const key = new Uint8Array(KEY_BYTES);
  cipher.allocPacket = allocPacket;
  cipher.encrypt = (packet) => {
    if (cipher._dead) return;
    const { outSeqno } = cipher;
    // One write, where ssh2 has three: what goes out together costs less, on
    // both sides.
    const end = packet.length;
    const sealed = Buffer.allocUnsafe(end + MAC_BYTES);
    head.xor(outSeqno, 0, packet, sealed, 0, LENGTH_BYTES);
    main.seal(outSeqno, packet, key, sealed);
    const text = sealed.subarray(0, end);
    sealed.set(poly1305!.mac(NOTHING, text, key), end);
    // Counted before it is sent: no number may serve for two packets,
    // whatever happens while the first is written.
    cipher.outSeqno = (outSeqno + 1) >>> 0;
    cipher._onWrite(sealed);
  };
}

const padding = new Uint8Array(4096);
let paddingAt = padding.length;

/** As ssh2 makes it, but it does not ask for random bytes for each. */
function allocPacket(payloadBytes: number): Buffer {
  const bytes = 1 + payloadBytes;
  let pad = BLOCK_BYTES - bytes % BLOCK_BYTES;
  if (pad < 4) pad += BLOCK_BYTES;
  const packet = Buffer.allocUnsafe(LENGTH_BYTES + bytes + pad);
  packet.writeUInt32BE(bytes + pad, 0);
  packet[LENGTH_BYTES] = pad;
  if (paddingAt + pad > padding.length) {
    randomFillSync(padding);
    paddingAt = 0;
  }
  for (let at = packet.length - pad; at < packet.length; at++) {
    packet[at] = padding[paddingAt++]!;
  }
  return packet;
}

/** Buffers for packets of any size that nobody fills at the moment. */
const spareBuffers: Buffer[] = [];
/** So many are kept, for all connections together. */
const MAX_SPARE_BUFFERS = 4;
/** Up to this size a packet gets a buffer of its own. */
const SPARE_FROM_BYTES = 4096;

/**
 * What has come of a packet: its encrypted length, content and MAC.
 *
 * Large packets share a few buffers, since nothing of a buffer is kept once its
 * packet is decrypted. A new one for each would be as much garbage as data.
 */
class Assembly {
  readonly head: Buffer = Buffer.alloc(LENGTH_BYTES);
  #bytes: Buffer | undefined;
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
    const bytes = this.#bytes ??= bufferFor(this.length + MAC_BYTES);
    bytes.set(part, this.#have);
    this.#have += part.length;
    return this.missing === 0
      ? bytes.subarray(0, this.length + MAC_BYTES)
      : undefined;
  }

  /** Gets ready for the next packet; nothing of this one may be in use. */
  reset(): void {
    const bytes = this.#bytes;
    this.#bytes = undefined;
    this.length = this.#have = 0;
    if (
      bytes?.length === MAX_PACKET_BYTES + MAC_BYTES &&
      spareBuffers.length < MAX_SPARE_BUFFERS
    ) spareBuffers.push(bytes);
  }
}

function bufferFor(bytes: number): Buffer {
  if (bytes < SPARE_FROM_BYTES || bytes > MAX_PACKET_BYTES + MAC_BYTES) {
    return Buffer.allocUnsafe(bytes);
  }
  return spareBuffers.pop() ??
    Buffer.allocUnsafe(MAX_PACKET_BYTES + MAC_BYTES);
}

function mendChaChaDecipher(decipher: RawChaChaDecipher): void {
  const main = new ChaChaKey(decipher._decKeyMain);
  const head = new ChaCha20(decipher._decKeyPktLen);
  const packet = new Assembly();
  const plainHead = Buffer.alloc(LENGTH_BYTES);
  const key = new Uint8Array(KEY_BYTES);

  const readHead = () => {
    head.xor(decipher.inSeqno, 0, packet.head, plainHead);
    const length = plainHead.readUInt32BE(0);
    if (
      length > MAX_BANNER_BYTES || length < BLOCK_BYTES ||
      length % BLOCK_BYTES !== 0
    ) {
      throw new Error("Bad packet length");
    }
    packet.begin(length);
  };

  const open = (sealed: Uint8Array): Buffer => {
    const content = sealed.subarray(0, packet.length);
    const mac = sealed.subarray(packet.length);
    const text = main.open(decipher.inSeqno, content, key);
    if (!isSame(poly1305!.mac(packet.head, content, key), mac)) {
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

/** The key of the content of packets, and of their MACs. */
class ChaChaKey {
  readonly #key: Uint8Array;
  readonly #small: ChaCha20;
  readonly #nonce = Buffer.alloc(16);

  constructor(key: Uint8Array) {
    this.#key = key;
    this.#small = new ChaCha20(key);
  }

  /**
   * Encrypts the content of a packet: all but its length.
   *
   * @param number The number of the packet.
   * @param packet The packet.
   * @param macKey Where the key of the packet's MAC goes: it is of the first
   * block of the stream, and the content is of those after it.
   * @param sealed Where to, to the places that it has in the packet.
   */
  seal(
    number: number,
    packet: Uint8Array,
    macKey: Uint8Array,
    sealed: Buffer,
  ): void {
    if (packet.length <= SMALL_BYTES) {
      this.#small.copy(number, 0, macKey);
      this.#small.xor(number, 1, packet, sealed, LENGTH_BYTES);
    } else {
      const content = packet.subarray(LENGTH_BYTES);
      sealed.set(this.#byCrypto(number, content, macKey), LENGTH_BYTES);
    }
  }

  /**
   * Decrypts the content of a packet.
   *
   * @param number The number of the packet.
   * @param data The content.
   * @param macKey Where the key of the packet's MAC goes.
   * @returns The result, in memory of its own, and not of Buffer's pool, since
   * output may keep a piece of it for long.
   */
  open(number: number, data: Uint8Array, macKey: Uint8Array): Buffer {
    if (data.length > SMALL_BYTES) return this.#byCrypto(number, data, macKey);
    const out = Buffer.from(new ArrayBuffer(data.length));
    this.#small.copy(number, 0, macKey);
    this.#small.xor(number, 1, data, out);
    return out;
  }

  #byCrypto(number: number, data: Uint8Array, macKey: Uint8Array): Buffer {
    this.#nonce.writeUInt32BE(number, 12);
    const cipher = createCipheriv("chacha20", this.#key, this.#nonce);
    macKey.set(cipher.update(FIRST_BLOCK).subarray(0, KEY_BYTES));
    const result = cipher.update(data);
    cipher.final();
    return result;
  }
}

/** Compares two MACs in a time that tells nothing of them. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < MAC_BYTES; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}
