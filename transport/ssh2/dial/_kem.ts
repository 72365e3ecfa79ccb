/**
 * ML-KEM-768 (FIPS 203), of the runtime or of npm.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import * as crypto from "node:crypto";
import { loadOnce } from "./load.ts";

const PUBLIC_KEY_BYTES = 1184;

/** A fresh pair of keys, for one exchange. */
export interface KemKeys {
  readonly publicKey: Uint8Array;
  /** To be called once: the private key may be gone then. */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
}

/** Makes pairs of keys. */
export type Kem = () => KemKeys;

/** A hybrid of a KEM and X25519, as a key exchange method. */
export interface Hybrid {
  /** The name of the method. */
  readonly name: string;
  readonly hash: "sha256" | "sha512";
  readonly ciphertextBytes: number;
  /** Loads the KEM, once for the process. */
  readonly load: () => Promise<Kem>;
}

/**
 * The hybrids that can be offered, best first. Not here: RFC 9941's
 * sntrup761x25519-sha512 (1158 and 1039 bytes, SHA-512), for want of a small
 * and well-kept library.
 */
export const HYBRIDS: readonly Hybrid[] = [{
  // RFC 10042.
  name: "mlkem768x25519-sha256",
  hash: "sha256",
  ciphertextBytes: 1088,
  load: loadOnce(async () => nativeKem() ?? await npmKem()),
}];

/** The runtime's own (Node from 24.7 on), which is faster and takes constant time. */
function nativeKem(): Kem | undefined {
  const { decapsulate, generateKeyPairSync: generate } = crypto as unknown as {
    decapsulate?: (key: crypto.KeyObject, ciphertext: Uint8Array) => Buffer;
    generateKeyPairSync(type: string): crypto.KeyPairKeyObjectResult;
  };
  if (decapsulate === undefined) return undefined;
  try {
    generate("ml-kem-768");
  } catch {
    return undefined; // Built without it.
  }
  return () => {
    const { publicKey, privateKey } = generate("ml-kem-768");
    return {
      publicKey: publicKey.export({ type: "spki", format: "der" })
        .subarray(-PUBLIC_KEY_BYTES),
      decapsulate: (ciphertext) => decapsulate(privateKey, ciphertext),
    };
  };
}

async function npmKem(): Promise<Kem> {
  const { ml_kem768: kem } = await import("@noble/post-quantum/ml-kem.js");
  // The first pair takes a hundred times as long as the others: it is made
  // here, while the host is looked up and connected to.
  kem.keygen();
  return () => {
    const { publicKey, secretKey } = kem.keygen();
    return {
      publicKey,
      decapsulate(ciphertext) {
        try {
          return kem.decapsulate(ciphertext, secretKey);
        } finally {
          secretKey.fill(0);
        }
      },
    };
  };
}
