/**
 * Packets that are longer than ssh2 reads, until the login is done.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
// @ts-types="@types/ssh2"
import type { NegotiatedAlgorithms } from "ssh2";
import ssh2Crypto from "ssh2/lib/protocol/crypto.js";
import type {
  RawDecipher,
  RawKeyExchange,
  RawOnPayload,
  RawProtocol,
} from "../fence/internals.ts";
import { checkDecipher, checkKeyExchange } from "../fence/version_check.ts";
import { loadedPoly1305 } from "./ciphers.ts";
import { openerFor, type OpenerKeys } from "./_openers.ts";
import {
  BAD_LENGTH,
  SealedReader,
  USUAL_PACKET_BYTES,
} from "./_sealed_reader.ts";
import { string } from "../_bytes.ts";

/** As OpenSSH has it: a login banner may be as long. */
export const MAX_LOGIN_PACKET_BYTES: number = 256 * 1024;

/**
 * How much is kept of what came since the keys were agreed on. What a server
 * says until the login is far less, but for a banner.
 */
const MAX_KEPT_BYTES = 64 * 1024;

/**
 * Returns whether an error says that a packet is too long.
 *
 * @param error An error of ssh2.
 */
export function isTooLong(error: Error): boolean {
  return error.message.startsWith(BAD_LENGTH);
}

/**
 * Takes over from ssh2 at the first packet that is too long for it. Its
 * deciphers, three in JavaScript and three in native code, cannot be told
 * another limit, nor asked for their keys: those are computed here once more,
 * and what has come is read again from its beginning.
 *
 * At the login the limit becomes that of ssh2. A connection that was taken over
 * stays so until its next key exchange.
 */
export class LongPackets {
  readonly #protocol: RawProtocol;
  #exchange: RawKeyExchange | undefined;
  #secret: Buffer | undefined;
  #armed: Armed | undefined;

  /** @param protocol ssh2's protocol object. */
  constructor(protocol: RawProtocol) {
    this.#protocol = protocol;
  }

  /**
   * Wraps what is given each packet of the first exchange.
   *
   * @param onPayload ssh2's function.
   */
  readonly readFirst = (onPayload: RawOnPayload): RawOnPayload => (payload) => {
    const exchange = this.#protocol._kex;
    if (exchange !== undefined && exchange !== this.#exchange) {
      this.#listenTo(exchange);
    }
    return onPayload(payload);
  };

  #listenTo(exchange: RawKeyExchange): void {
    checkKeyExchange(exchange);
    this.#exchange = exchange;
    const computeSecret = exchange.computeSecret.bind(exchange);
    exchange.computeSecret = (reply) => {
      const secret = computeSecret(reply);
      if (!(secret instanceof Error)) this.#secret = secret;
      return secret;
    };
  }

  /**
   * New keys are in use, and nothing was read with them.
   *
   * @param negotiated What was agreed on.
   */
  renewed(negotiated: NegotiatedAlgorithms): void {
    const [exchange, secret] = [this.#exchange, this.#secret];
    const decipher = this.#protocol._decipher;
    this.end();
    // Of a later exchange: that it comes before the login is not usual.
    if (exchange === undefined || secret === undefined) return;
    if (decipher === undefined) return; // it has ended
    checkDecipher(decipher);
    this.#armed = new Armed(
      decipher,
      () => keysOf(exchange, secret, negotiated),
    );
  }

  /** The login is done, or there will be none. */
  end(): void {
    this.#secret = undefined;
    this.#exchange = undefined;
    this.#armed?.end();
    this.#armed = undefined;
  }
}

/** One decipher whose limit may be passed. */
class Armed {
  readonly #decipher: RawDecipher;
  readonly #decrypt: RawDecipher["decrypt"];
  readonly #keys: () => OpenerKeys;
  /** The number of the first packet. */
  readonly #first: number;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #isOver = false;
  #reader: SealedReader | undefined;

  constructor(decipher: RawDecipher, keys: () => OpenerKeys) {
    this.#decipher = decipher;
    this.#decrypt = decipher.decrypt;
    this.#keys = keys;
    this.#first = decipher.inSeqno;
    decipher.decrypt = (data, position, end) => this.#read(data, position, end);
  }

  #read(
    data: Uint8Array,
    position: number,
    end: number,
  ): ReturnType<RawDecipher["decrypt"]> {
    // Copied before: some decrypt in place.
    const chunk = new Uint8Array(data.subarray(position, end));
    try {
      const result = this.#decrypt.call(this.#decipher, data, position, end);
      const at = typeof result === "number" ? result : end;
      if (!this.#isOver) this.#keep(chunk.subarray(0, at - position));
      return result;
    } catch (error) {
      if (this.#isOver || !(error instanceof Error) || !isTooLong(error)) {
        throw error;
      }
      const result = this.#takeOver(error, chunk);
      return typeof result === "number" ? position + result : result;
    }
  }

  #keep(bytes: Uint8Array): void {
    this.#keptBytes += bytes.length;
    if (this.#keptBytes > MAX_KEPT_BYTES) this.end();
    else this.#kept.push(bytes);
  }

  /** Gives where to go on in the chunk, if reading was interrupted. */
  #takeOver(
    cause: Error,
    chunk: Uint8Array,
  ): ReturnType<RawDecipher["decrypt"]> {
    const decipher = this.#decipher;
    const opener = openerFor(this.#keys(), loadedPoly1305());
    if (opener === undefined) throw cause;
    const free = decipher.free;
    decipher.free = () => {
      free.call(decipher);
      // Not in this turn: it may be at work on the packet that ended it all.
      queueMicrotask(() => opener.end());
    };
    const delivered = (decipher.inSeqno - this.#first) >>> 0;
    const before = this.#keptBytes;
    const all = Buffer.concat([...this.#kept, chunk]);
    this.#kept = [];
    decipher.inSeqno = this.#first;
    const reader = new SealedReader(
      decipher,
      opener,
      MAX_LOGIN_PACKET_BYTES,
      delivered,
    );
    this.#reader = reader;
    decipher.decrypt = reader.read;
    const result = reader.read(all, 0, all.length);
    return typeof result === "number" ? result - before : result;
  }

  end(): void {
    this.#isOver = true;
    this.#kept = [];
    if (this.#reader !== undefined) this.#reader.maxBytes = USUAL_PACKET_BYTES;
    else this.#decipher.decrypt = this.#decrypt;
  }
}

/** RFC 4253 section 7.2, for what the server sends after the first exchange. */
function keysOf(
  { sessionID, hashName }: RawKeyExchange,
  secret: Buffer,
  { sc }: NegotiatedAlgorithms,
): OpenerKeys {
  const { CIPHER_INFO, MAC_INFO } = ssh2Crypto;
  const start = Buffer.concat([string(secret), sessionID]);
  const derive = (letter: string, bytes: number): Buffer => {
    let last = [Buffer.from(letter), sessionID];
    let key = Buffer.alloc(0);
    while (key.length < bytes) {
      const hash = createHash(hashName).update(start);
      for (const part of last) hash.update(part);
      key = Buffer.concat([key, hash.digest()]);
      last = [key];
    }
    return key.subarray(0, bytes);
  };
  const info = CIPHER_INFO[sc.cipher];
  const mac = info.authLen > 0 ? undefined : MAC_INFO[sc.mac];
  return {
    cipher: info.sslName,
    blockBytes: info.blockLen,
    key: derive("D", info.keyLen),
    iv: derive("B", info.ivLen),
    mac: mac && {
      hash: mac.sslName,
      bytes: mac.actualLen,
      isOfSealed: mac.isETM,
      key: derive("F", mac.len),
    },
  };
}
