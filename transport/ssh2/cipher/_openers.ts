/**
 * Decrypts packets, each kind of cipher in its way.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { ChaCha20 } from "./_chacha20.ts";
import { MAC_BYTES, type Poly1305 } from "./_poly1305.ts";

const LENGTH_BYTES = 4;
const KEY_BYTES = 32;
const FIRST_BLOCK: Uint8Array = new Uint8Array(64);

/** Up to this size ChaCha20 is computed here, beyond it by node:crypto. */
const SMALL_BYTES = 512;

/** Opens the packets of one set of keys, in their order. */
export interface Opener {
  /** So many bytes tell how long a packet is. */
  readonly headBytes: number;
  /** What follows the head is a multiple of this, and then a MAC. */
  readonly blockBytes: number;
  /** How long the MAC is. */
  readonly macBytes: number;
  /**
   * Returns the length that a packet says it has.
   *
   * @param head Its first bytes.
   * @param number Its number.
   */
  lengthIn(head: Buffer, number: number): number;
  /**
   * Decrypts a packet.
   *
   * @param head Its first bytes.
   * @param sealed All that follows.
   * @param number Its number.
   * @returns All but its length, in memory of its own.
   * @throws If it is not as it was sent.
   */
  open(head: Buffer, sealed: Uint8Array, number: number): Buffer;
  /** Ends what is kept in node:crypto: Deno does not collect it. */
  end(): void;
}

/** The keys of a direction, and how they are used. */
export interface OpenerKeys {
  /** The cipher, as node:crypto calls it. */
  readonly cipher: string;
  readonly blockBytes: number;
  readonly key: Buffer;
  readonly iv: Buffer;
  /** Missing with a cipher that has its own. */
  readonly mac: MacKeys | undefined;
}

/** The same for a MAC. */
export interface MacKeys {
  /** The hash, as node:crypto calls it. */
  readonly hash: string;
  readonly bytes: number;
  /** Whether it is of the encrypted packet, whose length then is in clear. */
  readonly isOfSealed: boolean;
  readonly key: Buffer;
}

/**
 * Makes what opens the packets of one direction.
 *
 * @param keys Its keys.
 * @param poly1305 Computes the MACs of ChaCha20; `undefined` if it is not loaded.
 * @returns `undefined` if it cannot be opened here.
 */
export function openerFor(
  keys: OpenerKeys,
  poly1305: Poly1305 | undefined,
): Opener | undefined {
  const { cipher, key, mac } = keys;
  if (mac !== undefined) return new MacOpener(keys, mac);
  if (cipher !== "chacha20") return new GcmOpener(keys);
  return poly1305 && ChaCha20.isUsable
    ? new ChaChaOpener(key.subarray(0, 32), key.subarray(32), poly1305)
    : undefined;
}

/** `chacha20-poly1305@openssh.com`. */
export class ChaChaOpener implements Opener {
  readonly headBytes: number = LENGTH_BYTES;
  readonly blockBytes = 8;
  readonly macBytes: number = MAC_BYTES;
  readonly #main: ChaChaKey;
  readonly #length: ChaCha20;
  readonly #poly1305: Poly1305;
  readonly #plainHead = Buffer.alloc(LENGTH_BYTES);
  readonly #macKey = new Uint8Array(KEY_BYTES);

  /**
   * @param main The key of the content.
   * @param length The key of the length.
   * @param poly1305 Computes MACs.
   */
  constructor(main: Uint8Array, length: Uint8Array, poly1305: Poly1305) {
    this.#main = new ChaChaKey(main);
    this.#length = new ChaCha20(length);
    this.#poly1305 = poly1305;
  }

  lengthIn(head: Buffer, number: number): number {
    this.#length.xor(number, 0, head, this.#plainHead);
    return this.#plainHead.readUInt32BE(0);
  }

  open(head: Buffer, sealed: Uint8Array, number: number): Buffer {
    const end = sealed.length - MAC_BYTES;
    const content = sealed.subarray(0, end);
    const text = this.#main.open(number, content, this.#macKey);
    const mac = this.#poly1305.mac(head, content, this.#macKey);
    checkMac(mac, sealed.subarray(end));
    return text;
  }

  end(): void {}
}

/** AES-GCM, of RFC 5647. */
class GcmOpener implements Opener {
  readonly headBytes: number = LENGTH_BYTES;
  readonly blockBytes: number;
  readonly macBytes: number = MAC_BYTES;
  readonly #cipher: "aes-128-gcm";
  readonly #key: Buffer;
  readonly #iv: Buffer;

  constructor({ cipher, blockBytes, key, iv }: OpenerKeys) {
    this.blockBytes = blockBytes;
    // Any that is like it, for the type of what is made.
    this.#cipher = cipher as "aes-128-gcm";
    this.#key = key;
    this.#iv = Buffer.from(iv);
  }

  lengthIn(head: Buffer): number {
    return head.readUInt32BE(0);
  }

  open(head: Buffer, sealed: Uint8Array): Buffer {
    const end = sealed.length - MAC_BYTES;
    const decipher = createDecipheriv(this.#cipher, this.#key, this.#iv);
    decipher.setAutoPadding(false);
    decipher.setAAD(head);
    const text = decipher.update(sealed.subarray(0, end));
    decipher.setAuthTag(sealed.subarray(end));
    decipher.final(); // throws
    // Its last 8 bytes count packets.
    this.#iv.writeBigUInt64BE(
      BigInt.asUintN(64, this.#iv.readBigUInt64BE(4) + 1n),
      4,
    );
    return text;
  }

  end(): void {}
}

/** A stream or block cipher with a MAC beside it. */
class MacOpener implements Opener {
  readonly headBytes: number;
  readonly blockBytes: number;
  readonly macBytes: number;
  readonly #decipher: ReturnType<typeof createDecipheriv>;
  readonly #mac: MacKeys;
  readonly #number = Buffer.alloc(4);
  /** The head, decrypted, if the length is not in clear. */
  #first: Buffer = Buffer.alloc(0);

  constructor({ cipher, blockBytes, key, iv }: OpenerKeys, mac: MacKeys) {
    this.headBytes = mac.isOfSealed ? LENGTH_BYTES : blockBytes;
    this.blockBytes = blockBytes;
    this.macBytes = mac.bytes;
    this.#mac = mac;
    this.#decipher = createDecipheriv(cipher, key, iv);
    this.#decipher.setAutoPadding(false);
  }

  lengthIn(head: Buffer): number {
    if (this.#mac.isOfSealed) return head.readUInt32BE(0);
    this.#first = this.#decipher.update(head);
    return this.#first.readUInt32BE(0);
  }

  open(head: Buffer, sealed: Uint8Array, number: number): Buffer {
    const end = sealed.length - this.macBytes;
    const content = sealed.subarray(0, end);
    const mac = sealed.subarray(end);
    if (this.#mac.isOfSealed) {
      this.#check(mac, number, head, content);
      return this.#decipher.update(content);
    }
    const rest = this.#decipher.update(content);
    const text = Buffer.concat([this.#first, rest]);
    this.#check(mac, number, text);
    return text.subarray(LENGTH_BYTES);
  }

  #check(mac: Uint8Array, number: number, ...parts: Uint8Array[]): void {
    this.#number.writeUInt32BE(number);
    const hmac = createHmac(this.#mac.hash, this.#mac.key);
    for (const part of [this.#number, ...parts]) hmac.update(part);
    checkMac(hmac.digest().subarray(0, this.macBytes), mac);
  }

  end(): void {
    try {
      this.#decipher.final();
    } catch {
      // It ended within a packet.
    }
  }
}

/** The key of the content of packets, and of their MACs. */
export class ChaChaKey {
  readonly #key: Uint8Array;
  readonly #small: ChaCha20;
  readonly #nonce = Buffer.alloc(16);

  /** @param key 32 bytes. */
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
function checkMac(computed: Uint8Array, mac: Uint8Array): void {
  let difference = computed.length ^ mac.length;
  for (let i = 0; i < mac.length; i++) difference |= computed[i]! ^ mac[i]!;
  if (difference !== 0) throw new Error("Invalid MAC");
}
