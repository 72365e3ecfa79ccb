/**
 * The formats of private keys.
 *
 * ssh2 reads OpenSSH's own, PKCS1, SEC1 and PuTTY's; PKCS8 is turned into one of
 * these first.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createPrivateKey, type KeyObject } from "node:crypto";
// @ts-types="@types/ssh2"
import ssh2, { type ParsedKey } from "ssh2";
import { ByteReader, string, uint32 } from "./_wire.ts";

const MAGIC = "openssh-key-v1\0";
const CONTAINER =
  /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END OPENSSH PRIVATE KEY-----/;
const PKCS8 = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/;
const PUBLIC_LINE =
  /^\s*((?:sk-)?(?:ssh|ecdsa)-[\w.@-]+)\s+([A-Za-z0-9+/]+={0,2})(?:\s|$)/;

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
  const secretFailed = passphrase === undefined
    ? undefined
    : new Error("wrong passphrase");
  try {
    const readable = PKCS8.test(text) ? fromPkcs8(text, passphrase) : text;
    const parsed: unknown = ssh2.utils.parseKey(readable, passphrase);
    // ssh2 gives a list for some formats, although its types do not say so.
    const key = (Array.isArray(parsed) ? parsed[0] : parsed) as
      | ParsedKey
      | Error
      | undefined;
    if (key === undefined) return new Error("it holds no key");
    if (key instanceof Error) return secretFailed ?? describe(key);
    return key.isPrivateKey() ? key : new Error("it is a public key");
  } catch (error) {
    return secretFailed ?? describe(error);
  }
}

function describe(error: unknown): Error {
  return error instanceof Error ? error : new Error("the format is not known");
}

interface Container {
  readonly cipher: string;
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
    reader.string(); // Its options.
    reader.uint32(); // The number of keys, of which OpenSSH writes one.
    return { cipher, publicKey: reader.string() };
  } catch {
    return undefined; // Cut short: parsing it will say so.
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
    return key.export({ type: "pkcs1", format: "pem" }).toString();
  }
  if (type === "ec") {
    return key.export({ type: "sec1", format: "pem" }).toString();
  }
  if (type === "ed25519") return toContainer(key);
  throw new Error(`SSH has no keys of type ${type}`);
}

/** Writes an Ed25519 key as OpenSSH does: PKCS8 is the only other format it has. */
function toContainer(key: KeyObject): string {
  const { d = "", x = "" } = key.export({ format: "jwk" });
  const publicKey = Buffer.from(x, "base64url");
  const blob = Buffer.concat([string("ssh-ed25519"), string(publicKey)]);
  const secret = Buffer.concat([
    uint32(0), // Two equal numbers, by which a wrong passphrase would be found.
    uint32(0),
    blob,
    string(Buffer.concat([Buffer.from(d, "base64url"), publicKey])),
    string(""),
  ]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(
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
  ]).toString("base64").replace(/.{70}/g, "$&\n");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----\n`;
}
