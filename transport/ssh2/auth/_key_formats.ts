/**
 * The formats of private keys.
 *
 * ssh2 reads OpenSSH's own, PKCS1, SEC1 and PuTTY's; PKCS8 is turned into one of
 * these first.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { KeyObject } from "node:crypto";
// @ts-types="@types/ssh2"
import ssh2, { type ParsedKey } from "ssh2";
import { ByteReader, string, uint32 } from "../_bytes.ts";
import {
  type Container,
  decryptContainer,
  decryptLegacy,
  KeyFormatError,
  openContainer,
  openPkcs8,
  plainContainer,
  WrongPassphrase,
} from "./_key_ciphers.ts";

/** A private key between its lines; ssh reads over what is around it. */
const PEM =
  /-----BEGIN ((?:[A-Z0-9]+ )*)PRIVATE KEY-----[\s\S]+?-----END \1PRIVATE KEY-----/;
const PUTTY = /^PuTTY-User-Key-File-(\d+):/;
const CONTAINER =
  /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END OPENSSH PRIVATE KEY-----/;
const PKCS8 = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/;
const LEGACY =
  /^-----BEGIN (RSA|EC|DSA) PRIVATE KEY-----[ \t]*\n((?:[\w-]+:.*\n)*)([\s\S]+?)-----END \1 PRIVATE KEY-----$/;
const PUBLIC_LINE =
  /^\s*((?:sk-)?(?:ssh|ecdsa)-[\w.@-]+)\s+([A-Za-z0-9+/]+={0,2})(?:\s|$)/;

/** What environment variables of CI hold in place of line ends. */
const ESCAPED = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\\r?\\?n/;

/** The key itself, with line ends of one kind. */
function keyIn(text: string): string {
  const unix = text.replace(/^\uFEFF/, "").replaceAll(/\r\n?/g, "\n").trim();
  return PUTTY.test(unix) ? unix : PEM.exec(unix)?.[0] ?? unix;
}

/** Whether a private key needs a passphrase. */
export function isEncrypted(text: string): boolean {
  const key = keyIn(text);
  const container = containerIn(key);
  if (container !== undefined) return container.cipher !== "none";
  return /BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type: 4,ENCRYPTED/m.test(key) ||
    /^PuTTY-User-Key[\s\S]*^Encryption: (?!none)/m.test(key);
}

/**
 * The public key of a key file or of a `.pub` line, as far as it can be known
 * without a passphrase.
 */
export function publicBlob(text: string): Buffer | undefined {
  const line = PUBLIC_LINE.exec(text);
  if (line !== null) return Buffer.from(line[2] ?? "", "base64");
  const container = containerIn(keyIn(text));
  if (container !== undefined) return container.publicKey;
  if (!text.includes("PRIVATE KEY") || isEncrypted(text)) return undefined;
  const key = parsePrivate(text);
  return key instanceof Error ? undefined : key.getPublicSSH();
}

/**
 * Says why a text cannot be a key before a passphrase is asked for.
 *
 * @param text The text.
 * @returns The reason, if there is one.
 */
export function findUnreadable(text: string): KeyFormatError | undefined {
  if (ESCAPED.test(text)) {
    return new KeyFormatError(
      'its line ends are the two characters "\\" and "n"',
      'put the line ends back: text.replaceAll("\\\\n", "\\n")',
    );
  }
  const key = keyIn(text);
  const version = PUTTY.exec(key)?.[1];
  if (version !== undefined && version !== "2") {
    return new KeyFormatError(
      `it is in version ${version} of PuTTY's format, which cannot be read`,
      "convert it: puttygen KEY.ppk -O private-openssh -o KEYFILE",
    );
  }
  if (/BEGIN SSH2 ENCRYPTED PRIVATE KEY/.test(text)) {
    return new KeyFormatError(
      "it is in the format of ssh.com, which cannot be read",
      "convert it: puttygen KEY -O private-openssh -o KEYFILE",
    );
  }
  return undefined;
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
    const unreadable = findUnreadable(text);
    if (unreadable !== undefined) return unreadable;
    return readKey(keyIn(text), passphrase);
  } catch (error) {
    if (error instanceof KeyFormatError) return error;
    // If a passphrase was given, it is almost certainly the wrong one.
    return passphrase === undefined ? describe(error) : new WrongPassphrase();
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
  const opened = containerIn(text);
  const key = opened === undefined || opened.cipher === "none"
    ? parse(text, passphrase)
    : parse(
      container(opened.publicKey, decryptContainer(opened, passphrase ?? "")),
    );
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

function containerIn(text: string): Container | undefined {
  const body = CONTAINER.exec(text)?.[1];
  return body === undefined ? undefined : openContainer(body);
}

function fromPkcs8(text: string, passphrase: string | undefined): string {
  const key = openPkcs8(text, passphrase);
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
  return container(blob, plainSecret(blob, string(both)));
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
  return container(blob, plainSecret(blob, string(scalar)));
}

/** The private part of a container, unencrypted. */
function plainSecret(blob: Buffer, number: Buffer): Buffer {
  // Two equal numbers first, by which a wrong passphrase would be found.
  const secret = Buffer.concat([
    uint32(0),
    uint32(0),
    blob,
    number,
    string(""),
  ]);
  const padding = Buffer.of(1, 2, 3, 4, 5, 6, 7);
  return Buffer.concat([secret, padding.subarray(0, -secret.length & 7)]);
}

function container(blob: Buffer, secret: Buffer): string {
  return pem("OPENSSH", plainContainer(blob, secret));
}
