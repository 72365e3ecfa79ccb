/**
 * The verdict on a key, as OpenSSH reaches it.
 *
 * @module
 */

import type { KnownKey } from "./parser.ts";

/** A key, and the file that it is in. */
export interface LocatedKey extends KnownKey {
  readonly path: string;
}

/** What the known_hosts files say of a key that a server showed. */
export type Verdict =
  /** It is known for the host. */
  | { readonly kind: "trusted" }
  /** It is marked as revoked, whatever else is said of it. */
  | { readonly kind: "revoked"; readonly by: LocatedKey }
  /** Only other keys are known for the host, of whatever type. */
  | { readonly kind: "changed"; readonly known: readonly LocatedKey[] }
  /** No key is known for the host, at most authorities. */
  | { readonly kind: "new"; readonly authority: LocatedKey | undefined };

/**
 * Judges a key.
 *
 * @param known What the files have for the host.
 * @param shown The key that the server showed, in base64.
 * @returns The verdict.
 */
export function judge(known: readonly LocatedKey[], shown: string): Verdict {
  const same = known.filter(({ key }) => key === shown);
  const by = same.find(({ marker }) => marker === "revoked");
  if (by !== undefined) return { kind: "revoked", by };
  const plain = known.filter(({ marker }) => marker === "plain");
  if (plain.some(({ key }) => key === shown)) return { kind: "trusted" };
  // Also if the known keys have another type. Otherwise an attacker could show
  // a key of a type that the host never had.
  if (plain.length > 0) return { kind: "changed", known: plain };
  return {
    kind: "new",
    authority: known.find(({ marker }) => marker === "cert-authority"),
  };
}

/** OpenSSH's order of preference; SHA-1 signatures and DSA are not in it. */
const ALGORITHMS: readonly (readonly [algorithm: string, type: string])[] = [
  ["ssh-ed25519", "ssh-ed25519"],
  ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"],
  ["ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"],
  ["ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"],
  ["rsa-sha2-512", "ssh-rsa"],
  ["rsa-sha2-256", "ssh-rsa"],
];

/**
 * Returns the algorithms by which a server shows one of the known keys, best
 * first. A type whose first key is revoked is not preferred, as in OpenSSH.
 *
 * @param known What the files have for the host.
 * @returns Names of algorithms; empty if no key is known.
 */
export function preferredAlgorithms(known: readonly KnownKey[]): string[] {
  const firsts = new Map<string, string>();
  for (const { marker, type, key } of known) {
    const base = type.startsWith("rsa-sha2-") ? "ssh-rsa" : type;
    if (marker === "plain" && !firsts.has(base)) firsts.set(base, key);
  }
  const revoked = new Set(
    known.filter(({ marker }) => marker === "revoked").map(({ key }) => key),
  );
  return ALGORITHMS.filter(([, type]) => {
    const first = firsts.get(type);
    return first !== undefined && !revoked.has(first);
  }).map(([name]) => name);
}
