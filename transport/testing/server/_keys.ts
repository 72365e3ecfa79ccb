/** Keys of the embedded server, made once per process. */

// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { fingerprint } from "../../host_key/check.ts";

/** A key pair as text, and its fingerprint. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
  readonly fingerprint: `SHA256:${string}`;
}

const made = new Map<string, KeyPair>();

/**
 * Returns the key pair of this name, made on first use: some take milliseconds.
 */
export function keyPair(name: string): KeyPair {
  const known = made.get(name);
  if (known) return known;
  const pair = generate(name);
  const key = {
    privateKey: pair.private,
    publicKey: pair.public,
    fingerprint: fingerprint(wireForm(pair.public)),
  };
  made.set(name, key);
  return key;
}

/** ssh2 drops a leading zero: one pair in 256 is malformed, and made anew. */
function generate(comment: string): { private: string; public: string } {
  const { generateKeyPairSync, parseKey } = ssh2.utils;
  for (;;) {
    const pair = generateKeyPairSync("ed25519", { comment });
    if (!(parseKey(pair.private) instanceof Error)) return pair;
  }
}

/** Returns the public part of a key in SSH wire format. */
export function wireForm(key: string | Uint8Array): Uint8Array {
  return parse(key).getPublicSSH();
}

/** Parses a key; a bad one is an error that shows nothing of it. */
export function parse(key: string | Uint8Array): ssh2.ParsedKey {
  const parsed = ssh2.utils.parseKey(
    typeof key === "string" ? key : new TextDecoder().decode(key),
  );
  if (parsed instanceof Error) {
    throw new TypeError(`Cannot parse the key: ${parsed.message}`);
  }
  return Array.isArray(parsed) ? parsed[0]! : parsed;
}
