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

const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });
const ENCODER = new TextEncoder();
/** More than any message shows. */
const MAX_TEXT_BYTES = 2048;
/** Matches surrogates that are not part of a pair. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
/** Matches those of them that stand for no byte. */
const NO_BYTE = /[\ud800-\udc7f\udd00-\udfff]/u;
const EACH_NO_BYTE = new RegExp(NO_BYTE, "gu");
/** How many UTF-16 units become text at a time: a call takes so many arguments. */
const UNITS = 8192;

/**
 * Decodes a file name without loss.
 *
 * @example A name that is not UTF-8
 * ```ts
 * import { decodeFileName, encodeFileName } from "@sshpool/sshpool/sftp";
 *
 * const name = decodeFileName(new Uint8Array([0x66, 0xff])); // "f\udcff"
 * encodeFileName(name); // Uint8Array [ 0x66, 0xff ]
 * ```
 *
 * @param bytes The name as the server has it.
 * @returns The name; bytes that are not UTF-8 are lone surrogates in it.
 */
export function decodeFileName(bytes: Uint8Array): string {
  const text = DECODER.decode(bytes);
  // U+FFFD stands for bytes that are not UTF-8, or for itself.
  return text.includes("\ufffd") ? decodeEach(bytes) : text;
}

/**
 * Decodes what a server says, which is cut before that: for messages.
 *
 * @param bytes What it says.
 * @returns The beginning of it.
 */
export function decodeText(bytes: Uint8Array): string {
  return DECODER.decode(bytes.subarray(0, MAX_TEXT_BYTES));
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
 * import { decodeFileName, encodeFileName } from "@sshpool/sshpool/sftp";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = Uint8Array.of(0x61, 0xff);
 * assertEquals(encodeFileName(decodeFileName(bytes)), bytes);
 * ```
 */
export function encodeFileName(name: string): Uint8Array<ArrayBuffer> {
  if (!LONE_SURROGATE.test(name)) return ENCODER.encode(name);
  return encodeEach(name);
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
 * import { decodeFileName, isUnicodeFileName } from "@sshpool/sshpool/sftp";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(isUnicodeFileName("é"), true);
 * assertEquals(isUnicodeFileName(decodeFileName(Uint8Array.of(0xe9))), false);
 * ```
 */
export function isUnicodeFileName(name: string): boolean {
  return !LONE_SURROGATE.test(name);
}

/**
 * Encodes what is sent to a server, such as a command with a file name in it, or
 * a list of such names that a command reads.
 * What no name has in it becomes U+FFFD, as it does everywhere else.
 *
 * @param text The text.
 * @returns Its bytes.
 */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  if (text.isWellFormed()) return ENCODER.encode(text);
  return encodeEach(text.replace(EACH_NO_BYTE, "\ufffd"));
}

/**
 * Tells whether text has a lone surrogate that stands for no byte.
 *
 * @param text The text.
 */
export function hasNoBytes(text: string): boolean {
  return NO_BYTE.test(text);
}

/** Encodes in one pass: a server chooses how many lone surrogates there are. */
function encodeEach(name: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(name.length * 3);
  let length = 0;
  for (const character of name) {
    const code = character.codePointAt(0)!;
    if (code < 0xd800 || code > 0xdfff) {
      length += ENCODER.encodeInto(character, bytes.subarray(length)).written;
    } else bytes[length++] = escapedByte(code);
  }
  return bytes.slice(0, length);
}

function escapedByte(code: number): number {
  if (code >= 0xdc80 && code <= 0xdcff) return code - 0xdc00;
  throw new TypeError(
    `Cannot encode a file name: lone surrogate U+${
      code.toString(16).toUpperCase()
    } stands for no byte`,
  );
}

/** Decodes in one pass: a server chooses how many bytes are not UTF-8. */
function decodeEach(bytes: Uint8Array): string {
  let text = "";
  let units: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    if (length === 0) units.push(0xdc00 + bytes[at++]!);
    else {
      const code = codePoint(bytes, at, length);
      if (code > 0xffff) {
        units.push(0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
      } else units.push(code);
      at += length;
    }
    if (units.length < UNITS) continue;
    text += String.fromCharCode(...units);
    units = [];
  }
  return text + String.fromCharCode(...units);
}

/** The length of the UTF-8 sequence at an index; 0 if there is no valid one. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (at + length > bytes.length) return 0;
  for (let next = at + 1; next < at + length; next++) {
    if (bytes[next]! >> 6 !== 0b10) return 0;
  }
  // Neither longer than needed, nor a surrogate, nor beyond the last one.
  const second = bytes[at + 1]!;
  if (lead === 0xe0 && second < 0xa0) return 0;
  if (lead === 0xed && second > 0x9f) return 0;
  if (lead === 0xf0 && second < 0x90) return 0;
  if (lead === 0xf4 && second > 0x8f) return 0;
  return length;
}

/** The character of a valid UTF-8 sequence. */
function codePoint(bytes: Uint8Array, at: number, length: number): number {
  const lead = bytes[at]!;
  let code = length === 1 ? lead : lead & (0x7f >> length);
  for (let next = at + 1; next < at + length; next++) {
    code = code << 6 | bytes[next]! & 0x3f;
  }
  return code;
}
