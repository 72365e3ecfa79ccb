/**
 * File names of SFTP: bytes on the wire, strings in the API.
 *
 * A name is almost always UTF-8, but a server may have any bytes in it. A byte
 * that is not part of valid UTF-8 becomes one lone surrogate, U+DC80 to U+DCFF
 * for the bytes 80 to FF, and back: the rule that Python uses for its file
 * names (PEP 383). So every name is a string, no two names become the same
 * string, and `${folder}/${entry.name}` always names the same file again.
 *
 * @module
 */

import { joinBytes } from "../bytes.ts";

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ENCODER = new TextEncoder();
/** Matches surrogates that are not part of a pair. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const LONE_SURROGATES = /([\ud800-\udfff]+)/u;

/**
 * Decodes a file name without loss.
 *
 * @example A name that is not UTF-8
 * ```ts
 * import { decodeFileName, encodeFileName } from "@sshpool/sshpool";
 *
 * const name = decodeFileName(new Uint8Array([0x66, 0xff])); // "f\udcff"
 * encodeFileName(name); // Uint8Array [ 0x66, 0xff ]
 * ```
 *
 * @param bytes The name as the server has it.
 * @returns The name; bytes that are not UTF-8 are lone surrogates in it.
 */
export function decodeFileName(bytes: Uint8Array): string {
  try {
    return STRICT.decode(bytes);
  } catch {
    return decodeByParts(bytes);
  }
}

/**
 * Encodes a file name: the reverse of {@linkcode decodeFileName}.
 *
 * @param name The name.
 * @returns The bytes that the server knows.
 * @throws {TypeError} If the name has a lone surrogate that stands for no byte.
 *
 * @example There and back
 * ```ts
 * import { decodeFileName, encodeFileName } from "@sshpool/sshpool";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = Uint8Array.of(0x61, 0xff);
 * assertEquals(encodeFileName(decodeFileName(bytes)), bytes);
 * ```
 */
export function encodeFileName(name: string): Uint8Array<ArrayBuffer> {
  if (!LONE_SURROGATE.test(name)) return ENCODER.encode(name);
  const parts = name.split(LONE_SURROGATES).map((part) =>
    LONE_SURROGATE.test(part) ? escapedBytes(part) : ENCODER.encode(part)
  );
  return joinBytes(parts);
}

/**
 * Tells whether a name is valid Unicode: whether it has no bytes in it that
 * were not UTF-8.
 *
 * @param name A name from {@linkcode decodeFileName}.
 * @returns `false` if another system may not be able to have this name.
 *
 * @example A name in Latin-1
 * ```ts
 * import { decodeFileName, isUnicodeFileName } from "@sshpool/sshpool";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(isUnicodeFileName("é"), true);
 * assertEquals(isUnicodeFileName(decodeFileName(Uint8Array.of(0xe9))), false);
 * ```
 */
export function isUnicodeFileName(name: string): boolean {
  return !LONE_SURROGATE.test(name);
}

function escapedBytes(surrogates: string): Uint8Array {
  return Uint8Array.from(surrogates, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0xdc80 || code > 0xdcff) {
      throw new TypeError(
        `Cannot encode a file name: lone surrogate U+${
          code.toString(16).toUpperCase()
        } stands for no byte`,
      );
    }
    return code - 0xdc00;
  });
}

function decodeByParts(bytes: Uint8Array): string {
  let text = "";
  let valid = 0;
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    text += STRICT.decode(bytes.subarray(valid, at)) +
      String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
    valid = ++at;
  }
  return text + STRICT.decode(bytes.subarray(valid));
}

/** The length of the UTF-8 sequence at an index; 0 if there is no valid one. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    STRICT.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}
