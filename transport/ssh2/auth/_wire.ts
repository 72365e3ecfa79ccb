/**
 * What ssh2's authentication cannot do.
 *
 * Its `authHandler` is not told what the server answered to an agent's key. It
 * cannot send a certificate or the key of a security token. And it asks the
 * server about each key before it signs, which costs one more round trip. Two
 * members of the protocol object of our own client are replaced for this.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { sign as cryptoSign } from "node:crypto";
// @ts-types="@types/ssh2"
import ssh2, { type Client, type ParsedKey } from "ssh2";
import { ByteReader, string } from "../_bytes.ts";
import type {
  RawAuthPublicKey,
  RawProtocol,
  RawSign,
} from "../fence/internals.ts";
import { internalsOf } from "../fence/version_check.ts";

const USERAUTH_REQUEST = 50;
const CERTIFICATE = "-cert-v01@openssh.com";

/** Told of what the server answers. */
export interface AuthObserver {
  /** The server refused, or wants more. */
  onFailure(methods: readonly string[], partial: boolean): void;
  /** The server wants the password changed. */
  onPasswordExpired(): void;
  /** Asked for the signature of the key that is tried; ssh2 has picked one. */
  signature(picked: string | undefined): string | undefined;
}

/** A public key that ssh2 takes for one of its own, of any type. */
export interface WireKey extends ParsedKey {
  /** The key or certificate as the server is to get it. */
  readonly blob: Buffer;
  /** The private key, if it is in this process. */
  readonly local: ParsedKey | undefined;
  /** Whether `sign` is to give whole signatures, with their algorithm. */
  whole: boolean;
}

// Any public key will do: ssh2 knows its own parsed keys by a property, which
// an object with this prototype inherits. Everything else is replaced below.
const template = ssh2.utils.parseKey(
  `ssh-ed25519 ${
    Buffer.concat([string("ssh-ed25519"), string(Buffer.alloc(32))])
      .toString("base64")
  }`,
) as ParsedKey;

/**
 * Makes a key for ssh2 out of a public key or a certificate.
 *
 * @param blob The key in wire format.
 * @param local The private key, if it is in this process.
 */
export function wireKey(blob: Buffer, local?: ParsedKey): WireKey {
  const own = blobType(blob);
  // ssh2 picks the hash of an RSA signature, for keys of just this name.
  const type = own === `ssh-rsa${CERTIFICATE}` ? "ssh-rsa" : own;
  return Object.assign(Object.create(template), {
    type,
    blob,
    local,
    whole: false,
    getPublicSSH: () => blob,
    isPrivateKey: () => local !== undefined,
  });
}

/** The type of a key in wire format. */
export function blobType(blob: Buffer): string {
  const length = blob.length < 4 ? 0 : blob.readUInt32BE(0);
  return blob.subarray(4, 4 + length).toString("latin1");
}

/** Whether it is a certificate. */
export function isCertificate(blob: Buffer): boolean {
  return blobType(blob).endsWith(CERTIFICATE);
}

/** How many fields of each type of certificate are the public key. */
const KEY_FIELDS: Readonly<Record<string, number>> = {
  "ssh-ed25519": 1,
  "sk-ssh-ed25519@openssh.com": 2,
  "ssh-rsa": 2,
  "ecdsa-sha2-nistp256": 2,
  "ecdsa-sha2-nistp384": 2,
  "ecdsa-sha2-nistp521": 2,
  "sk-ecdsa-sha2-nistp256@openssh.com": 3,
};

/**
 * The public key that a certificate is for.
 *
 * @param certificate The certificate in wire format.
 * @returns The key in wire format; `undefined` if its type is not known.
 */
export function certifiedKey(certificate: Buffer): Buffer | undefined {
  const type = blobType(certificate).replace(CERTIFICATE, "");
  // Security keys have the suffix of their own name in the middle.
  const plain = type.startsWith("sk-") ? `${type}@openssh.com` : type;
  const count = KEY_FIELDS[plain];
  if (count === undefined) return undefined;
  try {
    const reader = new ByteReader(certificate);
    reader.string(); // The type.
    reader.string(); // The nonce.
    const fields = Array.from({ length: count }, () => string(reader.string()));
    return Buffer.concat([string(plain), ...fields]);
  } catch {
    return undefined; // Cut short.
  }
}

/**
 * Listens to the answers of the server, and sends the keys itself.
 *
 * @param client The client, after its `connect()` was called.
 * @param observer Told of the answers.
 */
export function attachToClient(client: Client, observer: AuthObserver): void {
  client.on("change password", () => observer.onPasswordExpired());
  const { _protocol: protocol } = internalsOf(client);
  const onFailure = protocol._handlers.USERAUTH_FAILURE;
  protocol._handlers.USERAUTH_FAILURE = (self, methods, partial) => {
    observer.onFailure(methods, partial);
    onFailure(self, methods, partial);
  };
  const original = protocol.authPK.bind(protocol);
  protocol.authPK = (username, key, algorithm, sign) => {
    const name = observer.signature(
      typeof algorithm === "string" ? algorithm : undefined,
    );
    const signer = typeof algorithm === "function" ? algorithm : sign;
    if ("blob" in key) {
      const wire = key as WireKey;
      return sendKey({ protocol, original, username, key: wire, name, signer });
    }
    if (signer !== undefined) return original(username, key, name, signer);
    // Our own key: sign at once instead of asking whether it would do.
    original(username, key, name, (data, done) => {
      const signature: unknown = key.sign(data, hashOf(name));
      if (signature instanceof Error) throw signature;
      done(signature as Buffer);
    });
  };
}

interface KeyRequest {
  readonly protocol: RawProtocol;
  readonly original: RawAuthPublicKey;
  readonly username: string;
  readonly key: WireKey;
  readonly name: string | undefined;
  readonly signer: RawSign | undefined;
}

/** RFC 4252 section 7, for keys that ssh2 cannot write. */
function sendKey(request: KeyRequest): void {
  const { protocol, username, key, name, signer } = request;
  key.whole = true;
  const algorithm = algorithmOf(key, name);
  const head = (signed: boolean) =>
    Buffer.concat([
      Buffer.from([USERAUTH_REQUEST]),
      string(username),
      string("ssh-connection"),
      string("publickey"),
      Buffer.from([signed ? 1 : 0]),
      string(algorithm),
      string(key.blob),
    ]);
  const data = Buffer.concat([string(protocol._kex!.sessionID), head(true)]);
  const finish = (signature: Buffer) =>
    send(request, Buffer.concat([head(true), string(signature)]));
  if (signer !== undefined) signer(data, finish);
  else if (key.local !== undefined) finish(signLocally(key.local, data, name));
  else send(request, head(false));
}

/**
 * Has ssh2 send a key request, and replaces the payload just before it is
 * encrypted. So ssh2 keeps its own state of the login up to date.
 */
function send(
  { protocol, original, username }: KeyRequest,
  payload: Buffer,
): void {
  const writer = protocol._packetRW.write;
  const finalize = writer.finalize;
  writer.finalize = () => {
    writer.finalize = finalize;
    const packet = writer.alloc(payload.length);
    payload.copy(packet, writer.allocStart);
    return finalize.call(writer, packet);
  };
  try {
    original(username, template);
  } finally {
    writer.finalize = finalize;
  }
}

function algorithmOf(key: WireKey, name: string | undefined): string {
  const type = blobType(key.blob);
  if (name === undefined) return type;
  return isCertificate(key.blob) ? `${name}${CERTIFICATE}` : name;
}

function hashOf(name: string | undefined): string | undefined {
  if (name === "rsa-sha2-512") return "sha512";
  return name === "rsa-sha2-256" ? "sha256" : undefined;
}

/** A whole signature, by a private key for the certificate that is sent. */
function signLocally(
  key: ParsedKey,
  data: Buffer,
  name: string | undefined,
): Buffer {
  const type: string = key.type;
  const pem = key.getPrivatePEM();
  if (!type.startsWith("ecdsa-")) {
    const hash = type === "ssh-rsa" ? hashOf(name) ?? "sha1" : null;
    const signature = cryptoSign(hash, data, pem);
    return Buffer.concat([string(name ?? type), string(signature)]);
  }
  const bits = type.slice(-3);
  const hash = bits === "521" ? "sha512" : `sha${bits}`;
  const both = cryptoSign(hash, data, { key: pem, dsaEncoding: "ieee-p1363" });
  const half = both.length / 2;
  const numbers = [both.subarray(0, half), both.subarray(half)].map(mpint);
  return Buffer.concat([string(type), string(Buffer.concat(numbers))]);
}

/** A positive number of RFC 4251: no needless zeros, and no sign bit set. */
function mpint(number: Buffer): Buffer {
  let start = 0;
  while (start < number.length - 1 && number[start] === 0) start++;
  const bytes = number.subarray(start);
  const signed = (bytes[0] ?? 0) >= 0x80;
  return string(signed ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}
