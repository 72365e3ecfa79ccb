/**
 * Private keys, read from files or given as text. A key is decrypted only when
 * it is about to be used.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import process from "node:process";
// @ts-types="@types/ssh2"
import type { ParsedKey } from "ssh2";
import { expandHome, localUid } from "../../host/local_user.ts";
import { readSmallFile } from "../../host/read_file.ts";
import type { Passphrase, PassphraseRequest } from "../../host/host.ts";
import type { KeyCache } from "./key_cache.ts";
import { KeyFormatError } from "./_key_ciphers.ts";
import {
  findUnreadable,
  isEncrypted,
  parsePrivate,
  publicBlob,
} from "./_key_formats.ts";
import { isCertificate } from "./_wire.ts";

/** The longest key file, in bytes: a key of 16384 bits takes 13 KB. */
const MAX_KEY_BYTES = 256 * 1024;

const NO_KEY_HINT =
  "privateKey takes the text of a key, use identityFile for its path";

/** What a key needs in order to be loaded. */
export interface KeyLoadOptions {
  /** The passphrase of the host. */
  readonly passphrase: Passphrase | undefined;
  /** The name of the host, for the passphrase function. */
  readonly host: string;
  /** Where parsed keys are kept. */
  readonly cache: KeyCache;
}

/** A private key that may not have been decrypted yet. */
export interface Identity {
  /** The path as it was given, or `"privateKey"`. */
  readonly name: string;
  /** The public key in wire format, where it is known without a passphrase. */
  readonly blob: Buffer | undefined;
  /** The certificate beside the key file, in wire format. */
  readonly certificate?: Buffer | undefined;
  /** Parses the key, and asks for the passphrase if it needs one. */
  load(options: KeyLoadOptions): Promise<ParsedKey>;
}

/** Options for {@linkcode KeyError}. */
export interface KeyErrorOptions extends ErrorOptions {
  /** What the caller can change. */
  readonly hint?: string;
}

/** Why a key cannot be used. The message names the key and holds no secret. */
export class KeyError extends Error {
  override readonly name = "KeyError";
  /** What the caller can change. */
  readonly hint: string | undefined;

  /**
   * @param message What failed.
   * @param options The cause and the hint.
   */
  constructor(message: string, options: KeyErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.hint = options.hint;
  }
}

/**
 * Reads a key file, without decrypting it.
 *
 * @param path The path; `~/` is the home directory.
 * @returns The identity.
 * @throws {KeyError} If neither the file nor its `.pub` can be read.
 */
export async function readIdentity(path: string): Promise<Identity> {
  const full = expandHome(path) ?? path;
  const [file, beside, certificate] = await Promise.all([
    readKeyFile(full).catch((error: Error) => error),
    readKeyText(`${full}.pub`).catch(() => ""),
    readKeyText(`${full}-cert.pub`).catch(() => ""),
  ]);
  const known = {
    name: path,
    blob: publicBlob(beside),
    certificate: publicBlob(certificate),
  };
  if (file instanceof Error) {
    if (known.blob !== undefined) return unusable(known, notPrivate(path));
    throw new KeyError(
      `Cannot read the key ${JSON.stringify(path)}: ${reason(file)}`,
      { cause: file },
    );
  }
  const { text, stamp, mode } = file;
  const blob = publicBlob(text) ?? known.blob;
  if (!looksLikeKey(text)) {
    if (blob !== undefined) {
      return unusable({ ...known, blob }, notPrivate(path));
    }
    throw new KeyError(
      `Cannot read the key ${JSON.stringify(path)}: it is no key file`,
    );
  }
  const identity = { ...known, blob };
  if (mode !== undefined) return unusable(identity, tooOpen(path, mode));
  return {
    ...identity,
    load: ({ passphrase, host, cache }) =>
      cache.get(
        `${full}\0${stamp}`,
        passphrase,
        () => decrypt(text, passphrase, { key: path, host }),
      ),
  };
}

/**
 * Takes a key given as text.
 *
 * @param key The key, in any format that is known.
 * @returns The identity.
 * @throws {KeyError} If the text is a path instead of a key.
 */
export function textIdentity(key: string | Uint8Array): Identity {
  const text = typeof key === "string" ? key : Buffer.from(key).toString();
  if (/^(?:~|\.{0,2}[/\\]|[A-Za-z]:[/\\])[^\n]{0,1024}$/.test(text.trim())) {
    throw new KeyError(
      'Cannot use the key "privateKey": it is a path, must be the text of a key',
      { hint: NO_KEY_HINT },
    );
  }
  const digest = createHash("sha256").update(text).digest("hex");
  return {
    name: "privateKey",
    blob: publicBlob(text),
    load: ({ passphrase, host, cache }) =>
      cache.get(
        digest,
        passphrase,
        () => decrypt(text, passphrase, { key: "privateKey", host }),
      ),
  };
}

/**
 * Reads a certificate of `certificateFile`.
 *
 * @param path The path; `~/` is the home directory.
 * @returns The certificate in wire format.
 * @throws {KeyError} If the file cannot be read, or is no certificate.
 */
export async function readCertificate(path: string): Promise<Buffer> {
  const shown = JSON.stringify(path);
  let text: string;
  try {
    text = await readKeyText(expandHome(path) ?? path);
  } catch (cause) {
    throw new KeyError(
      `Cannot read the certificate ${shown}: ${reason(cause as Error)}`,
      { cause },
    );
  }
  const blob = publicBlob(text);
  if (blob !== undefined && isCertificate(blob)) return blob;
  throw new KeyError(
    `Cannot use the certificate ${shown}: it is no certificate of OpenSSH`,
  );
}

interface KeyFile {
  readonly text: string;
  /** Changes when the file does. */
  readonly stamp: string;
  /** The permissions, if they let others read the key. */
  readonly mode: number | undefined;
}

async function readKeyFile(path: string): Promise<KeyFile> {
  const { bytes, stats } = await readSmallFile(path, MAX_KEY_BYTES);
  const { mtimeMs, size, mode, uid } = stats;
  // As OpenSSH does: it looks at the user's own files only.
  const isOpen = process.platform !== "win32" && uid === localUid() &&
    (mode & 0o077) !== 0;
  return {
    text: bytes.toString(),
    stamp: `${mtimeMs}\0${size}`,
    mode: isOpen ? mode & 0o777 : undefined,
  };
}

/** Reads a public key or a certificate. */
async function readKeyText(path: string): Promise<string> {
  const { bytes } = await readSmallFile(path, MAX_KEY_BYTES);
  return bytes.toString();
}

type PublicPart = Omit<Identity, "load">;

/** An identity that shows its public key, and cannot be loaded. */
function unusable(known: PublicPart, why: KeyError): Identity {
  return { ...known, load: () => Promise.reject(why) };
}

function notPrivate(path: string): KeyError {
  return new KeyError(
    `Cannot use the key ${JSON.stringify(path)}: it is a public key, and no ` +
      "agent holds the private one",
    { hint: "name the file of the private key, or add the key to the agent" },
  );
}

function tooOpen(path: string, mode: number): KeyError {
  const octal = mode.toString(8).padStart(4, "0");
  return new KeyError(
    `Cannot use the key ${JSON.stringify(path)}: its mode is ${octal}, which ` +
      `lets other users read it; run "chmod 600 ${path}"`,
    { hint: `run: chmod 600 ${path}` },
  );
}

function looksLikeKey(text: string): boolean {
  return /PRIVATE KEY|^PuTTY-User-Key/.test(text);
}

async function decrypt(
  text: string,
  passphrase: Passphrase | undefined,
  request: PassphraseRequest,
): Promise<ParsedKey> {
  const shown = JSON.stringify(request.key);
  const unreadable = findUnreadable(text);
  if (unreadable !== undefined || !isEncrypted(text)) {
    const key = unreadable ?? parsePrivate(text);
    if (!(key instanceof Error)) return key;
    throw new KeyError(`Cannot use the key ${shown}: ${key.message}`, {
      cause: key,
      ...looksLikeKey(text) ? hintOf(key) : { hint: NO_KEY_HINT },
    });
  }
  if (passphrase === undefined) {
    throw new KeyError(
      `Cannot decrypt the key ${shown}: no passphrase was given`,
      { hint: "set passphrase, or add the key to the agent" },
    );
  }
  const secret = await ask(passphrase, request);
  const key = parsePrivate(text, secret);
  if (!(key instanceof Error)) return key;
  throw new KeyError(`Cannot decrypt the key ${shown}: ${key.message}`, {
    cause: key,
    ...hintOf(key),
  });
}

function hintOf(error: Error): { readonly hint?: string } {
  return error instanceof KeyFormatError && error.hint !== undefined
    ? { hint: error.hint }
    : {};
}

async function ask(
  passphrase: Passphrase,
  request: PassphraseRequest,
): Promise<string> {
  if (typeof passphrase === "string") return passphrase;
  try {
    return await passphrase(request);
  } catch (cause) {
    throw new KeyError(
      `Cannot decrypt the key ${
        JSON.stringify(request.key)
      }: the passphrase function failed`,
      { cause },
    );
  }
}

function reason(error: Error): string {
  const code = "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EISDIR") return "it is a directory";
  if (code === "EACCES" || code === "EPERM" || error.name === "NotCapable") {
    return "permission denied";
  }
  return code === undefined ? error.message : String(code);
}
