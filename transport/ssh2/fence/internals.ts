/**
 * The fence around ssh2: every private member of it that is read or replaced
 * anywhere in this package is declared here, as read in ssh2 1.17.0.
 *
 * The rules: what is replaced is replaced on our own client and on the objects
 * that belong to it, never on a prototype or a module, which other users of
 * ssh2 in the process share. `internalsOf()` of `_version_check.ts` checks all of
 * it at the first dial and throws if anything is missing.
 *
 * The connection protocol (channels, windows, requests, forwards) is our own,
 * in `transport/channels/`: ssh2's channels, channel manager and their handlers
 * are not used at all. Why so much of the rest is needed:
 *
 * - Messages. ssh2 hands none on that it has a meaning for, and sends none that
 *   it did not write.
 * - The host key. ssh2 goes on with what the server sends while a key is being
 *   judged, and asks for the key again at each later key exchange (see also
 *   mscdex/ssh2#1404).
 * - The banner. ssh2 loses one that comes in more than two pieces.
 * - Key exchanges. ssh2 never starts one itself, however much was sent.
 * - Logins. ssh2 has no certificates (mscdex/ssh2#551) and no security keys,
 *   and asks about each key before it signs: one more round trip.
 * - Post-quantum key exchange (mscdex/ssh2#1471): the object of curve25519 is
 *   given other keys.
 * - Long packets. ssh2 reads none of more than 35,000 bytes, and a login banner
 *   may have more.
 * - Ciphers, in Deno. ssh2 leaves ciphers behind that are never collected.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ParsedKey } from "ssh2";

/** What ssh2's ciphers have in common. */
interface RawCipher {
  free(): void;
}

/** What those have in common that write packets. */
interface RawEncipher extends RawCipher {
  /** Encrypts a packet, and sends it. */
  encrypt(packet: Buffer): void;
  /** The number of the next packet. */
  readonly outSeqno: number;
  /** A packet with room for a payload of so many bytes, and its padding. */
  allocPacket(payloadBytes: number): Buffer;
}

/**
 * Given each packet. A number or `false` ends the loop over the packets of a
 * chunk: the position to go on from, or just behind this packet.
 */
export type RawOnPayload = (
  payload: Uint8Array,
) => number | boolean | undefined;

/** What those have in common that read packets. */
export interface RawDecipher extends RawCipher {
  _onPayload: RawOnPayload;
  /** The number of the next packet. */
  inSeqno: number;
  /** Reads a part of `data`; gives where to go on, if it was interrupted. */
  decrypt(
    data: Uint8Array,
    position: number,
    end: number,
  ): number | boolean | undefined;
}

/**
 * One key exchange. What can be written is written for a hybrid, to the object
 * that ssh2 makes for curve25519.
 */
export interface RawKeyExchange {
  readonly sessionID: Buffer;
  readonly negotiated: { kex: string };
  /** What messages call it. */
  type: string;
  /** The hash of the exchange. */
  hashName: string;
  /** The server's KEXINIT, for the exchange hash. */
  _remoteKexinit: Uint8Array;
  generateKeys(): void;
  /** What the client sends. */
  getPublicKey(): Buffer;
  /** What the server sent, as the exchange hash has it. */
  convertPublicKey(reply: Buffer): Buffer;
  /** The shared secret, as the exchange hash has it behind its length. */
  computeSecret(reply: Buffer): Buffer | Error;
  /** The group, once it is known; only Diffie-Hellman without curves has one. */
  getDHParams?(): { readonly prime: Buffer } | undefined;
}

/** Names of algorithms. */
export interface RawNames {
  array: readonly string[];
}

/** The names of one direction. */
export interface RawDirection {
  readonly cipher: RawNames;
  readonly mac: RawNames;
  readonly compress: RawNames;
  readonly lang: RawNames;
}

/**
 * What a side offers, an instance of ssh2's `KexInit`: the bytes that are sent
 * are made by its constructor, the arrays are what is agreed on.
 */
export interface RawOffer {
  readonly constructor: new (names: unknown) => RawOffer;
  readonly lists: {
    readonly kex: RawNames;
    readonly serverHostKey: RawNames;
    readonly cs: RawDirection;
    readonly sc: RawDirection;
  };
}

/** Signs data; calls back with the signature. */
export type RawSign = (
  data: Buffer,
  done: (signature: Buffer) => void,
) => void;

/** Sends a `publickey` request; without `sign` it only asks whether the key would do. */
export type RawAuthPublicKey = (
  username: string,
  key: ParsedKey,
  algorithm?: string | RawSign,
  sign?: RawSign,
) => void;

/** Builds packets. */
interface RawPacketWriter {
  /** Where the payload begins in a packet. */
  readonly allocStart: number;
  alloc(length: number): Buffer;
  /** Completes a packet before it is encrypted. */
  finalize(packet: Buffer): Buffer;
}

/** ssh2's ChaCha20-Poly1305 of the sending side. */
export interface RawChaChaCipher extends RawEncipher {
  readonly _encKeyMain: Uint8Array;
  readonly _encKeyPktLen: Uint8Array;
  readonly _dead: boolean;
  outSeqno: number;
  _onWrite(data: Uint8Array): void;
}

/** ssh2's ChaCha20-Poly1305 of the receiving side. */
export interface RawChaChaDecipher extends RawDecipher {
  readonly _decKeyMain: Uint8Array;
  readonly _decKeyPktLen: Uint8Array;
}

/** A cipher of ssh2 that keeps one of node:crypto. */
export interface RawStreamCipher extends RawCipher {
  readonly _cipherInstance?: { final(): unknown } | null;
  readonly _decipherInstance?: { final(): unknown } | null;
}

/** Any cipher of ssh2's. */
export type RawAnyCipher =
  | RawChaChaCipher
  | RawChaChaDecipher
  | RawStreamCipher;

/** Where a protocol object, of either side, keeps its ciphers. */
export interface RawCiphers {
  _cipher: RawAnyCipher | undefined;
  _decipher: RawAnyCipher | undefined;
}

/** ssh2's module `lib/protocol/crypto/poly1305.js`, which is WebAssembly. */
export interface RawPoly1305 {
  readonly HEAPU8: Uint8Array;
  /** Gives 0 if there is no memory left. */
  _malloc(bytes: number): number;
  _free(address: number): void;
  _poly1305_auth(
    mac: number,
    length: number,
    lengthBytes: number,
    data: number,
    dataBytes: number,
    key: number,
  ): void;
}

/** ssh2's protocol object. */
export interface RawProtocol {
  authPK: RawAuthPublicKey;
  readonly _packetRW: { readonly write: RawPacketWriter };
  /** Replaced at each KEXINIT of the server; missing before the first. */
  readonly _kex: RawKeyExchange | undefined;
  /** What each of our KEXINITs says. */
  _offer: RawOffer;
  /** Our offer, while keys are exchanged: nothing else may be sent then. */
  readonly _kexinit: Buffer | undefined;
  /** Reads what arrived; ssh2 calls it for each chunk. */
  parse(chunk: Uint8Array, position: number, length: number): void;
  /** Reads on: first the banner, then packets; gives where it stopped. */
  _parse(
    chunk: Uint8Array,
    position: number,
    length: number,
  ): number | undefined;
  /** Given each packet after the first key exchange. */
  _onPayload: RawOnPayload;
  /** Sends what a cipher has encrypted. */
  _onWrite(data: Uint8Array): void;
  /** Replaced by each key exchange, as `_decipher` is. */
  readonly _cipher: RawEncipher | undefined;
  /** Missing until the server's banner has been read. */
  readonly _decipher: RawDecipher | undefined;
  /** Our own banner, which names the version of ssh2. */
  readonly _identRaw: Buffer;
  /** Gone once the connection has ended. */
  readonly _destruct: unknown;
  /** Starts a key exchange, unless one is under way. */
  rekey(): void;
  readonly _handlers: {
    /** Told of each refusal; ssh2 tells its `authHandler` of some only. */
    USERAUTH_FAILURE: (
      protocol: RawProtocol,
      methods: string[],
      partial: boolean,
    ) => void;
  };
}

/** ssh2's client. */
export interface RawClient {
  readonly _protocol: RawProtocol;
  emit(event: "error", error: unknown): boolean;
  /** The software of the server, as `OpenSSH_9.2p1`. */
  readonly _remoteVer: string | undefined;
}

/** The protocol object of the server's side. */
export interface RawServerProtocol extends RawCiphers {
  readonly _handlers: {
    /** Wrapped, to refuse a channel with a reason of our own. */
    CHANNEL_OPEN: (
      protocol: RawServerProtocol,
      info: {
        readonly type: string;
        /** The client's number of the channel. */
        readonly sender: number;
        readonly data: unknown;
      },
    ) => void;
  };
  channelClose(id: number): void;
  channelOpenFail(id: number, reason: number, text: string): void;
}

/** The server's side of a connection, which only the embedded server has. */
export interface RawServerConnection {
  readonly _protocol: RawServerProtocol;
  readonly _chanMgr: { remove(id: number): void };
}

/** A session of it. ssh2 does not answer the CLOSE of one that ran nothing. */
export interface RawServerSession {
  /** Set at the client's end of file: ssh2 then takes no signal any more. */
  _ending: boolean;
  /** The channel, once a command was accepted. */
  readonly _channel?: unknown;
  readonly _chanInfo: {
    readonly incoming: { readonly id: number };
    readonly outgoing: { readonly id: number; state: string };
  };
}
