/**
 * Ciphers for ssh2 that leave nothing behind in Deno.
 *
 * Deno keeps each cipher of node:crypto in a table until its `final()` is
 * called; garbage collection does not take it out. ssh2 never calls it for
 * stream ciphers, and makes three ChaCha20 ciphers for every packet, so that a
 * connection would lose memory with every packet, for ever. Here large packets
 * take one, which is ended, and small ones none.
 *
 * Node and Bun collect their ciphers; there nothing is changed about this.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { getCiphers, randomFillSync } from "node:crypto";
import { ChaCha20 } from "./_chacha20.ts";
import type {
  RawAnyCipher,
  RawChaChaCipher,
  RawChaChaDecipher,
  RawCiphers,
  RawStreamCipher,
} from "../fence/internals.ts";
import { ChaChaKey, ChaChaOpener } from "./_openers.ts";
import { SealedReader } from "./_sealed_reader.ts";
import { MAC_BYTES, Poly1305 } from "./_poly1305.ts";

/** Where the packets of a block cipher's size end. */
const BLOCK_BYTES = 8;
const LENGTH_BYTES = 4;
const KEY_BYTES = 32;
const NOTHING: Uint8Array = new Uint8Array();

const isDeno = "Deno" in globalThis;

/** Whether ChaCha20 can be had here at all. */
const hasChaCha = ChaCha20.isUsable && getCiphers().includes("chacha20");

let poly1305: Poly1305 | undefined;
let loading: Promise<void> | undefined;

/**
 * Makes ready what {@linkcode endCiphers} needs in Deno, and elsewhere the
 * packets of ChaCha20 that are too long for ssh2.
 */
export function prepareCiphers(): Promise<void> {
  if (!hasChaCha || poly1305 !== undefined) return Promise.resolve();
  // A failure is not kept: the next dial tries again.
  return loading ??= Poly1305.load()
    .then((loaded) => void (poly1305 = loaded))
    .catch((error) => isDeno ? Promise.reject(error) : undefined)
    .finally(() => loading = undefined);
}

/** What computes the MACs of ChaCha20, once it is loaded. */
export function loadedPoly1305(): Poly1305 | undefined {
  return poly1305;
}

/**
 * Sees to it that the ciphers of a connection end, now and after each key
 * exchange.
 *
 * @param protocol ssh2's protocol object, before the key exchange.
 */
export function endCiphers(protocol: object): void {
  if (!isDeno || poly1305 === undefined) return;
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

function mendChaChaDecipher(decipher: RawChaChaDecipher): void {
  const { _decKeyMain: main, _decKeyPktLen: length } = decipher;
  const opener = new ChaChaOpener(main, length, poly1305!);
  decipher.decrypt = new SealedReader(decipher, opener).read;
}
