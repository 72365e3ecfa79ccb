/**
 * The fence around ssh2: every private member of it that is read or replaced
 * anywhere in this package is declared here, as read in ssh2 1.17.0.
 *
 * The rules: what is replaced is replaced on our own client and on the objects
 * that belong to it, never on a prototype or a module, which other users of
 * ssh2 in the process share. `internalsOf()` of `_version_check.ts` checks all of
 * it at the first dial and throws if anything is missing.
 *
 * Why so much of it is needed:
 *
 * - Channels. ssh2's `exec()` sends the command in the very turn in which the
 *   channel opens, never gives back the slot of a refused command, and says
 *   `close` only when both outputs were read to their end (mscdex/ssh2#412),
 *   alike for a channel that the server closed and for one that died with the
 *   link. So channels are opened one level below: ssh2 keeps the ids, the
 *   windows and the packets, and we keep the state.
 * - Flow control. ssh2 takes what a server sends beyond its window.
 * - The host key. ssh2 goes on with what the server sends while a key is being
 *   judged, and asks for the key again at each later key exchange (see also
 *   mscdex/ssh2#1404).
 * - The banner. ssh2 loses one that comes in more than two pieces.
 * - Keepalive. The timer of ssh2 keeps the process alive, also while nothing
 *   is under way.
 * - Key exchanges. ssh2 never starts one itself, however much was sent.
 * - Logins. ssh2 has no certificates (mscdex/ssh2#551) and no security keys,
 *   and asks about each key before it signs: one more round trip.
 * - Host key lists. ssh2 ends connections over them (mscdex/ssh2#1437).
 * - Ciphers, in Deno. ssh2 leaves ciphers behind that are never collected.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ParsedKey } from "ssh2";

/** ssh2's channel, of which only the windows and the ids are used. */
export interface RawChannel {
  readonly incoming: { readonly id: number; state: string; window: number };
  readonly outgoing: { readonly id: number; state: string };
  /** What waits for the answers to requests, in order. */
  readonly _callbacks: ((failed: boolean | Error) => void)[];
  readonly _exit: {
    readonly code?: number | null;
    readonly signal?: string;
  };
  readonly stderr: { push(chunk: Buffer | null): boolean };
  allowHalfOpen: boolean;
  /** Given each chunk of output; `false` stops the window from growing. */
  push(chunk: Buffer | null): boolean;
  /** Opens the window again after `push` gave `false`. */
  _read(size: number): void;
  /** Sends as the window allows; calls back once all of it is sent. */
  _write(chunk: Buffer, encoding: null, done: () => void): void;
  eof(): void;
  close(): void;
}

/** Called with the channel, or with why there is none; has the channel's type. */
export interface OpenCallback {
  (error: (Error & { reason?: number }) | undefined, channel: RawChannel): void;
  type: string;
}

interface Forward {
  readonly srcIP: string;
  readonly srcPort: number;
  readonly dstIP: string;
  readonly dstPort: number;
}

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
}

/** One key exchange. */
export interface RawKeyExchange {
  readonly sessionID: Buffer;
  readonly negotiated: { readonly kex: string };
  /** The group, once it is known; only Diffie-Hellman without curves has one. */
  getDHParams?(): { readonly prime: Buffer } | undefined;
}

/** Names of algorithms. */
export interface RawNames {
  readonly array: readonly string[];
}

/** The names of one direction. */
export interface RawDirection {
  readonly cipher: RawNames;
  readonly mac: RawNames;
}

/** What a side offers: an instance of ssh2's `KexInit`. */
export interface RawOffer {
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
  inSeqno: number;
  decrypt(
    data: Uint8Array,
    position: number,
    length: number,
  ): number | boolean | undefined;
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
  /** Replaced at each KEXINIT of the server. */
  readonly _kex: RawKeyExchange;
  /** What each of our KEXINITs says. */
  readonly _offer: RawOffer;
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
    /** Wrapped, to tell a close by the server from the end of the link. */
    CHANNEL_CLOSE: (protocol: RawProtocol, id: number) => void;
    /** Wrapped, to enforce the window. */
    CHANNEL_DATA: (
      protocol: RawProtocol,
      id: number,
      data: Uint8Array,
    ) => void;
    /** Wrapped, to enforce the window. */
    CHANNEL_EXTENDED_DATA: (
      protocol: RawProtocol,
      id: number,
      data: Uint8Array,
      type: number,
    ) => void;
    /** Makes the channel; used here for the check alone. */
    CHANNEL_OPEN_CONFIRMATION: (
      protocol: RawProtocol,
      info: {
        readonly recipient: number;
        readonly sender: number;
        readonly window: number;
        readonly packetSize: number;
      },
    ) => void;
    /** Wrapped: ssh2 is not told of the list of host keys. */
    GLOBAL_REQUEST: (
      protocol: RawProtocol,
      name: string,
      wantReply: boolean,
      data: unknown,
    ) => void;
    /** Told of each refusal; ssh2 tells its `authHandler` of some only. */
    USERAUTH_FAILURE: (
      protocol: RawProtocol,
      methods: string[],
      partial: boolean,
    ) => void;
  };
  /** Asks whether the server is there; it answers as to any global request. */
  ping(): void;
  session(id: number, window: number, packet: number): void;
  directTcpip(
    id: number,
    window: number,
    packet: number,
    forward: Forward,
  ): void;
  openssh_directStreamLocal(
    id: number,
    window: number,
    packet: number,
    forward: { readonly socketPath: string },
  ): void;
  exec(id: number, command: string, wantReply: boolean): void;
  subsystem(id: number, name: string, wantReply: boolean): void;
  env(id: number, name: string, value: string, wantReply: boolean): void;
  pty(
    id: number,
    rows: number,
    cols: number,
    height: number,
    width: number,
    term: string,
    modes: null,
    wantReply: boolean,
  ): void;
  shell(id: number, wantReply: boolean): void;
  windowChange(
    id: number,
    rows: number,
    cols: number,
    height: number,
    width: number,
  ): void;
  signal(id: number, name: string): void;
  openssh_agentForward(id: number, wantReply: boolean): void;
}

/** ssh2's client. */
export interface RawClient {
  readonly _protocol: RawProtocol;
  /** What waits for the answers to global requests, in order. */
  readonly _callbacks: (() => void)[];
  readonly _chanMgr: {
    add(callback: OpenCallback): number;
    remove(id: number): void;
    /** The callback until the channel is open, then the channel. */
    get(id: number): RawChannel | OpenCallback | undefined;
  };
  readonly config: { readonly allowAgentFwd?: boolean };
  emit(event: "error", error: unknown): boolean;
  _agentFwdEnabled: boolean;
  /** The software of the server, as `OpenSSH_9.2p1`. */
  readonly _remoteVer: string | undefined;
}

/** The window that ssh2 grants and refills, in bytes. */
export const WINDOW_BYTES = 2 * 1024 * 1024;
/** The largest packet that ssh2 takes, in bytes. */
export const PACKET_BYTES = 32 * 1024;

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
