/**
 * A server of ssh2 that agrees on keys by mlkem768x25519-sha256 alone, as RFC
 * 10042 says it of servers.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
} from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { type RawServer, startRawServer } from "./_raw_server.ts";

const HYBRID = "mlkem768x25519-sha256";
const STAND_IN = "curve25519-sha256";
const PUBLIC_KEY_BYTES = 1184;
const SPKI_PREFIX = Buffer.from("302a300506032b656e032100", "hex");

/** What the server changes of ssh2's objects. */
interface Exchange {
  negotiated: { kex: string };
  _remoteKexinit: Uint8Array;
  convertPublicKey(share: Buffer): Buffer;
  computeSecret(share: Buffer): Buffer;
  getPublicKey(): Buffer;
}

type OnPayload = (payload: Uint8Array) => unknown;

interface ServerProtocol {
  _offer: Offer;
  _onPayload: OnPayload;
  _decipher: { _onPayload: OnPayload } | undefined;
  _kex: Exchange | undefined;
}

interface Offer {
  readonly constructor: new (lists: unknown) => Offer;
  readonly lists: Record<string, unknown> & {
    kex: { array: string[] };
    serverHostKey: { array: string[] };
    cs: Record<string, { array: string[] }>;
    sc: Record<string, { array: string[] }>;
  };
}

/**
 * Starts it; each command prints "ok".
 *
 * @param change What the server does to its half before it is sent.
 * @returns The server, and how many exchanges it began.
 */
export async function startHybridServer(
  change: (reply: Buffer) => Buffer = (reply) => reply,
): Promise<RawServer & { readonly exchanges: number }> {
  let exchanges = 0;
  const server = await startRawServer(({ channel }) => {
    channel.write("ok");
    channel.exit(0);
    channel.end();
  }, (raw) => {
    const protocol = raw as unknown as ServerProtocol;
    const { constructor: KexInit, lists } = protocol._offer;
    const sides = (side: Record<string, { array: string[] }>) =>
      Object.fromEntries(
        Object.entries(side).map(([name, { array }]) => [name, array]),
      );
    protocol._offer = new KexInit({
      kex: [HYBRID, "kex-strict-s-v00@openssh.com"],
      serverHostKey: lists.serverHostKey.array,
      cs: sides(lists.cs),
      sc: sides(lists.sc),
    });
    // What is sent is made; this is what is agreed on.
    protocol._offer.lists.kex.array = [STAND_IN];
    let clientKexInit = Buffer.of();
    const reading = (onPayload: OnPayload): OnPayload => (payload) => {
      if (payload[0] !== 20) return onPayload(payload);
      clientKexInit = Buffer.from(payload);
      const at = clientKexInit.indexOf(HYBRID);
      if (at < 0) return onPayload(payload);
      const renamed = Buffer.from(clientKexInit).fill(
        "-",
        at,
        at + HYBRID.length,
      );
      return onPayload(renamed);
    };
    const { _decipher: first } = protocol;
    if (first === undefined) throw new Error("There is no decipher yet");
    first._onPayload = reading(first._onPayload);
    protocol._onPayload = reading(protocol._onPayload);
    let current = protocol._kex;
    Object.defineProperty(protocol, "_kex", {
      get: () => current,
      set(made: Exchange) {
        exchanges++;
        becomeHybrid(made, clientKexInit, change);
        current = made;
      },
    });
  });
  return Object.defineProperty(server, "exchanges", {
    get: () => exchanges,
  }) as RawServer & { readonly exchanges: number };
}

function becomeHybrid(
  exchange: Exchange,
  clientKexInit: Uint8Array,
  change: (reply: Buffer) => Buffer,
): void {
  let reply: Buffer = Buffer.of();
  exchange.negotiated.kex = HYBRID;
  exchange._remoteKexinit = clientKexInit;
  exchange.convertPublicKey = (share) => share;
  exchange.getPublicKey = () => reply;
  exchange.computeSecret = (share) => {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(
      share.subarray(0, PUBLIC_KEY_BYTES),
    );
    const curve = generateKeyPairSync("x25519");
    const point = curve.publicKey.export({ type: "spki", format: "der" })
      .subarray(-32);
    const shared = diffieHellman({
      privateKey: curve.privateKey,
      publicKey: createPublicKey({
        key: Buffer.concat([SPKI_PREFIX, share.subarray(PUBLIC_KEY_BYTES)]),
        type: "spki",
        format: "der",
      }),
    });
    reply = change(Buffer.concat([cipherText, point]));
    return createHash("sha256").update(sharedSecret).update(shared).digest();
  };
}
