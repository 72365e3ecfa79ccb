/**
 * Fingerprints of public keys.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** `SHA256:` and the digest in base64 without padding. */
export function fingerprint(key: Uint8Array): `SHA256:${string}` {
  const digest = createHash("sha256").update(key).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}
