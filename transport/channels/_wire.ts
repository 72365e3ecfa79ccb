/**
 * Messages of the connection protocol, RFC 4254: writing and reading them.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { encodeText } from "../sftp/names.ts";
import {
  HEAD,
  type PacketTransport,
  ProtocolViolation,
} from "./packet_transport.ts";

export const GLOBAL_REQUEST = 80;
export const REQUEST_SUCCESS = 81;
export const REQUEST_FAILURE = 82;
export const CHANNEL_OPEN = 90;
export const CHANNEL_OPEN_CONFIRMATION = 91;
export const CHANNEL_OPEN_FAILURE = 92;
export const CHANNEL_WINDOW_ADJUST = 93;
export const CHANNEL_DATA = 94;
export const CHANNEL_EXTENDED_DATA = 95;
export const CHANNEL_EOF = 96;
export const CHANNEL_CLOSE = 97;
export const CHANNEL_REQUEST = 98;
export const CHANNEL_SUCCESS = 99;
export const CHANNEL_FAILURE = 100;

/** A number is a uint32, a boolean a byte, anything else a string of RFC 4251. */
export type WireField = number | boolean | string | Uint8Array;

/** Sends a message of these fields. */
export function sendMessage(
  transport: PacketTransport,
  type: number,
  given: readonly WireField[],
): void {
  const fields = given.map(encoded);
  let size = 1;
  for (const field of fields) size += sizeOf(field);
  const packet = transport.alloc(size);
  let at = HEAD;
  packet[at++] = type;
  for (const field of fields) {
    if (typeof field === "number") {
      at = packet.writeUInt32BE(field, at);
    } else if (typeof field === "boolean") {
      packet[at++] = field ? 1 : 0;
    } else if (typeof field === "string") {
      const start = at + 4;
      at = start + writeText(packet, field, start);
      packet.writeUInt32BE(at - start, start - 4);
    } else {
      at = packet.writeUInt32BE(field.length, at);
      packet.set(field, at);
      at += field.length;
    }
  }
  transport.send(packet);
}

/**
 * Up to this length text is looked at here: names and most commands are short
 * and ASCII, and a call into the runtime costs more than all of it.
 */
const SHORT_TEXT = 64;

function isShortAscii(text: string): boolean {
  if (text.length > SHORT_TEXT) return false;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}

/** A name of a file that is not UTF-8 is sent as SFTP sends it. */
function encoded(field: WireField): WireField {
  const isPlain = typeof field !== "string" || field.isWellFormed();
  return isPlain ? field : encodeText(field);
}

/** Writes text as UTF-8, and returns how many bytes it has. */
function writeText(packet: Buffer, text: string, at: number): number {
  if (!isShortAscii(text)) return packet.write(text, at);
  for (let i = 0; i < text.length; i++) packet[at + i] = text.charCodeAt(i);
  return text.length;
}

/** Sends data: the hot path, without a list of fields. */
export function sendData(
  transport: PacketTransport,
  id: number,
  data: Uint8Array,
): void {
  const packet = transport.alloc(9 + data.length);
  packet[HEAD] = CHANNEL_DATA;
  packet.writeUInt32BE(id, HEAD + 1);
  packet.writeUInt32BE(data.length, HEAD + 5);
  packet.set(data, HEAD + 9);
  transport.send(packet);
}

function sizeOf(field: WireField): number {
  if (typeof field === "number") return 4;
  if (typeof field === "boolean") return 1;
  if (typeof field !== "string" || isShortAscii(field)) return 4 + field.length;
  return 4 + Buffer.byteLength(field);
}

/** Reads the fields of a message in order; one that is cut off is a violation. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  #at: number;

  /**
   * @param bytes The whole message, which begins with its type.
   * @param at Where the first field begins.
   */
  constructor(bytes: Uint8Array, at = 1) {
    this.#bytes = bytes;
    this.#at = at;
  }

  uint32(): number {
    return uint32At(this.#bytes, this.#take(4));
  }

  boolean(): boolean {
    return this.#bytes[this.#take(1)] !== 0;
  }

  bytes(): Uint8Array {
    const length = this.uint32();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    const bytes = this.bytes();
    const { buffer, byteOffset, length } = bytes;
    return shortAscii(bytes) ??
      Buffer.from(buffer, byteOffset, length).toString();
  }

  /** Passes over so many bytes, and returns where they begin. */
  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#bytes.length) throw tooShort(this.#bytes[0]);
    this.#at += bytes;
    return at;
  }
}

/** Reads text that is short and ASCII, as `writeText()` writes it. */
function shortAscii(bytes: Uint8Array): string | undefined {
  if (bytes.length > SHORT_TEXT) return undefined;
  let text = "";
  for (const byte of bytes) {
    if (byte > 0x7f) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Returns the number at a place that is known to be there. */
export function uint32At(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) |
    (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Makes the error for a message that ends before its fields do. */
export function tooShort(type: number | undefined): ProtocolViolation {
  return new ProtocolViolation(
    `the server sent a message ${type} that is too short`,
  );
}
