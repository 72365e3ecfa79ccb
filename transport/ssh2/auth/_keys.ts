/**
 * Private keys: read from files or text, decrypted when their turn comes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
// @ts-types="@types/ssh2"
import type { ParsedKey } from "ssh2";
import { homeDirectory, readEnv } from "../../_local.ts";
import type { Passphrase, PassphraseRequest } from "../../host.ts";
import { isEncrypted, parsePrivate, publicBlob } from "./_key_formats.ts";

/** The longest key file, in bytes: a key of 16384 bits takes 13 KB. */
const MAX_KEY_BYTES = 256 * 1024;

/** A private key that may not have been read yet. */
export interface Identity {
  /** The path as it was given, or `"privateKey"`. */
  readonly name: string;
  /** The public key in wire format, where it can be known without a passphrase. */
  readonly blob: Buffer | undefined;
  /** The certificate beside the key file, in wire format. */
  readonly certificate?: Buffer | undefined;
  /** Parses the key, and asks for the passphrase if it needs one. */
  load(passphrase: Passphrase | undefined, host: string): Promise<ParsedKey>;
}

/** What makes a key unusable; the message names the key and holds no secret. */
export class KeyError extends Error {
  override readonly name = "KeyError";
}

/**
 * Reads a key file, without decrypting it.
 *
 * @param path The path; `~/` is the home directory.
 * @returns The identity.
 * @throws {KeyError} If neither the file nor its `.pub` can be read.
 */
export async function readIdentity(path: string): Promise<Identity> {
  const full = expandHome(path);
  const [text, beside, certificate] = await Promise.all([
    readFile(full, "utf8").catch((error: Error) => error),
    readFile(`${full}.pub`, "utf8").catch(() => ""),
    readFile(`${full}-cert.pub`, "utf8").catch(() => ""),
  ]);
  const known = publicBlob(beside);
  if (typeof text !== "string") {
    // The private part may live in an agent alone.
    if (known === undefined) {
      throw new KeyError(
        `Cannot read the key ${JSON.stringify(path)}: ${reason(text)}`,
        { cause: text },
      );
    }
    return publicOnly(path, known, publicBlob(certificate));
  }
  const isPrivate = text.length <= MAX_KEY_BYTES &&
    /PRIVATE KEY|^PuTTY-User-Key/.test(text);
  const blob = publicBlob(text.slice(0, MAX_KEY_BYTES)) ?? known;
  if (!isPrivate) {
    if (blob !== undefined) {
      return publicOnly(path, blob, publicBlob(certificate));
    }
    throw new KeyError(
      `Cannot read the key ${JSON.stringify(path)}: it is no key file`,
    );
  }
  return {
    name: path,
    blob,
    certificate: publicBlob(certificate),
    load: async (passphrase, host) => {
      const { mtimeMs, size } = await stat(full).catch(() => ({
        mtimeMs: 0,
        size: 0,
      }));
      const stamp = `${full}\0${mtimeMs}\0${size}`;
      return loadOnce(stamp, text, passphrase, { key: path, host });
    },
  };
}

/**
 * Takes a key given as text.
 *
 * @param key The key, in any format that is known.
 * @returns The identity.
 */
export function textIdentity(key: string | Uint8Array): Identity {
  const text = typeof key === "string" ? key : Buffer.from(key).toString();
  const stamp = createHash("sha256").update(text).digest("hex");
  return {
    name: "privateKey",
    blob: publicBlob(text),
    load: (passphrase, host) =>
      loadOnce(stamp, text, passphrase, { key: "privateKey", host }),
  };
}

function publicOnly(
  name: string,
  blob: Buffer,
  certificate: Buffer | undefined,
): Identity {
  const load = () =>
    Promise.reject(
      new KeyError(
        `Cannot use the key ${
          JSON.stringify(name)
        }: it is a public key, and no agent holds the private one`,
      ),
    );
  return { name, blob, certificate, load };
}

const MAX_CACHED_KEYS = 100;
const cache = new Map<string, Promise<ParsedKey>>();
const cacheSecret = randomBytes(32);
// A function is known by being the same object: what one caller's function
// opened is not open to another's.
const askers = new WeakMap<object, number>();
let lastAsker = 0;

/**
 * One question per key, however many dials want it. The parsed key is kept and
 * the passphrase is not. Whoever gives a passphrase as text finds only what
 * that same passphrase has opened, and whoever gives a function what that same
 * function has: else a wrong one would work after a right one.
 */
function loadOnce(
  stamp: string,
  text: string,
  passphrase: Passphrase | undefined,
  request: PassphraseRequest,
): Promise<ParsedKey> {
  const key = `${stamp}\0${passphraseIdentity(passphrase)}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const loading = load(text, passphrase, request);
  cache.set(key, loading);
  // Only if it is still this one: a later question may stand in its place.
  loading.catch(() => cache.get(key) === loading && cache.delete(key));
  for (const oldest of cache.keys()) {
    if (cache.size <= MAX_CACHED_KEYS) break;
    cache.delete(oldest);
  }
  return loading;
}

function passphraseIdentity(passphrase: Passphrase | undefined): string {
  if (passphrase === undefined) return "none";
  if (typeof passphrase === "function") {
    let id = askers.get(passphrase);
    if (id === undefined) askers.set(passphrase, id = ++lastAsker);
    return `asked ${id}`;
  }
  return createHmac("sha256", cacheSecret).update(passphrase).digest("hex");
}

async function load(
  text: string,
  passphrase: Passphrase | undefined,
  request: PassphraseRequest,
): Promise<ParsedKey> {
  const shown = JSON.stringify(request.key);
  if (!isEncrypted(text)) {
    const key = parsePrivate(text);
    if (!(key instanceof Error)) return key;
    throw new KeyError(`Cannot use the key ${shown}: ${key.message}`, {
      cause: key,
    });
  }
  if (passphrase === undefined) {
    throw new KeyError(
      `Cannot decrypt the key ${shown}: no passphrase was given`,
    );
  }
  const secret = await ask(passphrase, request);
  const key = parsePrivate(text, secret);
  if (!(key instanceof Error)) return key;
  throw new KeyError(`Cannot decrypt the key ${shown}: ${key.message}`, {
    cause: key,
  });
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
  if (code === "EACCES" || code === "EPERM" || error.name === "NotCapable") {
    return "permission denied";
  }
  return code === undefined ? error.message : String(code);
}

/** The home directory, as `node:os` has it; `undefined` if it is not known. */
export function home(): string | undefined {
  // Deno's own needs --allow-sys, also where --allow-env=HOME was given.
  return readEnv("HOME") || homeDirectory();
}

function expandHome(path: string): string {
  if (path !== "~" && !path.startsWith("~/")) return path;
  return (home() ?? "~") + path.slice(1);
}
