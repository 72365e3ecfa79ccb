/**
 * What a dial asks about the key of its server, and how a key is shown.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { HostKey } from "../host/host.ts";

/** The check of one dial: made before it, asked once during the key exchange. */
export interface HostKeyCheck {
  /**
   * Host key algorithms to offer first, so that a server with several keys
   * shows the one that is known; empty if no key is known.
   */
  readonly hostKeyAlgorithms: readonly string[];
  /**
   * Judges the key that the server showed.
   *
   * @param key The key.
   * @returns A promise that resolves if the key is trusted.
   * @throws {HostKeyError} If it is not; the message says what to set.
   */
  verify(key: HostKey): Promise<void>;
}

/**
 * Computes the fingerprint of a public key, as `ssh-keygen -l` prints it.
 *
 * @param key The public key in SSH wire format.
 * @returns `SHA256:` and the digest in base64 without padding.
 *
 * @example Usage
 * ```ts
 * import { fingerprint } from "./check.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   fingerprint(new Uint8Array(0)),
 *   "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
 * );
 * ```
 */
export function fingerprint(key: Uint8Array): `SHA256:${string}` {
  const digest = createHash("sha256").update(key).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}
