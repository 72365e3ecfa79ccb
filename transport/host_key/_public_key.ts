/**
 * Public keys as known_hosts holds them: a type and base64.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** How many fields a key has, its type counted, and the type it says it is. */
const SHAPES: Readonly<Record<string, { fields: number; inner?: string }>> = {
  "ssh-ed25519": { fields: 2 },
  "ssh-rsa": { fields: 3 },
  "rsa-sha2-256": { fields: 3, inner: "ssh-rsa" },
  "rsa-sha2-512": { fields: 3, inner: "ssh-rsa" },
  "ecdsa-sha2-nistp256": { fields: 3 },
  "ecdsa-sha2-nistp384": { fields: 3 },
  "ecdsa-sha2-nistp521": { fields: 3 },
  "ssh-dss": { fields: 5 },
  "sk-ssh-ed25519@openssh.com": { fields: 3 },
  "sk-ecdsa-sha2-nistp256@openssh.com": { fields: 4 },
};

/** A whole ed25519 key: 51 bytes are 68 characters, without a bit to spare. */
const ED25519 = /^AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$/;

/**
 * Finds what is wrong with a key.
 *
 * @param type Its type, as written before it.
 * @param base64 The key.
 * @returns What is wrong, or `undefined` if it is well-formed.
 */
export function findKeyFault(type: string, base64: string): string | undefined {
  // Nearly every line of a large file is one of these; decoding it would take
  // most of the time of the parser.
  if (type === "ssh-ed25519" && ED25519.test(base64)) return undefined;
  const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined;
  if (shape === undefined) return "the key type is not known";
  if (base64 === "") return "the key is missing";
  const blob = Buffer.from(base64, "base64");
  // Only canonical base64 comes back as it went in. The lookup relies on it:
  // it compares keys as text.
  if (blob.toString("base64") !== base64) return "the key is not valid base64";
  const fields = splitFields(blob, shape.fields);
  if (fields === undefined) return "the key is cut short or too long";
  if (fields[0]!.toString("latin1") !== (shape.inner ?? type)) {
    return "the key is of another type than its line says";
  }
  return findFieldFault(type, fields);
}

/** Reads the type that a key in wire format says it is; empty if none. */
export function keyTypeOf(key: Uint8Array): string {
  const blob = Buffer.from(key.buffer, key.byteOffset, key.length);
  if (blob.length < 4) return "";
  return blob.toString("latin1", 4, Math.min(4 + blob.readUInt32BE(0), 64));
}

function splitFields(blob: Buffer, count: number): Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  while (fields.length < count) {
    if (at + 4 > blob.length) return undefined;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return undefined;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  return at === blob.length ? fields : undefined;
}

function findFieldFault(type: string, fields: Buffer[]): string | undefined {
  if (type === "ssh-ed25519" && fields[1]!.length !== 32) {
    return "the key is not 32 bytes long";
  }
  if (fields.length === 3 && fields[0]!.toString("latin1") === "ssh-rsa") {
    const modulus = fields[2]!;
    const start = modulus[0] === 0 ? 1 : 0;
    // OpenSSH knows no RSA key below 1024 bits, so none may be trusted here.
    const bits = (modulus.length - start) * 8 -
      Math.clz32(modulus[start] ?? 0) + 24;
    if (bits < 1024) return "the RSA key has less than 1024 bits";
  }
  return undefined;
}
