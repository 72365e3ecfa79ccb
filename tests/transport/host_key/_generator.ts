/**
 * Seeded known_hosts files, and the names to look up in them.
 *
 * @module
 */

import type { Random } from "../../kit/random.ts";
import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";

/** An ed25519 public key, as text after its type. */
export function ed25519(bytes: Uint8Array): string {
  return wire("ssh-ed25519", bytes);
}

/** A key of a type, in base64. */
export function wire(...fields: (string | Uint8Array)[]): string {
  const parts = fields.flatMap((field) => {
    const bytes = Buffer.from(field as string);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts).toString("base64");
}

/** Hashes a name as `ssh-keygen -H` does, under a salt from the source. */
export function hashedName(name: string, random: Random): string {
  const salt = random.bytes(20);
  const hash = createHmac("sha1", salt).update(name).digest("base64");
  return `|1|${Buffer.from(salt).toString("base64")}|${hash}`;
}

/** `SHA256:...` of a key in base64. */
export function fingerprintOf(key: string): `SHA256:${string}` {
  const digest = createHash("sha256").update(Buffer.from(key, "base64"));
  return `SHA256:${digest.digest("base64").replace(/=+$/, "")}`;
}

/** Names that come up again and again, so that lookups hit. */
export const NAMES = [
  "db1",
  "db2.example.com",
  "web.example.com",
  "10.0.0.1",
  "::1",
  "fe80::1%eth0",
  "[db1]:2222",
  "[db2.example.com]:2222",
  "[10.0.0.1]:22022",
  "[::1]:2222",
  "a",
  "x-y_z",
];

const PATTERNS = [
  "*",
  "?",
  "db?",
  "*.example.com",
  "*.example.co?",
  "[*]:2222",
  "[db1]:*",
  "10.0.*",
  "*b*.*m",
  "**a**",
  "d*1",
  "???",
  "*:*",
];

/** A generated file. */
export interface GeneratedFile {
  readonly text: string;
  /** Lines whose key is damaged in a way that `ssh-keygen -F` overlooks. */
  readonly damaged: ReadonlySet<number>;
}

/** Generates a file whose keys are drawn from `keys` (`type base64`). */
export function generateFile(
  random: Random,
  keys: readonly string[],
): GeneratedFile {
  const damaged = new Set<number>();
  const lines: string[] = [];
  for (let line = 1 + random.below(25); line > 0; line--) {
    const kind = random.next();
    if (kind < 0.12) lines.push(generateGarbage(random, keys));
    else if (kind < 0.18) {
      lines.push(damage(generateEntry(random, keys), random));
      damaged.add(lines.length);
    } else lines.push(generateEntry(random, keys));
  }
  const end = random.pick(["\n", "\n", "\n", ""]);
  const newline = random.chance(0.2) ? "\r\n" : "\n";
  return { text: lines.join(newline) + end, damaged };
}

function generateEntry(random: Random, keys: readonly string[]): string {
  const blank = () => random.pick([" ", " ", " ", "\t", "  "]);
  const marker = random.chance(0.12)
    ? random.pick(["@revoked ", "@cert-authority ", "@revoked   "])
    : "";
  const key = random.pick(keys).replace(" ", blank());
  const comment = random.chance(0.3) ? `${blank()}user@host # ${marker}` : "";
  const lead = random.chance(0.1) ? blank() : "";
  return `${lead}${marker}${generateNames(random)}${blank()}${key}${comment}`;
}

function generateNames(random: Random): string {
  if (random.chance(0.3)) return hashedName(random.pick(NAMES), random);
  const count = random.pick([1, 1, 1, 2, 3, 5]);
  return Array.from({ length: count }, () => {
    if (random.chance(0.6)) return mixCase(random.pick(NAMES), random);
    const negation = random.chance(0.3) ? "!" : "";
    return negation + random.pick(random.chance(0.5) ? PATTERNS : NAMES);
  }).join(random.chance(0.05) ? ",," : ",");
}

function mixCase(name: string, random: Random): string {
  return random.chance(0.2) ? name.toUpperCase() : name;
}

/** Lines that have no key for anybody, in the eyes of OpenSSH as well. */
function generateGarbage(random: Random, keys: readonly string[]): string {
  const name = random.pick(NAMES);
  const key = random.pick(keys);
  return random.pick([
    "",
    "   \t ",
    "# a comment",
    `#${name} ${key}`,
    name,
    `${name} `,
    `${name} ssh-ed25519`,
    `${name} ssh-ed25519 # no key`,
    `${name} nonsense AAAA`,
    `${name} 1024 35 123456789`,
    `@unknown ${name} ${key}`,
    `@revoked @revoked ${name} ${key}`,
    `@revoked`,
    `|1|bad|bad ${key}`,
    `|2|${name} ${key}`,
    `| ${key}`,
    `${name},${"x".repeat(1100)} ${key}`,
    "\u00ff\u00fe\u0001",
  ]);
}

/** Spoils the key of an entry but not its type. */
function damage(entry: string, random: Random): string {
  return entry.replace(/AAAA[\w+/=]+/, (key) =>
    random.pick([
      key.slice(0, 20 + random.below(20)),
      `${key}AAAA`,
      `AAA${key}`,
      `${key.slice(0, 8)}!${key.slice(9)}`,
      key.slice(0, -1),
      "AAAA",
    ]));
}
