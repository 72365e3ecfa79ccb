/**
 * Key exchange by a hybrid of a KEM and X25519, which ssh2 does not have.
 *
 * ssh2 makes the object of a key exchange in one turn: it reads the server's
 * KEXINIT, agrees on a name, makes the object and starts it. During that turn
 * it is told that curve25519 was agreed on, and the object that it then makes
 * is given other keys before it is started. The messages are the same.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
} from "node:crypto";
import { string } from "../_bytes.ts";
import type {
  RawKeyExchange,
  RawOnPayload,
  RawProtocol,
} from "../fence/internals.ts";
import { checkKeyExchange } from "../fence/version_check.ts";
import { agreed, isMarker, kexListEnd, LISTS_AT } from "./_kex_init.ts";
import type { Hybrid, Kem } from "./_kem.ts";

/** The method of ssh2 whose object is used: it has the same messages. */
export const STAND_IN = "curve25519-sha256";

const POINT_BYTES = 32;
/** What comes before an X25519 key in its SubjectPublicKeyInfo. */
const SPKI_PREFIX = Buffer.from("302a300506032b656e032100", "hex");

/** A hybrid whose KEM is loaded. */
export interface LoadedHybrid extends Hybrid {
  readonly kem: Kem;
}

/** Offers hybrids on one connection, in all its key exchanges. */
export class HybridOffer {
  readonly #protocol: RawProtocol;
  readonly #names: readonly string[];
  readonly #hybrids: readonly LoadedHybrid[];
  readonly #markers: readonly string[];

  /**
   * @param protocol ssh2's protocol object, in the turn in which the client's
   *   `connect()` was called: its offer is replaced.
   * @param names The methods to offer, best first.
   * @param hybrids Those of them that are hybrids.
   */
  constructor(
    protocol: RawProtocol,
    names: readonly string[],
    hybrids: readonly LoadedHybrid[],
  ) {
    this.#protocol = protocol;
    this.#names = names;
    this.#hybrids = hybrids;
    const { constructor: KexInit, lists } = protocol._offer;
    this.#markers = lists.kex.array.filter(isMarker);
    const { serverHostKey, cs, sc } = lists;
    const sides = ({ cipher, mac, compress, lang }: typeof cs) => ({
      cipher: cipher.array,
      mac: mac.array,
      compress: compress.array,
      lang: lang.array,
    });
    protocol._offer = new KexInit({
      kex: [...names, ...this.#markers],
      serverHostKey: serverHostKey.array,
      cs: sides(cs),
      sc: sides(sc),
    });
  }

  /**
   * Has ssh2 read the server's KEXINIT.
   *
   * @param payload The message.
   * @param theirs The methods that it offers.
   * @param onPayload What ssh2 reads messages with.
   */
  read(
    payload: Uint8Array,
    theirs: readonly string[],
    onPayload: RawOnPayload,
  ): ReturnType<RawOnPayload> {
    const name = agreed(this.#names, theirs);
    const hybrid = this.#hybrids.find((it) => it.name === name);
    if (hybrid === undefined) return onPayload(payload);
    const { lists } = this.#protocol._offer;
    const all = lists.kex.array;
    lists.kex.array = [STAND_IN, ...this.#markers];
    const release = this.#catchExchange((made) =>
      becomeHybrid(made, payload, hybrid)
    );
    try {
      return onPayload(swapNames(payload, theirs, hybrid.name));
    } finally {
      lists.kex.array = all;
      release();
    }
  }

  /** Gives the object of the next exchange to `change`, before ssh2 starts it. */
  #catchExchange(change: (made: RawKeyExchange) => void): () => void {
    const protocol = this.#protocol;
    let current = protocol._kex;
    const define = (how: PropertyDescriptor) =>
      Object.defineProperty(protocol, "_kex", {
        configurable: true,
        enumerable: true,
        ...how,
      });
    define({
      get: () => current,
      set(made: RawKeyExchange) {
        current = made;
        change(made);
      },
    });
    return () => define({ value: current, writable: true });
  }
}

/**
 * The KEXINIT with two names in each other's place. Both ways, so that a wrong
 * guess of the server, which ssh2 skips, still is one.
 */
function swapNames(
  payload: Uint8Array,
  names: readonly string[],
  hybrid: string,
): Buffer {
  const swapped = names.map((name) =>
    name === hybrid ? STAND_IN : name === STAND_IN ? hybrid : name
  );
  return Buffer.concat([
    payload.subarray(0, LISTS_AT),
    string(Buffer.from(swapped.join(","), "latin1")),
    payload.subarray(kexListEnd(payload)),
  ]);
}

function becomeHybrid(
  exchange: RawKeyExchange,
  serverKexInit: Uint8Array,
  { name, hash, ciphertextBytes, kem }: LoadedHybrid,
): void {
  checkKeyExchange(exchange);
  const keys = kem();
  const curve = generateKeyPairSync("x25519");
  const point = curve.publicKey.export({ type: "spki", format: "der" })
    .subarray(-POINT_BYTES);
  const init = Buffer.concat([keys.publicKey, point]);
  exchange.type = name;
  exchange.hashName = hash;
  exchange.negotiated.kex = name;
  exchange._remoteKexinit = serverKexInit; // it is signed as it came
  exchange.generateKeys = () => {};
  exchange.getPublicKey = () => init;
  exchange.convertPublicKey = (reply) => reply;
  exchange.computeSecret = (reply) => {
    try {
      if (reply.length !== ciphertextBytes + POINT_BYTES) {
        throw new Error(
          `the reply has ${reply.length} bytes, must have ` +
            `${ciphertextBytes + POINT_BYTES}`,
        );
      }
      const shared = diffieHellman({
        privateKey: curve.privateKey,
        publicKey: createPublicKey({
          key: Buffer.concat([SPKI_PREFIX, reply.subarray(ciphertextBytes)]),
          type: "spki",
          format: "der",
        }),
      });
      // RFC 7748 section 6.1: a point of small order gives away the secret.
      if (shared.every((it) => it === 0)) throw new Error("the point is weak");
      // A string, not a number: ssh2 takes the bytes as they are.
      return createHash(hash)
        .update(keys.decapsulate(reply.subarray(0, ciphertextBytes)))
        .update(shared)
        .digest();
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  };
}
