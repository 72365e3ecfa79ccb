/**
 * What a server may say before its host key is approved, and what becomes of
 * its host key when keys are exchanged again.
 *
 * ssh2 asks for the host key's approval asynchronously and meanwhile goes on:
 * it takes the server's NEWKEYS and every message after it, and answers them
 * while its own cipher is still off. A server could so be told a password in
 * clear text, or have an early USERAUTH_SUCCESS believed. Here nothing that
 * arrives after the server's reply is read until the key is approved.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import type {
  RawClient,
  RawOnPayload,
  RawProtocol,
} from "../fence/internals.ts";
import { ProtocolViolation } from "../../channels/packet_transport.ts";
import { isOfExchange } from "./_kex_init.ts";

/** Message numbers of RFC 4250. */
const SERVICE_REQUEST = 5;
const SERVICE_ACCEPT = 6;
const EXT_INFO = 7;
const FIRST_AUTH_MESSAGE = 50;
const USERAUTH_BANNER = 53;
const LAST_AUTH_MESSAGE = 79;

/** RFC 4253 section 4.2: other lines may come before it. */
const BANNER = "SSH-";

/**
 * How many bytes may wait for the approval. What a correct server sends before
 * it hears from us is a NEWKEYS and an EXT_INFO, together under 1 KiB.
 */
const MAX_HELD_BYTES = 64 * 1024;

/** How far the dial has come. */
type Stage =
  /** The host key is not approved yet. */
  | "key"
  /** It is approved; the service of authentication is not granted yet. */
  | "service"
  /** No credential was sent yet. */
  | "credential"
  /** A credential was sent. */
  | "answer";

/** Options of {@linkcode KeyExchangeGuard}. */
export interface KeyExchangeGuardOptions {
  /**
   * Judges the host key. Asked once for each connection.
   *
   * @returns A promise that rejects if the key is not trusted.
   */
  readonly judge: (key: Uint8Array) => Promise<void>;
  /** Told of the first violation, before the connection ends. */
  readonly onViolation: (violation: ProtocolViolation) => void;
}

/** Wraps what is given each packet. */
type Wrap = (onPayload: RawOnPayload) => RawOnPayload;

/**
 * Guards one connection: `verifier` is for ssh2's `connect()`, then call
 * `attach()`, `credentialSent()` for each attempt to log in, and `ready()`
 * when the login succeeded.
 */
export class KeyExchangeGuard {
  readonly #options: KeyExchangeGuardOptions;
  #raw: RawClient | undefined;
  #socket: Duplex | undefined;
  #stage: Stage = "key";
  #approved: Buffer | undefined;
  #judging = false;
  #held: Uint8Array[] = [];
  /** What the line begins with that is not complete yet, before the banner. */
  #lineStart = "";
  #heldBytes = 0;
  /** Whether what is being read arrived before the approval. */
  #isReplay = false;
  #readFirst: Wrap = (onPayload) => onPayload;
  #violation: ProtocolViolation | undefined;
  #detach = () => {};

  /** @param options Who judges the key, and who is told of violations. */
  constructor(options: KeyExchangeGuardOptions) {
    this.#options = options;
  }

  #judgement: Promise<void> | undefined;

  /** While the key is judged: resolves when that is over, and never rejects. */
  get judgement(): Promise<void> | undefined {
    return this.#judging ? this.#judgement : undefined;
  }

  /** ssh2's `hostVerifier`. */
  readonly verifier = (key: Buffer, done: (ok: boolean) => void): void => {
    if (this.#approved === undefined) return this.#judge(key, done);
    // A later key exchange. Answered in this turn: ssh2 would send with the
    // wrong cipher while it waits.
    if (this.#approved.equals(key)) return done(true);
    throw this.#violate(
      "the server showed another host key when keys were exchanged again",
    );
  };

  /**
   * Starts to guard.
   *
   * @param raw The client, in the turn in which its `connect()` was called.
   * @param socket What it runs on.
   * @param readFirst Reads each packet of the first exchange before ssh2.
   */
  attach(raw: RawClient, socket: Duplex, readFirst: Wrap): void {
    this.#raw = raw;
    this.#socket = socket;
    this.#readFirst = readFirst;
    const protocol = raw._protocol;
    protocol.parse = (chunk, position, length) =>
      this.#parse(protocol, chunk, position, length);
    const onPayload = protocol._onPayload;
    const guarded = (payload: Uint8Array) => {
      this.#check(payload[0] ?? 0);
      return onPayload(payload);
    };
    protocol._onPayload = guarded;
    this.#detach = () => {
      // Each cipher keeps the function it was made with.
      protocol._onPayload = onPayload;
      const decipher = protocol._decipher;
      if (decipher?._onPayload === guarded) decipher._onPayload = onPayload;
    };
  }

  /** A credential goes out: from here on an answer is in order. */
  credentialSent(): void {
    if (this.#stage === "credential") this.#stage = "answer";
  }

  /** The login succeeded: no packet is looked at any more. */
  ready(): void {
    this.#detach();
  }

  #judge(key: Buffer, done: (ok: boolean) => void): void {
    this.#judging = true;
    const copy = Buffer.from(key);
    this.#judgement = this.#options.judge(copy).then(
      () => this.#approve(copy, done),
      () => done(false),
      // ssh2 throws if the connection has ended meanwhile, which is no news.
    ).catch(() => {});
  }

  #approve(key: Buffer, done: (ok: boolean) => void): void {
    const protocol = this.#raw?._protocol;
    if (protocol?._destruct === undefined) return; // it has ended
    this.#approved = key;
    this.#stage = "service";
    this.#judging = false;
    done(true);
    // The prototype's own method shows again.
    Reflect.deleteProperty(protocol, "parse");
    const held = Buffer.concat(this.#held.splice(0));
    if (held.length === 0) return;
    this.#isReplay = true;
    try {
      protocol.parse(held, 0, held.length);
    } catch (error) {
      // As ssh2 does with what it reads itself.
      this.#raw?.emit("error", error);
      this.#socket?.end();
    } finally {
      this.#isReplay = false;
    }
  }

  /** ssh2's `parse()`, which can be interrupted after a packet. */
  #parse(
    protocol: RawProtocol,
    chunk: Uint8Array,
    position: number,
    length: number,
  ): void {
    if (protocol._decipher === undefined) {
      const start = this.#bannerOf(chunk.subarray(position, length));
      if (start === undefined) return;
      [chunk, position, length] = [start, 0, start.length];
    }
    let at: number | undefined = position;
    while (!this.#judging && at !== undefined && at < length) {
      const before = protocol._decipher;
      at = protocol._parse(chunk, at, length);
      // It is made when the server's banner has been read, before any packet.
      if (before === undefined) this.#interrupt(protocol);
    }
    if (this.#judging && at !== undefined && at < length) {
      this.#hold(chunk.subarray(at, length));
    }
  }

  /**
   * What has come so far, once the server's banner is complete: ssh2 loses a
   * banner that comes in more than two pieces.
   */
  #bannerOf(piece: Uint8Array): Uint8Array | undefined {
    this.#held.push(new Uint8Array(piece));
    this.#heldBytes += piece.length;
    const starts = Buffer.from(piece).toString("latin1").split("\n")
      .map((line) => line.slice(0, BANNER.length));
    starts[0] = (this.#lineStart + starts[0]!).slice(0, BANNER.length);
    this.#lineStart = starts.pop()!;
    if (starts.includes(BANNER)) {
      const start = Buffer.concat(this.#held);
      this.#held = [];
      this.#heldBytes = 0;
      return start;
    }
    if (this.#heldBytes > MAX_HELD_BYTES) {
      throw new Error(`no SSH banner in the first ${MAX_HELD_BYTES} bytes`);
    }
    return undefined;
  }

  /** Has the decipher stop after the packet that held the host key. */
  #interrupt(protocol: RawProtocol): void {
    const decipher = protocol._decipher;
    if (decipher === undefined) return;
    const onPayload = this.#readFirst(decipher._onPayload);
    decipher._onPayload = (payload) => {
      const result = onPayload(payload);
      // `false` ends its loop, and gives back where it stands.
      return this.#judging ? false : result;
    };
  }

  #hold(bytes: Uint8Array): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > MAX_HELD_BYTES) {
      throw this.#violate(
        `the server sent more than ${MAX_HELD_BYTES} bytes before its host ` +
          "key was approved",
      );
    }
    // Copied: whoever reads the socket may use its buffer again.
    this.#held.push(new Uint8Array(bytes));
  }

  #check(type: number): void {
    if (this.#violation === undefined && this.#isAllowed(type)) {
      if (type === SERVICE_ACCEPT) this.#stage = "credential";
      return;
    }
    throw this.#violate(
      this.#isReplay || this.#stage === "key"
        ? `the server sent message ${type} before its host key was approved`
        : `the server sent message ${type} before its turn`,
    );
  }

  #isAllowed(type: number): boolean {
    if (type < SERVICE_REQUEST || type === EXT_INFO) return true;
    if (isOfExchange(type)) return true;
    if (this.#isReplay) return false;
    switch (this.#stage) {
      case "key":
        return false;
      case "service":
        return type === SERVICE_ACCEPT;
      case "credential":
        return type === USERAUTH_BANNER;
      case "answer":
        return type >= FIRST_AUTH_MESSAGE && type <= LAST_AUTH_MESSAGE;
    }
  }

  #violate(why: string): ProtocolViolation {
    if (this.#violation !== undefined) return this.#violation;
    const violation = new ProtocolViolation(why);
    this.#violation = violation;
    this.#held = [];
    // What still arrives is dropped.
    if (this.#raw !== undefined) this.#raw._protocol.parse = () => {};
    this.#options.onViolation(violation);
    return violation;
  }
}
