/**
 * The parts of ssh2's client that its own types do not show.
 *
 * Its public `exec()` sends the command in the very turn in which the channel
 * opens, never gives back the slot of a refused command, and says `close` only
 * when both outputs were read to their end, alike for a channel that the
 * server closed and for one that died with the link. The three of these matter
 * here, so channels are opened one level below: ssh2 keeps the ids, the
 * windows and the packets, and we keep the state.
 *
 * The version of ssh2 is pinned, and {@linkcode internalsOf} shouts where
 * something is not as expected.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { Client, ParsedKey } from "ssh2";

/** ssh2's channel, of which only the windows and the ids are used. */
export interface RawChannel {
  readonly incoming: { state: string; window: number };
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

/** What those have in common that read packets. */
export interface RawDecipher extends RawCipher {
  /**
   * Given each packet. A number or `false` ends the loop over the packets of a
   * chunk: the position to go on from, or just behind this packet.
   */
  _onPayload(payload: Uint8Array): number | boolean | undefined;
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
export interface RawChaChaCipher extends RawCipher {
  readonly _encKeyMain: Uint8Array;
  readonly _encKeyPktLen: Uint8Array;
  readonly _dead: boolean;
  outSeqno: number;
  _onWrite(data: Uint8Array): void;
  encrypt(packet: Buffer): void;
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
  readonly _kex: { readonly sessionID: Buffer };
  /** Reads what arrived; ssh2 calls it for each chunk. */
  parse(chunk: Uint8Array, position: number, length: number): void;
  /** Reads on: first the banner, then packets; gives where it stopped. */
  _parse(
    chunk: Uint8Array,
    position: number,
    length: number,
  ): number | undefined;
  /** Given each packet after the first key exchange; see {@linkcode RawDecipher}. */
  _onPayload(payload: Uint8Array): number | boolean | undefined;
  /** Sends what a cipher has encrypted. */
  _onWrite(data: Uint8Array): void;
  readonly _decipher: RawDecipher | undefined;
  /** Gone once the connection has ended. */
  readonly _destruct: unknown;
  /** Starts a key exchange, unless one is under way. */
  rekey(): void;
  readonly _handlers: {
    CHANNEL_CLOSE: (protocol: RawProtocol, id: number) => void;
    CHANNEL_DATA: (
      protocol: RawProtocol,
      id: number,
      data: Uint8Array,
    ) => void;
    CHANNEL_EXTENDED_DATA: (
      protocol: RawProtocol,
      id: number,
      data: Uint8Array,
      type: number,
    ) => void;
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
  session(id: number, window: number, packet: number): void;
  directTcpip(
    id: number,
    window: number,
    packet: number,
    forward: Forward,
  ): void;
  exec(id: number, command: string, wantReply: boolean): void;
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
  signal(id: number, name: string): void;
  openssh_agentForward(id: number, wantReply: boolean): void;
}

/** ssh2's client. */
export interface RawClient {
  readonly _protocol: RawProtocol;
  readonly _chanMgr: {
    add(callback: OpenCallback): number;
    remove(id: number): void;
    /** The callback until the channel is open, then the channel. */
    get(id: number): RawChannel | OpenCallback | undefined;
  };
  readonly config: { readonly allowAgentFwd?: boolean };
  emit(event: "error", error: unknown): boolean;
  _agentFwdEnabled: boolean;
}

/** The window that ssh2 grants and refills, in bytes. */
export const WINDOW_BYTES = 2 * 1024 * 1024;
/** The largest packet that ssh2 takes, in bytes. */
export const PACKET_BYTES = 32 * 1024;

/**
 * Ignores the list of host keys that OpenSSH sends after the login.
 *
 * ssh2 has the server sign once with each of them, for an event that nobody
 * here listens to, and drops the connection over a key of a type that it cannot
 * read. To be called before the login: the list comes in its wake.
 *
 * @param raw The client, after its `connect()` was called.
 */
export function ignoreHostKeyList(raw: RawClient): void {
  const handlers = raw._protocol._handlers;
  const { GLOBAL_REQUEST } = handlers;
  handlers.GLOBAL_REQUEST = (protocol, name, wantReply, data) => {
    if (name === "hostkeys-00@openssh.com") return;
    GLOBAL_REQUEST(protocol, name, wantReply, data);
  };
}

/**
 * Looks inside a client.
 *
 * @param client The client, after its `connect()` was called.
 */
export function internalsOf(client: Client): RawClient {
  const raw = client as unknown as RawClient;
  if (
    typeof raw._protocol?._handlers?.CHANNEL_CLOSE !== "function" ||
    typeof raw._protocol._handlers.USERAUTH_FAILURE !== "function" ||
    typeof raw._protocol.authPK !== "function" ||
    typeof raw._protocol._packetRW?.write?.finalize !== "function" ||
    typeof raw._chanMgr?.add !== "function"
  ) {
    throw new Error("Bug: this version of ssh2 is not the one that was pinned");
  }
  return raw;
}
