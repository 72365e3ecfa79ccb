/**
 * Which algorithms are offered, and in which order.
 *
 * @module
 */

import { createECDH, getCiphers, getHashes } from "node:crypto";
// @ts-types="@types/ssh2"
import type { Algorithms as Ssh2Algorithms } from "ssh2";
import { DialError } from "../../errors.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";
import { matchPattern } from "../../host/pattern.ts";
import { STAND_IN } from "./_hybrid_kex.ts";
import { HYBRIDS } from "./_kem.ts";
import type { NoCommonAlgorithm } from "./_kex_init.ts";

/** One list of a host, as its `algorithms` has it. */
type AlgorithmList = string | readonly string[];

/** The runtimes whose cipher speeds differ. */
export type Runtime = "deno" | "bun" | "node";

/** Names of one kind: what is offered unasked, and what can be asked for. */
interface Catalogue {
  /** Offered by default, best first. */
  readonly defaults: readonly string[];
  /** Offered only by those who name them: weak, or slow to compute with. */
  readonly onRequest: readonly string[];
}

const ALL_KEXES: Catalogue = {
  defaults: [
    ...HYBRIDS.map(({ name }) => name),
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group15-sha512",
  ],
  onRequest: [
    // Before any key is known a server makes the process compute with numbers
    // of 8192 bits. Node asks first whether they are primes: 28 s for one.
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group17-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
  ],
};

const ALL_MACS: Catalogue = {
  // Encrypt-then-MAC first. They matter for the CTR ciphers only: GCM and
  // chacha20 carry their own.
  defaults: [
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    // As in `ssh`: what is broken in SHA-1 does not break it as a MAC, and
    // there are devices that have no other.
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
  ],
  onRequest: [
    "hmac-sha2-256-96",
    "hmac-sha2-512-96",
    "hmac-sha1-96",
    "hmac-md5",
    "hmac-md5-96",
    "hmac-ripemd160",
  ],
};

const HOST_KEY: Catalogue = {
  defaults: [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
  ],
  onRequest: ["ssh-rsa", "ssh-dss"],
};

const LEGACY_CIPHERS: readonly string[] = [
  "aes256-cbc",
  "aes192-cbc",
  "aes128-cbc",
  "3des-cbc",
];

const CHACHA = "chacha20-poly1305@openssh.com";
const GCM: readonly string[] = [
  "aes128-gcm@openssh.com",
  "aes256-gcm@openssh.com",
];
const CTR: readonly string[] = ["aes128-ctr", "aes192-ctr", "aes256-ctr"];

/**
 * Names the runtime this code runs in.
 *
 * @returns The runtime; `"node"` for any that is not known.
 */
export function detectRuntime(): Runtime {
  const globals: Record<string, unknown> = { ...pick("Deno"), ...pick("Bun") };
  if (globals["Deno"] !== undefined) return "deno";
  if (globals["Bun"] !== undefined) return "bun";
  return "node";
}

function pick(name: string): Record<string, unknown> {
  return { [name]: Reflect.get(globalThis, name) };
}

/**
 * The default ciphers of a runtime, fastest first.
 *
 * Measured with the bulk output of a command: in Deno chacha20 moves twice what
 * AES-GCM does; in Node AES-GCM is ahead of chacha20. Bun is taken to be like
 * Node, whose native crypto it shares the shape of; it is not measured.
 *
 * @param runtime The runtime.
 * @returns The names, best first.
 */
export function defaultCiphers(runtime: Runtime): readonly string[] {
  return runtime === "deno"
    ? [CHACHA, ...GCM, ...CTR]
    : [...GCM, CHACHA, ...CTR];
}

// ssh2 throws for a name whose cipher, hash or curve the runtime lacks: Deno has
// no aes192-cbc and no key agreement on secp521r1, and BoringSSL, under Bun, no
// bare chacha20.
const ciphers = getCiphers();
const hashes = getHashes();
const CIPHER = available(
  { defaults: defaultCiphers(detectRuntime()), onRequest: LEGACY_CIPHERS },
  (name) => ciphers.includes(cipherOf(name)),
);
const MAC = available(ALL_MACS, (name) => hashes.includes(hashOf(name)));
const KEX = available(ALL_KEXES, hasCurve);

const CATALOGUES: Readonly<Record<NoCommonAlgorithm["field"], Catalogue>> = {
  kex: KEX,
  hostKey: HOST_KEY,
  cipher: CIPHER,
  mac: MAC,
};

function available(
  { defaults, onRequest }: Catalogue,
  can: (name: string) => boolean,
): Catalogue {
  return { defaults: defaults.filter(can), onRequest: onRequest.filter(can) };
}

/** Tried, for Deno lists a curve among its own that it then refuses. */
function hasCurve(name: string): boolean {
  const [, bits] = /^ecdh-sha2-nistp(\d+)$/.exec(name) ?? [];
  if (bits === undefined) return true;
  try {
    createECDH(bits === "256" ? "prime256v1" : `secp${bits}r1`);
    return true;
  } catch {
    return false;
  }
}

function cipherOf(name: string): string {
  if (name === CHACHA) return "chacha20";
  if (name === "3des-cbc") return "des-ede3-cbc";
  return name.replace("@openssh.com", "").replace("aes", "aes-");
}

function hashOf(name: string): string {
  const hash = /^hmac-(sha1|sha2-256|sha2-512|md5|ripemd160)/.exec(name)?.[1];
  return (hash ?? "").replace("sha2-", "sha");
}

/** What OpenSSH takes of the keys that log in, and this adapter has. */
const PUBLIC_KEY: Catalogue = withCertificates({
  defaults: [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
  ],
  onRequest: ["ssh-rsa"],
});

function withCertificates({ defaults, onRequest }: Catalogue): Catalogue {
  const both = (name: string) => [
    name,
    `${name.replace("@openssh.com", "")}-cert-v01@openssh.com`,
  ];
  return {
    defaults: defaults.flatMap(both),
    onRequest: onRequest.flatMap(both),
  };
}

/** Names of each kind, best first. */
export type OfferedAlgorithms = Readonly<
  Record<"kex" | "hostKey" | "cipher" | "mac", readonly string[]>
>;

/**
 * The algorithms to offer to a host.
 *
 * @param host The host, whose `algorithms` are applied over the defaults.
 * @param knownHostKeyAlgorithms Types of the host keys known for it: they are
 *   asked for first, as OpenSSH does, so that a known key is the one shown.
 * @returns The lists.
 * @throws {DialError} With phase `config` if a list has nothing that ssh2 has.
 */
export function algorithmsFor(
  host: ResolvedHost,
  knownHostKeyAlgorithms: readonly string[] = [],
): OfferedAlgorithms {
  const asked = host.algorithms ?? {};
  const resolve = (
    field: string,
    list: AlgorithmList | undefined,
    of: Catalogue,
  ) => resolveList(host, field, list, of);
  const hostKey = resolve("hostKey", asked.hostKey, HOST_KEY);
  return {
    kex: resolve("kex", asked.kex, KEX),
    cipher: resolve("cipher", asked.cipher, CIPHER),
    mac: resolve("mac", asked.mac, MAC),
    // A list of the caller's own stands as it is, as in OpenSSH.
    hostKey: isReplacement(asked.hostKey)
      ? hostKey
      : knownFirst(hostKey, knownHostKeyAlgorithms),
  };
}

/**
 * The algorithms of the keys that may log in to a host.
 *
 * @param host The host.
 * @returns The names, best first; `undefined` if the host names none.
 * @throws {DialError} With phase `config` if none is left.
 */
export function publicKeyAlgorithms(
  host: ResolvedHost,
): readonly string[] | undefined {
  const asked = host.algorithms?.publicKey;
  if (asked === undefined) return undefined;
  return resolveList(host, "publicKey", asked, PUBLIC_KEY);
}

/**
 * The lists in the form that ssh2 takes, which throws for a name that it does
 * not have: hybrids are offered behind its back.
 *
 * @param offered The lists.
 * @returns The lists without hybrids.
 */
export function ssh2Algorithms(offered: OfferedAlgorithms): Ssh2Algorithms {
  const { kex, cipher, mac, hostKey } = offered;
  const known = kex.filter((name) => !HYBRIDS.some((it) => it.name === name));
  const lists = {
    // It takes no empty list.
    kex: known.length > 0 ? known : [STAND_IN],
    cipher,
    hmac: mac,
    serverHostKey: hostKey,
    compress: ["none"],
  };
  // The names are checked against the catalogues above: ssh2's own types.
  return lists as unknown as Ssh2Algorithms;
}

/**
 * What to set so that a server is reached with which there was nothing to agree
 * on.
 *
 * @param mismatch What there was none of.
 * @returns A sentence.
 */
export function mismatchHint({ field, offered }: NoCommonAlgorithm): string {
  const { defaults, onRequest } = CATALOGUES[field];
  const known = offered.filter((name) =>
    defaults.includes(name) || onRequest.includes(name)
  );
  if (known.length === 0) {
    return "None of what the server offers is implemented; enable another " +
      `one of algorithms.${field} on the server, such as ${defaults[0]}`;
  }
  return "If you trust what the server offers, set algorithms: " +
    `{ ${field}: "+${known.join(",")}" } for this host`;
}

function resolveList(
  host: ResolvedHost,
  field: string,
  list: AlgorithmList | undefined,
  catalogue: Catalogue,
): readonly string[] {
  if (list === undefined) return catalogue.defaults;
  const result = applyList(list, catalogue);
  if (result.length > 0) return result;
  const named = typeof list === "string" ? list : list.join(",");
  throw new DialError(
    "config",
    `Cannot connect to ${
      JSON.stringify(hostLabel(host))
    }: algorithms.${field} ` +
      `is ${
        JSON.stringify(named)
      }, which leaves nothing that ssh2 has; it has ` +
      [...catalogue.defaults, ...catalogue.onRequest].join(", "),
    { host: hostLabel(host) },
  );
}

function applyList(list: AlgorithmList, catalogue: Catalogue): string[] {
  const { modifier, patterns } = readList(list);
  const { defaults, onRequest } = catalogue;
  const named = () => expand(patterns, [...defaults, ...onRequest]);
  if (modifier === "+") return unique([...defaults, ...named()]);
  if (modifier === "^") return unique([...named(), ...defaults]);
  if (modifier === "-") {
    return defaults.filter((name) =>
      !patterns.some((pattern) => matchPattern(name, pattern))
    );
  }
  return named();
}

function readList(
  list: AlgorithmList,
): { modifier: string; patterns: readonly string[] } {
  if (typeof list !== "string") return { modifier: "", patterns: list };
  const text = list.trim();
  const modifier = /^[-+^]/.test(text) ? text.charAt(0) : "";
  const patterns = text.slice(modifier.length).split(",")
    .map((it) => it.trim()).filter((it) => it !== "");
  return { modifier, patterns };
}

function isReplacement(list: AlgorithmList | undefined): boolean {
  return list !== undefined && readList(list).modifier === "";
}

function expand(
  patterns: readonly string[],
  names: readonly string[],
): string[] {
  const found = patterns.flatMap((pattern) => {
    return names.filter((name) => matchPattern(name, pattern));
  });
  return unique(found);
}

function knownFirst(
  names: readonly string[],
  known: readonly string[],
): readonly string[] {
  const first = known.flatMap((type) => {
    // A known_hosts line says "ssh-rsa", which is the type of the key: the
    // signature is asked for with SHA-2.
    if (type === "ssh-rsa") return ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"];
    return [type];
  });
  const wanted = first.filter((name) => names.includes(name));
  return unique([...wanted, ...names]);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
