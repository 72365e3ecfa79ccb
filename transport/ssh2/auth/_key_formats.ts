/**
 * The formats of private keys.
 *
 * ssh2 reads OpenSSH's own, PKCS1, SEC1 and PuTTY's; PKCS8 is turned into one of
 * these first.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  createDecipheriv,
  createHash,
  createPrivateKey,
  type KeyObject,
} from "node:crypto";
// @ts-types="@types/ssh2"
import ssh2, { type ParsedKey } from "ssh2";
import { ByteReader, string, uint32 } from "../_bytes.ts";

const MAGIC = "openssh-key-v1\0";
const CONTAINER =
  /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END OPENSSH PRIVATE KEY-----/;
const PKCS8 = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/;
const LEGACY =
  /^-----BEGIN (RSA|EC|DSA) PRIVATE KEY-----[ \t]*\r?\n((?:[\w-]+:.*\n)*)([\s\S]+?)-----END \1 PRIVATE KEY-----$/;
const PUBLIC_LINE =
  /^\s*((?:sk-)?(?:ssh|ecdsa)-[\w.@-]+)\s+([A-Za-z0-9+/]+={0,2})(?:\s|$)/;

/**
 * More rounds are refused. ssh2 hashes in JavaScript and blocks the process:
 * the 24 rounds of ssh-keygen take 0.2 s, a forged number would never end.
 */
const MAX_ROUNDS = 1000;

/** A key that cannot be used, whatever the passphrase. */
class KeyFormatError extends Error {
  override readonly name = "KeyFormatError";
}

/** Whether a private key needs a passphrase. */
export function isEncrypted(text: string): boolean {
  const container = openContainer(text);
  if (container !== undefined) return container.cipher !== "none";
  return /BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type: 4,ENCRYPTED/m.test(text) ||
    /^PuTTY-User-Key[\s\S]*^Encryption: (?!none)/m.test(text);
}

/**
 * The public key of a key file or of a `.pub` line, as far as it can be known
 * without a passphrase.
 */
export function publicBlob(text: string): Buffer | undefined {
  const line = PUBLIC_LINE.exec(text);
  if (line !== null) return Buffer.from(line[2] ?? "", "base64");
  const container = openContainer(text);
  if (container !== undefined) return container.publicKey;
  if (!text.includes("PRIVATE KEY") || isEncrypted(text)) return undefined;
  const key = parsePrivate(text);
  return key instanceof Error ? undefined : key.getPublicSSH();
}

/**
 * Parses a private key.
 *
 * @param text The key.
 * @param passphrase Its passphrase, if it is encrypted.
 * @returns The key, or an error whose message holds no secret.
 */
export function parsePrivate(
  text: string,
  passphrase?: string,
): ParsedKey | Error {
  try {
    return readKey(text.trim(), passphrase);
  } catch (error) {
    if (error instanceof KeyFormatError) return error;
    // If a passphrase was given, it is almost certainly the wrong one.
    return passphrase === undefined
      ? describe(error)
      : new Error("wrong passphrase");
  }
}

function readKey(text: string, passphrase: string | undefined): ParsedKey {
  if (PKCS8.test(text)) return parse(fromPkcs8(text, passphrase));
  const legacy = LEGACY.exec(text);
  if (legacy !== null) {
    const [, kind = "", headers = "", body = ""] = legacy;
    const der = decryptLegacy(Buffer.from(body, "base64"), headers, passphrase);
    return parse(kind === "EC" ? ecContainer(der) : pem(kind, der));
  }
  const opened = openContainer(text);
  const rounds = opened?.rounds ?? 0;
  if (rounds > MAX_ROUNDS) {
    throw new KeyFormatError(
      `its passphrase takes ${rounds} rounds, the limit is ${MAX_ROUNDS}`,
    );
  }
  const key = parse(text, passphrase);
  if (opened !== undefined && !opened.publicKey.equals(key.getPublicSSH())) {
    throw new KeyFormatError("its two parts are of different keys");
  }
  if (!key.type.startsWith("ecdsa-")) return key;
  // The number in the container may lack leading zeros, or have one too many.
  // ssh2 makes a key of it that Deno refuses, for half of all keys.
  return parse(
    ecContainer(
      Buffer.from(key.getPrivatePEM().replaceAll(/-.*-/g, ""), "base64"),
    ),
  );
}

function parse(text: string, passphrase?: string): ParsedKey {
  const parsed: unknown = ssh2.utils.parseKey(text, passphrase);
  // ssh2 gives a list for some formats, although its types do not say so.
  const key = (Array.isArray(parsed) ? parsed[0] : parsed) as
    | ParsedKey
    | Error
    | undefined;
  if (key === undefined) throw new Error("it holds no key");
  if (key instanceof Error) throw key;
  if (!key.isPrivateKey()) throw new Error("it is a public key");
  return key;
}

function describe(error: unknown): Error {
  return error instanceof Error ? error : new Error("the format is not known");
}

interface Container {
  readonly cipher: string;
  /** How often the passphrase is hashed. */
  readonly rounds: number;
  readonly publicKey: Buffer;
}

function openContainer(text: string): Container | undefined {
  const body = CONTAINER.exec(text)?.[1];
  if (body === undefined) return undefined;
  try {
    const reader = new ByteReader(Buffer.from(body, "base64"));
    if (reader.take(MAGIC.length).toString("latin1") !== MAGIC) {
      return undefined;
    }
    const cipher = reader.string().toString();
    reader.string(); // The key derivation.
    const options = new ByteReader(reader.string());
    const rounds = cipher === "none" ? 0 : (options.string(), options.uint32());
    reader.uint32(); // The number of keys, of which OpenSSH writes one.
    return { cipher, rounds, publicKey: reader.string() };
  } catch {
    return undefined; // Cut short: the parser reports it.
  }
}

function fromPkcs8(text: string, passphrase: string | undefined): string {
  const key = createPrivateKey({
    key: text,
    format: "pem",
    ...(passphrase === undefined ? {} : { passphrase }),
  });
  const type = key.asymmetricKeyType;
  if (type === "rsa") {
    return key.export({ type: "pkcs1", format: "pem" }).toString().trim();
  }
  if (type === "ec") {
    return ecContainer(key.export({ type: "sec1", format: "der" }));
  }
  if (type === "ed25519") return edContainer(key);
  throw new KeyFormatError(`SSH has no keys of type ${type}`);
}

/**
 * Removes the encryption of RFC 1421. ssh2 would leave the padding after the
 * key, and Deno refuses such a key.
 */
function decryptLegacy(
  body: Buffer,
  headers: string,
  passphrase: string | undefined,
): Buffer {
  const info = /^DEK-Info: *([\w-]+),([0-9A-Fa-f]+)/m.exec(headers);
  if (info === null) return body;
  const [, cipher = "", hex = ""] = info;
  const length = /^aes-(\d+)/i.exec(cipher)?.[1];
  const keyLength = length === undefined ? 24 : Number(length) / 8;
  const iv = Buffer.from(hex, "hex");
  const secret = Buffer.concat([
    Buffer.from(passphrase ?? ""),
    iv.subarray(0, 8),
  ]);
  let key: Buffer = Buffer.alloc(0);
  for (let last: Buffer = key; key.length < keyLength;) {
    last = createHash("md5").update(last).update(secret).digest();
    key = Buffer.concat([key, last]);
  }
  const decipher = createDecipheriv(
    cipher.toLowerCase(),
    key.subarray(0, keyLength),
    iv,
  );
  return Buffer.concat([decipher.update(body), decipher.final()]);
}

function pem(kind: string, der: Buffer): string {
  const body = der.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${kind} PRIVATE KEY-----\n${body}\n-----END ${kind} PRIVATE KEY-----`;
}

/** Writes an Ed25519 key as OpenSSH does: it has no other form but PKCS8. */
function edContainer(key: KeyObject): string {
  const { d = "", x = "" } = key.export({ format: "jwk" });
  const publicKey = Buffer.from(x, "base64url");
  const both = Buffer.concat([Buffer.from(d, "base64url"), publicKey]);
  const blob = Buffer.concat([string("ssh-ed25519"), string(publicKey)]);
  return container(blob, Buffer.concat([blob, string(both)]));
}

interface Curve {
  readonly name: string;
  readonly bytes: number;
}

const CURVES: Readonly<Record<string, Curve>> = {
  "2a8648ce3d030107": { name: "nistp256", bytes: 32 },
  "2b81040022": { name: "nistp384", bytes: 48 },
  "2b81040023": { name: "nistp521", bytes: 66 },
};

/**
 * Writes an ECDSA key of SEC1 as OpenSSH does, its number in full width: ssh2
 * asks node:crypto for the public part of a SEC1 key, and Deno does not have
 * that for P-521.
 */
function ecContainer(sec1: Buffer): string {
  const reader = new ByteReader(new ByteReader(sec1).der(0x30));
  reader.der(0x02); // The version.
  const number = reader.der(0x04);
  const curve =
    CURVES[new ByteReader(reader.der(0xa0)).der(0x06).toString("hex")];
  if (curve === undefined) {
    throw new KeyFormatError("SSH has no keys on its curve");
  }
  const point = new ByteReader(reader.der(0xa1)).der(0x03).subarray(1);
  const scalar = Buffer.alloc(curve.bytes);
  const significant = number.subarray(Math.max(0, number.length - curve.bytes));
  significant.copy(scalar, curve.bytes - significant.length);
  const blob = Buffer.concat([
    string(`ecdsa-sha2-${curve.name}`),
    string(curve.name),
    string(point),
  ]);
  return container(blob, Buffer.concat([blob, string(scalar)]));
}

function container(blob: Buffer, fields: Buffer): string {
  // Two equal numbers first, by which a wrong passphrase would be found.
  const secret = Buffer.concat([uint32(0), uint32(0), fields, string("")]);
  const padding = Buffer.of(1, 2, 3, 4, 5, 6, 7).subarray(
    0,
    -secret.length & 7,
  );
  const body = Buffer.concat([
    Buffer.from(MAGIC),
    string("none"),
    string("none"),
    string(""),
    uint32(1),
    string(blob),
    string(Buffer.concat([secret, padding])),
  ]);
  return pem("OPENSSH", body);
}
