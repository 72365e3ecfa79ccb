/**
 * Decrypting private keys: what ssh2 or the runtime cannot.
 *
 * ssh2 takes every failure for a wrong passphrase. Here a cipher that cannot be
 * used is named.
 *
 * @module
 */

import bcryptModule from "bcrypt-pbkdf";
import { Buffer } from "node:buffer";
import {
  createDecipheriv,
  createHash,
  createPrivateKey,
  type KeyObject,
  pbkdf2Sync,
} from "node:crypto";
import { serverText } from "../../session/server_text.ts";
import { ByteReader, string, uint32 } from "../_bytes.ts";

/** The package declares no types. */
const bcrypt = bcryptModule as {
  /** Gives anything but 0 if it is given what it cannot use. */
  pbkdf(
    passphrase: Uint8Array,
    passphraseBytes: number,
    salt: Uint8Array,
    saltBytes: number,
    key: Uint8Array,
    keyBytes: number,
    rounds: number,
  ): number | undefined;
};

const MAGIC = "openssh-key-v1\0";

/**
 * More rounds are refused. They are hashed in JavaScript and block the process:
 * the 24 rounds of ssh-keygen take 0.2 s, a forged number would never end.
 */
const MAX_ROUNDS = 1000;
/** The same for PKCS8, hashed by the runtime: OpenSSL writes 2048. */
const MAX_ITERATIONS = 10_000_000;

/** A key that cannot be used, whatever the passphrase. */
export class KeyFormatError extends Error {
  override readonly name = "KeyFormatError";
  /** What the caller can change. */
  readonly hint: string | undefined;

  /**
   * @param message Why not.
   * @param hint What the caller can change.
   */
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** The passphrase is not the one of the key. */
export class WrongPassphrase extends Error {
  override readonly name = "WrongPassphrase";

  constructor() {
    super("wrong passphrase");
  }
}

/** OpenSSH's own format, opened as far as it goes without a passphrase. */
export interface Container {
  readonly cipher: string;
  /** The salt of the passphrase; empty if it is not encrypted. */
  readonly salt: Buffer;
  /** How often the passphrase is hashed. */
  readonly rounds: number;
  readonly publicKey: Buffer;
  /** The private part, and what the cipher appends. */
  readonly body: Buffer;
}

/** Opens a container; gives nothing if it is cut short, as the parser says. */
export function openContainer(base64: string): Container | undefined {
  try {
    const bytes = Buffer.from(base64, "base64");
    const reader = new ByteReader(bytes);
    if (reader.take(MAGIC.length).toString("latin1") !== MAGIC) {
      return undefined;
    }
    const cipher = reader.string().toString();
    reader.string(); // The key derivation.
    const options = new ByteReader(reader.string());
    const isPlain = cipher === "none";
    const salt = isPlain ? Buffer.alloc(0) : options.string();
    const rounds = isPlain ? 0 : options.uint32();
    reader.uint32(); // The number of keys, of which OpenSSH writes one.
    const publicKey = reader.string();
    const length = reader.uint32();
    const at = bytes.length - reader.left;
    const tag = TAG_BYTES[cipher] ?? 0;
    if (length + tag > reader.left) return undefined;
    const body = bytes.subarray(at, at + length + tag);
    return { cipher, salt, rounds, publicKey, body };
  } catch {
    return undefined;
  }
}

/** Writes a container that is not encrypted, in base64. */
export function plainContainer(publicKey: Buffer, secret: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(MAGIC),
    string("none"),
    string("none"),
    string(""),
    uint32(1),
    string(publicKey),
    string(secret),
  ]);
}

const TAG_BYTES: Readonly<Record<string, number>> = {
  "aes128-gcm@openssh.com": 16,
  "aes256-gcm@openssh.com": 16,
  "chacha20-poly1305@openssh.com": 16,
};

/** How OpenSSH's ciphers are called by node:crypto, and what they need. */
const CIPHERS: Readonly<Record<string, readonly [string, number, number]>> = {
  "3des-cbc": ["des-ede3-cbc", 24, 8],
  "aes128-cbc": ["aes-128-cbc", 16, 16],
  "aes192-cbc": ["aes-192-cbc", 24, 16],
  "aes256-cbc": ["aes-256-cbc", 32, 16],
  "aes128-ctr": ["aes-128-ctr", 16, 16],
  "aes192-ctr": ["aes-192-ctr", 24, 16],
  "aes256-ctr": ["aes-256-ctr", 32, 16],
  "aes128-gcm@openssh.com": ["aes-128-gcm", 16, 12],
  "aes256-gcm@openssh.com": ["aes-256-gcm", 32, 12],
  // Only the first half of its key is for content.
  "chacha20-poly1305@openssh.com": ["chacha20", 64, 0],
};

/**
 * Decrypts a container.
 *
 * @param container The container, encrypted.
 * @param passphrase The passphrase.
 * @returns The private part.
 */
export function decryptContainer(
  { cipher, salt, rounds, body }: Container,
  passphrase: string,
): Buffer {
  const known = CIPHERS[cipher];
  if (known === undefined) throw unknownCipher(cipher);
  if (rounds > MAX_ROUNDS) {
    throw new KeyFormatError(
      `its passphrase takes ${rounds} rounds, the limit is ${MAX_ROUNDS}`,
    );
  }
  const [name, keyBytes, ivBytes] = known;
  const secret = Buffer.from(passphrase);
  const derived = Buffer.alloc(keyBytes + ivBytes);
  const failed = bcrypt.pbkdf(
    secret,
    secret.length,
    salt,
    salt.length,
    derived,
    derived.length,
    rounds,
  );
  // An empty passphrase, for which there is no hash.
  if (failed) throw new WrongPassphrase();
  const tag = TAG_BYTES[cipher] ?? 0;
  const content = body.subarray(0, body.length - tag);
  const key = derived.subarray(0, keyBytes);
  const plain = name === "chacha20"
    // The first block of the stream is for the tag, which says nothing here
    // that the two numbers do not.
    ? decrypt(
      name,
      key.subarray(0, 32),
      Buffer.from([1, ...Buffer.alloc(15)]),
      content,
    )
    : decrypt(
      name,
      key,
      derived.subarray(keyBytes),
      content,
      body.subarray(-tag),
    );
  // Two equal numbers, by which a wrong passphrase is found.
  if (plain.length < 8 || plain.readUInt32BE(0) !== plain.readUInt32BE(4)) {
    throw new WrongPassphrase();
  }
  return plain;
}

/** Decrypts what has no padding that a runtime knows. */
function decrypt(
  name: string,
  key: Buffer,
  iv: Buffer,
  content: Buffer,
  tag?: Buffer,
): Buffer {
  if (name === "aes-192-cbc") return decryptAes192(key, iv, content);
  let decipher: ReturnType<typeof createDecipheriv>;
  try {
    decipher = createDecipheriv(name, key, iv);
  } catch {
    throw unknownCipher(name);
  }
  decipher.setAutoPadding(false);
  if (name.endsWith("-gcm")) {
    (decipher as unknown as { setAuthTag(tag: Buffer): void }).setAuthTag(tag!);
  }
  try {
    return Buffer.concat([decipher.update(content), decipher.final()]);
  } catch {
    throw new WrongPassphrase();
  }
}

/** Deno has AES-192 block by block, and not chained. */
function decryptAes192(key: Buffer, iv: Buffer, content: Buffer): Buffer {
  const blocks = decrypt("aes-192-ecb", key, Buffer.alloc(0), content);
  const before = Buffer.concat([iv, content]);
  return Buffer.from(blocks.map((it, index) => it ^ before[index]!));
}

/** Takes the padding of RFC 1423 off. */
function unpad(plain: Buffer, blockBytes: number): Buffer {
  const count = plain.at(-1) ?? 0;
  const padding = plain.subarray(-count);
  const isRight = count >= 1 && count <= blockBytes &&
    padding.length === count && padding.every((it) => it === count);
  if (!isRight) throw new WrongPassphrase();
  return plain.subarray(0, -count);
}

/**
 * Removes the encryption of RFC 1421.
 *
 * @param body The key.
 * @param headers The headers before it.
 * @param passphrase The passphrase.
 */
export function decryptLegacy(
  body: Buffer,
  headers: string,
  passphrase: string | undefined,
): Buffer {
  const info = /^DEK-Info: *([\w-]+),([0-9A-Fa-f]+)/m.exec(headers);
  if (info === null) return body;
  const [, name = "", hex = ""] = info;
  const cipher = name.toLowerCase();
  const known = Object.values(CIPHERS).find(([it]) => it === cipher);
  if (known === undefined || !cipher.endsWith("-cbc")) {
    throw unknownCipher(name);
  }
  const [, keyBytes, ivBytes] = known;
  const iv = Buffer.from(hex, "hex");
  if (iv.length !== ivBytes) throw new KeyFormatError("its DEK-Info is broken");
  const secret = Buffer.concat([
    Buffer.from(passphrase ?? ""),
    iv.subarray(0, 8),
  ]);
  let key: Buffer = Buffer.alloc(0);
  for (let last: Buffer = key; key.length < keyBytes;) {
    last = createHash("md5").update(last).update(secret).digest();
    key = Buffer.concat([key, last]);
  }
  return unpad(decrypt(cipher, key.subarray(0, keyBytes), iv, body), ivBytes);
}

const PBES2 = "2a864886f70d01050d";
const PBKDF2 = "2a864886f70d01050c";

/** The hashes and ciphers of PKCS5 by their object identifiers. */
const HASHES: Readonly<Record<string, string>> = {
  "2a864886f70d0207": "sha1",
  "2a864886f70d0209": "sha256",
  "2a864886f70d020a": "sha384",
  "2a864886f70d020b": "sha512",
};
const PKCS5_CIPHERS: Readonly<Record<string, string>> = {
  "2a864886f70d0307": "3des-cbc",
  "608648016503040102": "aes128-cbc",
  "608648016503040116": "aes192-cbc",
  "60864801650304012a": "aes256-cbc",
};

/**
 * Opens a key in PKCS8. The runtime's own function comes second: Deno's does
 * not know Triple DES, and takes whatever it does not know for a wrong passphrase.
 *
 * @param pem The key, encrypted or not.
 * @param passphrase The passphrase.
 */
export function openPkcs8(
  pem: string,
  passphrase: string | undefined,
): KeyObject {
  if (passphrase === undefined || !pem.includes("ENCRYPTED")) {
    return createPrivateKey({ key: pem, format: "pem" });
  }
  const plain = decryptPkcs8(
    Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ""), "base64"),
    passphrase,
  );
  if (plain !== undefined) {
    try {
      return createPrivateKey({ key: plain, format: "der", type: "pkcs8" });
    } catch {
      throw new WrongPassphrase(); // One of 256 has a padding that looks right.
    }
  }
  try {
    return createPrivateKey({ key: pem, format: "pem", passphrase });
  } catch {
    throw new KeyFormatError(
      "wrong passphrase, or a method of encryption that this runtime does " +
        "not have",
      ENCRYPT_AGAIN,
    );
  }
}

/** Gives nothing if it is encrypted by a method that is not known here. */
function decryptPkcs8(der: Buffer, passphrase: string): Buffer | undefined {
  const outer = new ByteReader(new ByteReader(der).der(0x30));
  const scheme = new ByteReader(outer.der(0x30));
  if (scheme.der(0x06).toString("hex") !== PBES2) return undefined;
  const methods = new ByteReader(scheme.der(0x30));
  const derivation = new ByteReader(methods.der(0x30));
  if (derivation.der(0x06).toString("hex") !== PBKDF2) return undefined;
  const parameters = new ByteReader(derivation.der(0x30));
  const salt = parameters.der(0x04);
  const count = parameters.der(0x02);
  const iterations = count.length > 6
    ? Infinity
    : count.readUIntBE(0, count.length);
  if (iterations > MAX_ITERATIONS) {
    throw new KeyFormatError(
      `its passphrase takes ${iterations} rounds, the limit is ${MAX_ITERATIONS}`,
    );
  }
  // The length of the key, which the cipher says as well.
  if (parameters.peek() === 0x02) parameters.der(0x02);
  const hash = parameters.left === 0
    ? "sha1"
    : HASHES[new ByteReader(parameters.der(0x30)).der(0x06).toString("hex")];
  const encryption = new ByteReader(methods.der(0x30));
  const cipher = PKCS5_CIPHERS[encryption.der(0x06).toString("hex")];
  if (hash === undefined || cipher === undefined) return undefined;
  const [name, keyBytes, ivBytes] = CIPHERS[cipher]!;
  const iv = encryption.der(0x04);
  if (iv.length !== ivBytes) return undefined;
  const key = pbkdf2Sync(passphrase, salt, iterations, keyBytes, hash);
  return unpad(decrypt(name, key, iv, outer.der(0x04)), ivBytes);
}

/** What to do about a key that cannot be decrypted here. */
const ENCRYPT_AGAIN =
  "encrypt it as OpenSSH does by default: ssh-keygen -p -f KEYFILE";

function unknownCipher(name: string): KeyFormatError {
  return new KeyFormatError(
    `it is encrypted with ${serverText(name, 64)}, which cannot be read here`,
    ENCRYPT_AGAIN,
  );
}
