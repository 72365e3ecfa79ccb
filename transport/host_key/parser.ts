/**
 * The parser of known_hosts: one pass, and everything later lookups need is
 * put where they find it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { asciiLowerCase, MAX_PATTERN_LENGTH } from "../host/pattern.ts";
import { findKeyFault } from "./_public_key.ts";

/** What a line says about its key. */
export type Marker = "plain" | "revoked" | "cert-authority";

/** One key of a file. */
export interface KnownKey {
  /** The number of its line, from 1. */
  readonly line: number;
  readonly marker: Marker;
  /** The key type as written, such as `ssh-ed25519`. */
  readonly type: string;
  /** The key in canonical base64, so that equal keys are equal text. */
  readonly key: string;
}

/** A line that was left out. */
export interface BadLine {
  readonly line: number;
  /** What is wrong with it. Never quotes the line. */
  readonly problem: string;
}

/** A name that is stored as the HMAC-SHA1 of it under a salt. */
export interface HashedName {
  readonly salt: Uint8Array;
  /** The HMAC in base64. */
  readonly hash: string;
  readonly key: KnownKey;
}

/**
 * A file, by how its names are looked up:
 *
 * ```text
 *  db1,10.0.0.1 ssh-rsa ...     -> exact     a Map
 *  *.lan,!db1.lan ssh-rsa ...   -> patterns  tried one by one
 *  |1|salt|hash ssh-rsa ...     -> hashed    an HMAC each
 * ```
 */
export interface ParsedKnownHosts {
  readonly exact: Map<string, KnownKey[]>;
  readonly patterns: { readonly list: string[]; readonly key: KnownKey }[];
  readonly hashed: HashedName[];
  readonly bad: BadLine[];
}

/**
 * Parses a known_hosts file.
 *
 * @param text The file, one character per byte (Latin-1): host names are bytes.
 * @returns Its keys, and the lines that have none.
 *
 * @example Usage
 * ```ts
 * import { parseKnownHosts } from "./parser.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const { bad } = parseKnownHosts("# a comment\ndb1 ssh-rsa\n");
 * assertEquals(bad, [{ line: 2, problem: "the key is missing" }]);
 * ```
 */
export function parseKnownHosts(text: string): ParsedKnownHosts {
  const file: ParsedKnownHosts = {
    exact: new Map(),
    patterns: [],
    hashed: [],
    bad: [],
  };
  let start = 0;
  for (let line = 1; start < text.length; line++) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const problem = parseLine(text.slice(start, end), line, file);
    if (problem !== undefined) file.bad.push({ line, problem });
    start = end + 1;
  }
  return file;
}

/** Adds a line to the file; returns what is wrong with it, if anything is. */
function parseLine(
  raw: string,
  line: number,
  file: ParsedKnownHosts,
): string | undefined {
  const fields = new Fields(raw);
  let names = fields.next();
  if (names === "" || names.startsWith("#")) return undefined;
  let marker: Marker = "plain";
  if (names.startsWith("@")) {
    if (names !== "@revoked" && names !== "@cert-authority") {
      return "the marker is not known";
    }
    marker = names === "@revoked" ? "revoked" : "cert-authority";
    names = fields.next();
    if (names.startsWith("@")) return "only one marker is allowed";
  }
  const type = fields.next();
  if (type === "" || type.startsWith("#")) return "the key type is missing";
  const key = fields.next();
  const fault = findKeyFault(type, key);
  if (fault !== undefined) return fault;
  return addNames(names, { line, marker, type, key }, file);
}

function addNames(
  names: string,
  key: KnownKey,
  file: ParsedKnownHosts,
): string | undefined {
  if (names.startsWith("|")) return addHashed(names, key, file);
  const list = asciiLowerCase(names).split(",");
  if (list.some((name) => name.replace(/^!/, "").length > MAX_PATTERN_LENGTH)) {
    return `a host name is longer than ${MAX_PATTERN_LENGTH} characters`;
  }
  if (/[*?]|(?:^|,)!/.test(names)) file.patterns.push({ list, key });
  else for (const name of list) addExact(name, key, file);
  return undefined;
}

function addExact(name: string, key: KnownKey, file: ParsedKnownHosts): void {
  const keys = file.exact.get(name);
  if (keys === undefined) file.exact.set(name, [key]);
  else if (keys.at(-1) !== key) keys.push(key);
}

function addHashed(
  name: string,
  key: KnownKey,
  file: ParsedKnownHosts,
): string | undefined {
  const [, magic, salt = "", hash = "", ...more] = name.split("|");
  const saltBytes = decodeDigest(salt);
  const isGood = magic === "1" && more.length === 0 &&
    decodeDigest(hash) !== undefined;
  if (saltBytes === undefined || !isGood) {
    return "the hashed host name is malformed";
  }
  file.hashed.push({ salt: saltBytes, hash, key });
  return undefined;
}

/** Decodes the 20 bytes of SHA-1; `undefined` if they are not canonical. */
function decodeDigest(base64: string): Uint8Array | undefined {
  const bytes = Buffer.from(base64, "base64");
  const isGood = bytes.length === 20 && bytes.toString("base64") === base64;
  return isGood ? bytes : undefined;
}

/** The fields of a line, between spaces and tabs. */
class Fields {
  readonly #line: string;
  #at = 0;

  constructor(raw: string) {
    // OpenSSH reads C strings, which end at a NUL, and its base64 decoder
    // skips the CR of a CRLF.
    const nul = raw.indexOf("\0");
    const line = nul < 0 ? raw : raw.slice(0, nul);
    this.#line = line.endsWith("\r") ? line.slice(0, -1) : line;
  }

  next(): string {
    const line = this.#line;
    while (isBlank(line.charCodeAt(this.#at))) this.#at++;
    const start = this.#at;
    while (this.#at < line.length && !isBlank(line.charCodeAt(this.#at))) {
      this.#at++;
    }
    return line.slice(start, this.#at);
  }
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
