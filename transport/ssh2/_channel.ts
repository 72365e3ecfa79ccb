/**
 * One channel: its state, and what goes in and out.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { serverText } from "../session/server_text.ts";
import type { CommandStatus } from "../process.ts";
import type {
  ChannelOpenError,
  ConnectionLostError,
  ConnectionLostErrorOptions,
} from "../errors.ts";
import type { RawChannel, RawProtocol } from "./fence/internals.ts";
import type { ProcessHold } from "./_process_hold.ts";

/** Gives the error of an operation that the end of the connection broke. */
export type Lost = (
  doing: string,
  details?: LostDetails,
) => ConnectionLostError;

/** What such an error says of a command. */
export interface LostDetails
  extends Pick<ConnectionLostErrorOptions, "mayHaveRun" | "output"> {
  /** What is wrong with a connection that has not ended. */
  readonly why?: string;
}

/** What a channel needs of the table that it is in. */
export interface ChannelContext {
  /** Writes messages. */
  readonly protocol: RawProtocol;
  /** Taken while somebody waits for the channel. */
  readonly hold: ProcessHold;
  /** Told when nothing can be sent any more. */
  onBroken(error: unknown): void;
  /** Told that we have sent our CLOSE, and wait for that of the server. */
  onClosing(channel: Channel): void;
}

/** Told of what happens on a channel. Must not throw. */
export interface ChannelObserver {
  /** The server opened it. */
  opened(): void;
  /** Output; `false` asks for a pause until {@linkcode Channel.resume}. */
  stdout(chunk: Buffer): boolean;
  /** Error output; the same. */
  stderr(chunk: Buffer): boolean;
  /** No more output will come, though the channel is still open. */
  eof(): void;
  /** The server closed it, on a live connection. */
  closed(): void;
  /** The server refused to open it. */
  refused(error: ChannelOpenError): void;
  /** The server has not answered the request to open it, for too long. */
  unanswered(): void;
  /** The connection ended first. */
  lost(): void;
}

type State = "opening" | "open" | "ended";

/** By when a new process has its process group, even on a busy server. */
const SIGNAL_AFTER_MS = 100;

/** One channel. Made by `ChannelTable.open()`. */
export class Channel {
  readonly #context: ChannelContext;
  readonly #observer: ChannelObserver;
  #state: State = "opening";
  #isRef = false;
  #raw: RawChannel | undefined;
  #abandoned = false;
  #sentEof = false;
  #sawEof = false;
  #startedAt: number | undefined;
  #heldSignals: string[] = [];
  #signalTimer: ReturnType<typeof setTimeout> | undefined;
  #pendingWrite: (() => void) | undefined;
  #whenEnded: (() => void)[] = [];

  constructor(context: ChannelContext, observer: ChannelObserver) {
    this.#context = context;
    this.#observer = observer;
    this.ref();
  }

  /** Whether it can be written to. */
  get isOpen(): boolean {
    return this.#state === "open" && !this.#abandoned &&
      this.#raw?.outgoing.state === "open";
  }

  /** How the command ended, as far as the server has said. */
  get status(): CommandStatus {
    const { code, signal } = this.#raw?._exit ?? {};
    return {
      success: code === 0,
      code: code ?? null,
      signal: signal === undefined
        ? null
        : serverText(signal.replace(/^SIG/, ""), 32),
    };
  }

  /** Whether the server has said how the command ended. */
  get hasStatus(): boolean {
    return this.#raw?._exit.code !== undefined;
  }

  /** Whether the server has sent all output. */
  get hasAllOutput(): boolean {
    return this.#sawEof;
  }

  /**
   * Sends a request and waits for the answer.
   *
   * @param send Writes the request; its id is the channel's on the far side.
   * @param done Told whether it was granted. Not called if the channel ends
   * first.
   * @throws What `send` throws for a value that cannot be sent.
   */
  request(
    send: (protocol: RawProtocol, id: number) => void,
    done: (granted: boolean) => void,
  ): void {
    const raw = this.#raw;
    if (!this.isOpen || raw === undefined) return;
    // First: what cannot be sent has no answer.
    this.tell(send);
    raw._callbacks.push((failed) => {
      // ssh2 fails what is outstanding when a channel closes, too: that is
      // `closed` or `lost`, and not a refusal.
      if (raw.incoming.state !== "closed" && this.#state === "open") {
        done(!failed);
      }
    });
  }

  /** Sends a message that has no answer. Nothing happens once it is closed. */
  tell(send: (protocol: RawProtocol, id: number) => void): void {
    const raw = this.#raw;
    if (!this.isOpen || raw === undefined) return;
    this.#guard(() => send(this.#context.protocol, raw.outgoing.id));
  }

  /**
   * Sends data, as the far side's window allows. One write at a time.
   *
   * @returns `undefined` if all of it was sent, else a promise that resolves
   * when it was, or when the channel has ended: ssh2 itself never calls back
   * for a write that the end of a channel overtook.
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    const raw = this.#raw;
    if (!this.isOpen || raw === undefined || chunk.length === 0) {
      return undefined;
    }
    let sent = false;
    this.#guard(() =>
      raw._write(toBuffer(chunk), null, () => {
        sent = true;
        this.#flushed();
      })
    );
    if (sent || !this.isOpen) return undefined;
    return new Promise((resolve) => this.#pendingWrite = resolve);
  }

  /** Says that nothing more will be written. */
  eof(): void {
    if (this.#sentEof || !this.isOpen) return;
    this.#sentEof = true;
    this.#guard(() => this.#raw?.eof());
  }

  /** Lets output flow again. */
  resume(): void {
    if (this.#state === "open" && this.#raw?.incoming.state !== "closed") {
      this.#guard(() => this.#raw?._read(0));
    }
  }

  /** Keeps the process alive until the channel ends, or `unref()`. */
  ref(): void {
    if (this.#isRef || this.#state === "ended") return;
    this.#isRef = true;
    this.#context.hold.take();
  }

  /** Lets the process end although the channel is open. */
  unref(): void {
    if (!this.#isRef) return;
    this.#isRef = false;
    this.#context.hold.release();
  }

  /** The command was granted: there is, or will soon be, a process. */
  started(): void {
    this.#startedAt = performance.now();
    if (this.#heldSignals.length > 0) this.#signalSoon();
  }

  /**
   * Sends a signal to the remote process, once it is sure to get it: sshd
   * signals a process group that the new process has yet to found, and says
   * nothing if there is none.
   */
  signal(name: string): void {
    if (this.#state !== "open") return;
    const age = performance.now() - (this.#startedAt ?? Infinity);
    if (age >= SIGNAL_AFTER_MS) return this.#sendSignal(name);
    this.#heldSignals.push(name);
    if (this.#startedAt !== undefined) this.#signalSoon();
  }

  #signalSoon(): void {
    this.#signalTimer ??= setTimeout(() => {
      this.#signalTimer = undefined;
      for (const name of this.#heldSignals.splice(0)) this.#sendSignal(name);
      if (this.#abandoned) this.#closeNow();
    }, SIGNAL_AFTER_MS);
  }

  #sendSignal(name: string): void {
    // After our end of file ssh2's own check would refuse, sshd does not.
    const raw = this.#raw;
    if (raw === undefined || this.#state !== "open") return;
    if (raw.outgoing.state !== "open" && raw.outgoing.state !== "eof") return;
    this.#guard(() => this.#context.protocol.signal(raw.outgoing.id, name));
  }

  /**
   * Closes it: at once if it is open, else as soon as the server has opened
   * it, and after a signal that is still to be sent. Its slot counts until the
   * server has closed its side as well.
   */
  close(): void {
    this.#abandoned = true;
    if (this.#state !== "open") return;
    // What still arrives is dropped, and its window refilled, so that the
    // far side's CLOSE is not held up behind a full window.
    this.resume();
    this.#flushed();
    if (this.#heldSignals.length === 0) this.#closeNow();
  }

  #closeNow(): void {
    this.#context.onClosing(this);
    this.#guard(() => this.#raw?.close());
  }

  /** For the table: the server's answer to the request to open. */
  onOpen(raw: RawChannel): void {
    this.#divert(raw);
    // Given up unanswered: what still comes on it is dropped.
    if (this.#state === "ended") return this.#guard(() => raw.close());
    this.#raw = raw;
    this.#state = "open";
    if (this.#abandoned) this.#closeNow();
    else this.#observer.opened();
  }

  /** For the table: it has ended. */
  onEnd(tell: (observer: ChannelObserver) => void): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.unref();
    clearTimeout(this.#signalTimer);
    this.#flushed();
    const wasAbandoned = this.#abandoned;
    this.#abandoned = true;
    if (!wasAbandoned) tell(this.#observer);
    for (const callback of this.#whenEnded.splice(0)) callback();
  }

  /**
   * Takes what arrives before it goes through a stream. That is cheaper than
   * two stream machines for each command, and in order: when the server's
   * CLOSE is read, all output has been handed over.
   */
  #divert(raw: RawChannel): void {
    raw.push = (chunk) => {
      if (this.#abandoned) return true;
      if (chunk !== null) return this.#observer.stdout(chunk);
      // ssh2 says it again when the channel closes.
      if (raw.incoming.state !== "eof") return true;
      this.#sawEof = true;
      this.#observer.eof();
      return true;
    };
    raw.stderr.push = (chunk) =>
      chunk === null || this.#abandoned || this.#observer.stderr(chunk);
  }

  #flushed(): void {
    const resolve = this.#pendingWrite;
    this.#pendingWrite = undefined;
    resolve?.();
  }

  /** Calls back when the channel has ended, whoever ended it. */
  whenEnded(callback: () => void): void {
    if (this.#state === "ended") callback();
    else this.#whenEnded.push(callback);
  }

  /**
   * ssh2 throws on a protocol that has ended; then `lost` is on its way. Any
   * other error is that of a value which cannot be sent: the caller's own.
   */
  #guard(send: () => void): void {
    try {
      send();
    } catch (error) {
      if (this.#context.protocol._destruct !== undefined) throw error;
      this.#context.onBroken(error);
    }
  }
}

function toBuffer(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk)
    ? chunk
    : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
