/**
 * Lookups in one known_hosts file, each name worked out once.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { asciiLowerCase, matchPatterns } from "../host/pattern.ts";
import { type BadLine, type KnownKey, parseKnownHosts } from "./parser.ts";

/** Remembered lookups per file; a pool of more hosts than this starts anew. */
const MAX_REMEMBERED = 10_000;

/** A known_hosts file, parsed. */
export class KnownHosts {
  /** Whether something appended to it starts on a line of its own. */
  readonly endsInNewline: boolean;
  /** The lines that were left out. */
  readonly bad: readonly BadLine[];
  readonly #file: ReturnType<typeof parseKnownHosts>;
  readonly #found = new Map<string, readonly KnownKey[]>();

  /** @param text The file, one character per byte. */
  constructor(text: string) {
    this.#file = parseKnownHosts(text);
    this.bad = this.#file.bad;
    this.endsInNewline = text === "" || text.endsWith("\n");
  }

  /**
   * Finds all keys of a name, revoked ones and authorities too, in the order
   * of their lines.
   *
   * @param name `db1`, or `[db1]:2222` for a port other than 22.
   * @returns The keys.
   */
  find(name: string): readonly KnownKey[] {
    const remembered = this.#found.get(name);
    if (remembered !== undefined) return remembered;
    const bytes = Buffer.from(asciiLowerCase(name));
    const latin1 = bytes.toString("latin1");
    const found = [
      ...this.#file.exact.get(latin1) ?? [],
      ...this.#findPatterns(latin1),
      ...this.#findHashed(bytes),
    ].sort((a, b) => a.line - b.line);
    if (this.#found.size >= MAX_REMEMBERED) this.#found.clear();
    this.#found.set(name, found);
    return found;
  }

  #findPatterns(name: string): KnownKey[] {
    return this.#file.patterns
      .filter(({ list }) => matchPatterns(name, list))
      .map(({ key }) => key);
  }

  // Each line has a salt of its own, so each costs an HMAC: some 6 µs in Deno.
  #findHashed(name: Uint8Array): KnownKey[] {
    return this.#file.hashed
      .filter(({ salt, hash }) =>
        createHmac("sha1", salt).update(name).digest("base64") === hash
      )
      .map(({ key }) => key);
  }
}
