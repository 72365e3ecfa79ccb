/**
 * ssh2 as a carrier of messages: it exchanges keys, authenticates, encrypts;
 * what messages 80 to 100 mean is not its business.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
// @ts-types="@types/ssh2"
import type { Client, NegotiatedAlgorithms } from "ssh2";
import {
  HEAD,
  type PacketTransport,
  type TransportListener,
} from "../channels/packet_transport.ts";
import { Outbox } from "../channels/outbox.ts";
import type { ClosedReason, ConnectionAlgorithms } from "../connector.ts";
import { serverError, serverText } from "../session/server_text.ts";
import { ByteReader } from "./_bytes.ts";
import type { RawClient } from "./fence/internals.ts";
import { sendIgnore } from "./_ignore.ts";
import { PromptAcks } from "./_prompt_acks.ts";

const DISCONNECT = 1;

/** The first and the last message of the connection protocol. */
const FIRST = 80;
const LAST = 100;

/** How long the farewell may take to be sent. */
const CLOSE_MS = 1000;

/** Not every stream holds the process: that of a tunnel may not. */
interface Refable {
  ref?(): unknown;
  unref?(): unknown;
}

/** One connection of ssh2's, below the connection protocol. */
export class Ssh2Transport implements PacketTransport {
  readonly hasGlobalRequests = true;
  readonly #client: Client;
  readonly #raw: RawClient;
  readonly #socket: Duplex;
  readonly #acks: PromptAcks;
  readonly #outbox: Outbox;
  /** Whether what ssh2 writes is a message of `send()`. */
  #isSending = false;
  #algorithms: ConnectionAlgorithms | undefined;
  #listener: TransportListener | undefined;
  /** What came in one piece with the end of the login, before `start()`. */
  #early: Uint8Array[] = [];
  /** Payloads that wait for the end of a key exchange. */
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isOver = false;
  #lastError: (Error & { code?: unknown; level?: string }) | undefined;
  /** What the server said when it hung up. */
  #farewell: string | undefined;

  /**
   * @param client The client, in the turn in which its `connect()` was called.
   * @param raw The same, from inside.
   * @param socket What it runs on.
   */
  constructor(client: Client, raw: RawClient, socket: Duplex) {
    this.#client = client;
    this.#raw = raw;
    this.#socket = socket;
    this.#acks = new PromptAcks(raw, socket);
    const protocol = raw._protocol;
    const onPayload = protocol._onPayload;
    protocol._onPayload = (payload) => {
      const type = payload[0] ?? 0;
      if (type === DISCONNECT) this.#farewell ??= farewellOf(payload);
      if (type < FIRST || type > LAST) return onPayload(payload);
      this.#onPayload(payload);
      return undefined;
    };
    const onWrite = protocol._onWrite;
    const outbox = this.#outbox = new Outbox(onWrite);
    protocol._onWrite = (bytes) => {
      outbox.push(bytes);
      // ssh2 may end the socket after a message of its own.
      if (!this.#isSending) outbox.flush();
    };
    client.on("handshake", (negotiated) => {
      this.#algorithms ??= namesOf(negotiated);
      this.#drain();
    });
  }

  get software(): string {
    return this.#raw._remoteVer ?? "";
  }

  get algorithms(): ConnectionAlgorithms | undefined {
    return this.#algorithms;
  }

  get unsentBytes(): number {
    return this.#socket.writableLength + this.#outbox.bytes + this.#queuedBytes;
  }

  start(listener: TransportListener): void {
    this.#listener = listener;
    const onError = (error: Error) => this.#onError(error);
    // Both listeners stay for good: an error that nobody listens to would end
    // the process, and errors do come late.
    this.#client.on("error", onError);
    this.#socket.on("error", onError);
    this.#socket.on("drain", () => listener.onDrain());
    // Any of these is the end. "finish" is ssh2 hanging up, after a message
    // that it could not read or a farewell; the peer may never answer that.
    for (const event of ["end", "finish", "close"]) {
      this.#socket.on(event, () => this.#end());
    }
    try {
      for (const payload of this.#early.splice(0)) listener.onPayload(payload);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #onPayload(payload: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#listener !== undefined) this.#listener.onPayload(payload);
    // Before the login this is a violation; see `KeyExchangeGuard`.
    else this.#early.push(new Uint8Array(payload));
  }

  alloc(payloadBytes: number): Buffer {
    const { _kexinit, _cipher } = this.#raw._protocol;
    // With the padding that this cipher wants; it may change until `#drain()`.
    return _kexinit === undefined && _cipher !== undefined
      ? _cipher.allocPacket(payloadBytes)
      : Buffer.allocUnsafe(HEAD + payloadBytes);
  }

  send(packet: Buffer): void {
    const { _kexinit, _destruct } = this.#raw._protocol;
    if (this.#isOver || _destruct === undefined) return;
    if (_kexinit === undefined) return this.#encrypt(packet);
    // RFC 4253 section 7.1: nothing but the key exchange until it is done.
    const payload = packet.subarray(HEAD);
    this.#queue.push(payload);
    this.#queuedBytes += payload.length;
  }

  #encrypt(packet: Buffer): void {
    this.#isSending = true;
    try {
      this.#raw._protocol._cipher?.encrypt(packet);
    } finally {
      this.#isSending = false;
    }
  }

  #drain(): void {
    const queue = this.#queue.splice(0);
    this.#queuedBytes = 0;
    for (const payload of queue) {
      const packet = this.alloc(payload.length);
      packet.set(payload, HEAD);
      this.send(packet);
    }
  }

  acknowledge(): void {
    sendIgnore(this.#raw._protocol);
  }

  onChannel(isSession: boolean): void {
    if (isSession) this.#acks.onSession();
    else this.#acks.onTunnel();
  }

  ref(): void {
    (this.#socket as Refable).ref?.();
  }

  unref(): void {
    (this.#socket as Refable).unref?.();
  }

  destroy(error: Error): void {
    this.#lastError ??= error;
    queueMicrotask(() => this.#end());
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    if (!this.#isOver) {
      this.#isOver = true;
      this.#acks.end();
      try {
        this.#outbox.flush();
        this.#client.end();
        await settles(socket, "finish", CLOSE_MS);
      } catch {
        // It could not say farewell. It is closed all the same.
      }
    }
    // ssh2's own destroy() does nothing after its end().
    socket.destroy();
    await settles(socket, "close", CLOSE_MS);
  }

  #onError(error: Error): void {
    this.#lastError ??= serverError(error);
    // ssh2 emits before it ends or destroys the socket; and some errors it
    // survives. What it did to the socket says which.
    queueMicrotask(() => {
      if (this.#socket.writableEnded || this.#socket.destroyed) this.#end();
    });
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#acks.end();
    this.#outbox.drop();
    this.#socket.destroy();
    this.#listener?.onEnd(this.#reason());
  }

  #reason(): ClosedReason {
    const error = this.#lastError;
    if (error === undefined) {
      // ssh2 keeps the text of an orderly end to itself.
      const message = this.#farewell
        ? `the server disconnected: ${this.#farewell}`
        : "the server closed the connection";
      return { kind: "remote", message };
    }
    // The number is the reason code of the server's DISCONNECT.
    if (error.level === undefined && typeof error.code === "number") {
      return {
        kind: "remote",
        message: `the server disconnected: ${error.message}`,
      };
    }
    return { kind: "lost", message: error.message, cause: error };
  }
}

/** The text of a DISCONNECT, safe to print; `""` if there is none. */
function farewellOf(payload: Uint8Array): string {
  try {
    const reader = new ByteReader(payload);
    reader.take(1 + 4); // the message number and the reason
    return serverText(reader.string().toString(), 500);
  } catch {
    return ""; // It is cut short, which ssh2 refuses.
  }
}

function namesOf(
  { kex, serverHostKey, cs }: NegotiatedAlgorithms,
): ConnectionAlgorithms {
  return {
    kex,
    hostKey: serverHostKey,
    cipher: cs.cipher,
    mac: cs.mac || "<implicit>",
  };
}

function settles(
  socket: Duplex,
  event: "finish" | "close",
  withinMs: number,
): Promise<void> {
  const isDone = () =>
    socket.closed || (event === "finish" && socket.writableFinished);
  if (isDone()) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.off(event, done);
      socket.off("close", done);
      resolve();
    };
    const timer = setTimeout(done, withinMs);
    socket.once(event, done);
    socket.once("close", done);
  });
}
