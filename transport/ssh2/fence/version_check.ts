/**
 * The one check that ssh2 is as `_internals.ts` declares it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { Client } from "ssh2";
import ssh2Crypto from "ssh2/lib/protocol/crypto.js";
import type { RawClient, RawStreamCipher } from "./internals.ts";

/** The version of ssh2 whose members are declared here. */
const BUILT_FOR = "1.17.0";

const FUNCTION = "function";
const OBJECT = "object";
/** It is there, and has a value at times. */
const MAYBE = "undefined";

/** What a client has, once its `connect()` was called, and of which type. */
const CLIENT_MEMBERS: Members = {
  "emit": FUNCTION,
  "_protocol._cipher.allocPacket": FUNCTION,
  "_protocol._cipher.encrypt": FUNCTION,
  "_protocol._cipher.outSeqno": "number",
  "_protocol._destruct": FUNCTION,
  "_protocol._handlers.USERAUTH_FAILURE": FUNCTION,
  "_protocol._kexinit": MAYBE,
  "_protocol._offer.constructor": FUNCTION,
  "_protocol._offer.lists.cs.cipher.array": OBJECT,
  "_protocol._offer.lists.cs.compress.array": OBJECT,
  "_protocol._offer.lists.cs.lang.array": OBJECT,
  "_protocol._offer.lists.cs.mac.array": OBJECT,
  "_protocol._offer.lists.kex.array": OBJECT,
  "_protocol._offer.lists.sc.cipher.array": OBJECT,
  "_protocol._offer.lists.sc.mac.array": OBJECT,
  "_protocol._offer.lists.serverHostKey.array": OBJECT,
  "_protocol._onPayload": FUNCTION,
  "_protocol._onWrite": FUNCTION,
  "_protocol._packetRW.write.alloc": FUNCTION,
  "_protocol._packetRW.write.allocStart": "number",
  "_protocol._packetRW.write.finalize": FUNCTION,
  "_protocol._parse": FUNCTION,
  "_protocol.authPK": FUNCTION,
  "_protocol.parse": FUNCTION,
  "_protocol.rekey": FUNCTION,
};

/** What the object of an exchange by curve25519 has, before it is started. */
const KEY_EXCHANGE_MEMBERS: Members = {
  "_remoteKexinit": OBJECT,
  "computeSecret": FUNCTION,
  "convertPublicKey": FUNCTION,
  "generateKeys": FUNCTION,
  "getPublicKey": FUNCTION,
  "hashName": "string",
  "negotiated.kex": "string",
  "type": "string",
};

/** What each decipher has. */
const DECIPHER_MEMBERS: Members = {
  "_onPayload": FUNCTION,
  "decrypt": FUNCTION,
  "free": FUNCTION,
  "inSeqno": "number",
};

/** What the ciphers have that are mended in Deno; see `ciphers.ts`. */
const CIPHER_MEMBERS = {
  ChaChaCipher: {
    "_dead": "boolean",
    "_encKeyMain": OBJECT,
    "_encKeyPktLen": OBJECT,
    "_onWrite": FUNCTION,
    "encrypt": FUNCTION,
    "free": FUNCTION,
    "outSeqno": "number",
  },
  ChaChaDecipher: {
    "_decKeyMain": OBJECT,
    "_decKeyPktLen": OBJECT,
    ...DECIPHER_MEMBERS,
  },
  StreamCipher: { "_cipherInstance.final": FUNCTION, "free": FUNCTION },
  StreamDecipher: {
    "_decipherInstance.final": FUNCTION,
    ...DECIPHER_MEMBERS,
  },
} satisfies Record<string, Members>;

/** The paths of members, and their types as `typeof` names them. */
type Members = Readonly<Record<string, string>>;

/** ssh2 is not the version that this package was built for. */
export class Ssh2VersionError extends Error {
  override readonly name = "Ssh2VersionError";
}

let isChecked = false;

/**
 * Looks inside a client. The first one is checked: all that is declared in
 * this file has to be there.
 *
 * @param client The client, after its `connect()` was called.
 * @throws {Ssh2VersionError} If ssh2 is not the version this was built for.
 */
export function internalsOf(client: Client): RawClient {
  if (!isChecked) checkInternals(client);
  isChecked = true;
  return client as unknown as RawClient;
}

/**
 * Checks that all is there that is declared in this file.
 *
 * @param client The client, after its `connect()` was called.
 * @throws {Ssh2VersionError} If something is missing, or the version differs.
 */
export function checkInternals(client: object): void {
  const version = versionOf(client);
  check(version, client, CLIENT_MEMBERS, "");
  // Elsewhere nothing about them is changed.
  if ("Deno" in globalThis) checkCiphers(version);
  if (version !== BUILT_FOR) throw mismatch(version);
}

/**
 * Checks the object of a key exchange, which is not there at the first check.
 *
 * @param exchange The object.
 * @throws {Ssh2VersionError} If it is not as declared.
 */
export function checkKeyExchange(exchange: object): void {
  check(BUILT_FOR, exchange, KEY_EXCHANGE_MEMBERS, "KeyExchange.");
}

/**
 * Checks the decipher of a connection, which is not there at the first check.
 *
 * @param decipher The decipher.
 * @throws {Ssh2VersionError} If it is not as declared.
 */
export function checkDecipher(decipher: object): void {
  check(BUILT_FOR, decipher, DECIPHER_MEMBERS, "Decipher.");
}

function check(
  version: string,
  root: unknown,
  members: Members,
  prefix: string,
): void {
  for (const [path, type] of Object.entries(members)) {
    let value = root;
    const names: string[] = [];
    for (const name of path.split(".")) {
      names.push(name);
      const owner = value as Record<string, unknown>;
      value = owner[name];
      if (value !== undefined && value !== null) continue;
      if (type === MAYBE && name in owner) continue;
      throw mismatch(version, `${prefix}${names.join(".")} is missing`);
    }
    const actual: string = typeof value;
    if (actual === type || type === MAYBE) continue;
    throw mismatch(
      version,
      `${prefix}${path} is of type ${actual}, must be ${type}`,
    );
  }
}

function checkCiphers(version: string): void {
  const chacha = sampleCiphers("chacha20-poly1305@openssh.com");
  check(version, chacha.cipher, CIPHER_MEMBERS.ChaChaCipher, "Cipher.");
  check(version, chacha.decipher, CIPHER_MEMBERS.ChaChaDecipher, "Decipher.");
  const stream = sampleCiphers("aes128-ctr");
  try {
    check(version, stream.cipher, CIPHER_MEMBERS.StreamCipher, "Cipher.");
    const members = CIPHER_MEMBERS.StreamDecipher;
    check(version, stream.decipher, members, "Decipher.");
  } finally {
    stream.cipher._cipherInstance?.final();
    stream.decipher._decipherInstance?.final();
  }
}

/** Both sides of a cipher, as ssh2 makes them after a key exchange. */
function sampleCiphers(
  name: string,
): { cipher: RawStreamCipher; decipher: RawStreamCipher } {
  const { CIPHER_INFO, MAC_INFO, createCipher, createDecipher } = ssh2Crypto;
  const info = CIPHER_INFO[name];
  const key = Buffer.alloc(info.keyLen);
  const iv = Buffer.alloc(info.ivLen);
  const macInfo = MAC_INFO["hmac-sha2-256"];
  const common = {
    seqno: 0,
    forceNative: true,
    macInfo,
    macKey: Buffer.alloc(macInfo.len),
  };
  const outbound = {
    ...common,
    onWrite: () => {},
    cipherInfo: info,
    cipherKey: key,
    cipherIV: iv,
  };
  const inbound = {
    ...common,
    onPayload: () => {},
    decipherInfo: info,
    decipherKey: key,
    decipherIV: iv,
  };
  return {
    cipher: createCipher({ outbound }),
    decipher: createDecipher({ inbound }),
  };
}

/** As ssh2 tells servers. */
function versionOf(client: object): string {
  const { _protocol } = client as { _protocol?: { _identRaw?: unknown } };
  const [, version] = /ssh2js(\S+)/.exec(String(_protocol?._identRaw)) ?? [];
  return version ?? "unknown";
}

function mismatch(version: string, why?: string): Ssh2VersionError {
  return new Ssh2VersionError(
    `Cannot use ssh2: version ${version} is not the one this was built for ` +
      `(${BUILT_FOR})${why === undefined ? "" : `: ${why}`}`,
  );
}
