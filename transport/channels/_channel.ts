/**
 * One channel: its state, and what goes in and out.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { CommandStatus } from "../process.ts";
import type { ChannelOpenError } from "../errors.ts";
import { serverText } from "../session/server_text.ts";
import { HeldSignals, SIGNAL_AFTER_MS } from "./_held_signals.ts";
import type { SocketRef } from "./_socket_ref.ts";
import { type PacketTransport, ProtocolViolation } from "./packet_transport.ts";
import { InboundWindow, OutboundWindow } from "./_windows.ts";
import {
  CHANNEL_CLOSE,
  CHANNEL_EOF,
  CHANNEL_REQUEST,
  sendMessage,
  type WireField,
} from "./_wire.ts";

/** What a channel needs of the table that it is in. */
export interface ChannelContext {
  readonly transport: PacketTransport;
  /** Taken while somebody waits for the channel. */
  readonly socketRef: SocketRef;
  /** The server is to send its CLOSE from now on: we send ours, or all is said. */
  onClosing(channel: Channel): void;
  /** Something is to be answered in time. */
  onAsked(question: Question): void;
  /** It was answered, or nobody waits any more. */
  onAnswered(question: Question): void;
}

/** Hears what happens on a channel. Must not throw. */
export interface ChannelObserver {
  /** Whether it keeps no chunk of output, but a copy. */
  readonly copies?: boolean | undefined;
  /** The server opened it. */
  opened(): void;
  /** Output; `false` asks for a pause until {@linkcode Channel.resume}. */
  stdout(chunk: Uint8Array): boolean;
  /** Error output; the same. */
  stderr(chunk: Uint8Array): boolean;
  /** No more output will come, though the channel is still open. */
  eof(): void;
  /** The server closed it, on a live connection. */
  closed(): void;
  /** The server refused to open it. */
  refused(error: ChannelOpenError): void;
  /** The server has left an open or a request unanswered, for too long. */
  unanswered(): void;
  /** The connection ended first. */
  lost(): void;
}

/** What has a deadline on a channel: a request, or the first word of a program. */
export interface Question {
  readonly channel: Channel;
}

interface Request extends Question {
  readonly done: (granted: boolean) => void;
}

/** What the data on a channel is. */
export type DataKind = "stdout" | "stderr" | "unknown";

type State = "opening" | "open" | "ended";

/** One channel. Made by `ChannelTable`. */
export class Channel {
  /** Its number on our side. */
  readonly id: number;
  readonly #context: ChannelContext;
  readonly #observer: ChannelObserver;
  readonly #inbound: InboundWindow;
  /** Missing until the server has opened the channel. */
  #outbound: OutboundWindow | undefined;
  #state: State = "opening";
  #remoteId = 0;
  #isRef = false;
  #isPaused = false;
  /** Nobody is to hear of it any more. */
  #abandoned = false;
  #eofIsDue = false;
  #windowIsDue = false;
  #sentEof = false;
  #sentClose = false;
  #sawEof = false;
  #code: number | undefined;
  #signal: string | undefined;
  #hasStatus = false;
  readonly #requests: Request[] = [];
  #awaitedWord: Question | undefined;
  #startedAt: number | undefined;
  #heldSignals: HeldSignals | undefined;
  #whenEnded: (() => void)[] = [];

  constructor(context: ChannelContext, observer: ChannelObserver, id: number) {
    this.#context = context;
    this.#observer = observer;
    this.id = id;
    this.#inbound = new InboundWindow(context.transport);
    this.ref();
  }

  /** Whether it can be written to. */
  get isOpen(): boolean {
    return this.#state === "open" && !this.#abandoned && !this.#sentEof;
  }

  /** How the command ended, as far as the server has said. */
  get status(): CommandStatus {
    const signal = this.#signal;
    return {
      success: this.#code === 0,
      code: this.#code ?? null,
      signal: signal === undefined
        ? null
        : serverText(signal.replace(/^SIG/, ""), 32),
    };
  }

  /** Whether the server has said how the command ended. */
  get hasStatus(): boolean {
    return this.#hasStatus;
  }

  /** Whether the server has said that all output was sent. */
  get hasAllOutput(): boolean {
    return this.#sawEof;
  }

  /**
   * Sends a request and waits for the answer, which has a deadline. Nothing
   * happens once the channel is closed: then `closed` or `lost` tells.
   */
  request(
    name: string,
    fields: readonly WireField[],
    done: (granted: boolean) => void,
  ): void {
    if (!this.isOpen) return;
    this.#send(name, true, fields);
    const request = { channel: this, done };
    this.#requests.push(request);
    this.#context.onAsked(request);
  }

  /** Sends a request that has no answer. Nothing happens once it is closed. */
  tell(name: string, fields: readonly WireField[]): void {
    if (this.isOpen) this.#send(name, false, fields);
  }

  /**
   * Gives the program at the far end as much time for its first word as the
   * server has for an answer.
   *
   * @returns Call it when the word has come.
   */
  awaitWord(): () => void {
    if (!this.isOpen) return () => {};
    const question = this.#awaitedWord = { channel: this };
    this.#context.onAsked(question);
    return () => this.#context.onAnswered(question);
  }

  #send(name: string, wantReply: boolean, fields: readonly WireField[]): void {
    sendMessage(this.#context.transport, CHANNEL_REQUEST, [
      this.#remoteId,
      name,
      wantReply,
      ...fields,
    ]);
  }

  /**
   * Sends data, as the far side's window allows. One write at a time.
   *
   * @returns `undefined` if all of it was sent, else a promise that resolves
   * when it was, or when the channel has ended.
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    return this.isOpen ? this.#outbound?.write(chunk) : undefined;
  }

  /** Says that nothing more will be written. */
  eof(): void {
    if (!this.isOpen) return;
    this.#eofIsDue = this.#outbound?.isFull === true;
    if (this.#eofIsDue) return;
    this.#sentEof = true;
    sendMessage(this.#context.transport, CHANNEL_EOF, [this.#remoteId]);
  }

  /** Lets output flow again. */
  resume(): void {
    if (this.#state !== "open") return;
    this.#isPaused = false;
    this.#refill();
  }

  #refill(): void {
    if (this.#isPaused || this.#sentClose || this.#sawEof) return;
    this.#inbound.refill(this.#remoteId);
  }

  /** Keeps the process alive until the channel ends, or `unref()`. */
  ref(): void {
    if (this.#isRef || this.#state === "ended") return;
    this.#isRef = true;
    this.#context.socketRef.take();
  }

  /** Lets the process end although the channel is open. */
  unref(): void {
    if (!this.#isRef) return;
    this.#isRef = false;
    this.#context.socketRef.release();
  }

  /** The command was granted: there is, or will soon be, a process. */
  started(): void {
    this.#startedAt = performance.now();
    this.#heldSignals?.start();
  }

  /** Sends a signal to the remote process, once it is sure to get it. */
  signal(name: string): void {
    if (this.#state !== "open") return;
    const age = performance.now() - (this.#startedAt ?? Infinity);
    if (age >= SIGNAL_AFTER_MS) return this.#sendSignal(name);
    this.#heldSignals ??= new HeldSignals((names) => {
      for (const name of names) this.#sendSignal(name);
      if (this.#abandoned) this.#closeNow();
    });
    this.#heldSignals.add(name);
    if (this.#startedAt !== undefined) this.#heldSignals.start();
  }

  #sendSignal(name: string): void {
    if (this.#state !== "open" || this.#sentClose) return;
    this.#send("signal", false, [name]);
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
    this.#outbound?.drop();
    if (this.#heldSignals?.areDue !== true) this.#closeNow();
  }

  #closeNow(): void {
    if (this.#sentClose) return;
    this.#forgetQuestions();
    this.#context.onClosing(this);
    this.answerClose();
  }

  #forgetQuestions(): void {
    for (const it of this.#requests) this.#context.onAnswered(it);
    if (this.#awaitedWord) this.#context.onAnswered(this.#awaitedWord);
  }

  /** Calls back when the channel has ended, whoever ended it. */
  whenEnded(callback: () => void): void {
    if (this.#state === "ended") callback();
    else this.#whenEnded.push(callback);
  }

  // What follows is for the table.

  /** Whether the server has opened it. */
  get isConfirmed(): boolean {
    return this.#outbound !== undefined;
  }

  /** The server's number of it, if it may still be sent something. */
  get remoteId(): number | undefined {
    return this.isConfirmed && !this.#sentClose ? this.#remoteId : undefined;
  }

  /** The server opened it. */
  onOpen(remoteId: number, window: number, maxPacket: number): void {
    if (this.isConfirmed) {
      throw new ProtocolViolation("the server opened a channel twice");
    }
    const { transport } = this.#context;
    this.#remoteId = remoteId;
    this.#outbound = new OutboundWindow(transport, remoteId, window, maxPacket);
    // Given up unanswered: what still comes on it is dropped.
    if (this.#state === "ended") return this.answerClose();
    this.#state = "open";
    if (this.#abandoned) this.#closeNow();
    else this.#observer.opened();
  }

  /** Data came, of which nothing is counted twice and nothing goes uncounted. */
  onData(data: Uint8Array, kind: DataKind): void {
    if (this.#sawEof) {
      throw new ProtocolViolation("the server sent data after its end of file");
    }
    this.#inbound.take(data.length);
    if (!this.#abandoned && kind !== "unknown" && data.length > 0) {
      const isLent = this.#context.transport.lendsData === true &&
        this.#observer.copies !== true;
      const chunk = isLent ? Buffer.from(data) : data;
      if (!this.#observer[kind](chunk)) this.#isPaused = true;
    }
    this.#refill();
  }

  onEof(): void {
    if (this.#sawEof) return;
    this.#sawEof = true;
    if (!this.#abandoned) this.#observer.eof();
    this.#awaitClose();
  }

  /** The server opened its window. */
  onWindow(bytes: number): void {
    this.#outbound?.open(bytes);
    if (this.#outbound?.isFull !== true || this.#windowIsDue) return;
    // Several come at once, each for a few packets: sent in one piece.
    this.#windowIsDue = true;
    queueMicrotask(() => {
      this.#windowIsDue = false;
      try {
        this.#retry(false);
      } catch (error) {
        this.#context.transport.destroy(error as Error);
      }
    });
  }

  /** What was sent is with the system: others on the link had their turn. */
  onDrain(): void {
    this.#retry(true);
  }

  #retry(isTurn: boolean): void {
    this.#outbound?.retry(isTurn);
    if (this.#eofIsDue) this.eof();
  }

  onExit(code: number | undefined, signal: string | undefined): void {
    const isFirst = !this.#hasStatus;
    this.#hasStatus = true;
    this.#code = code;
    this.#signal = signal;
    if (isFirst) this.#awaitClose();
  }

  /** With its status and all its output a command has nothing left to say. */
  #awaitClose(): void {
    if (!this.#hasStatus || !this.#sawEof || this.#sentClose) return;
    if (this.#state === "open") this.#context.onClosing(this);
  }

  /**
   * The server leaves it open although all is said: it is closed by us.
   *
   * @returns Whether that is so; `false` if it left our CLOSE unanswered.
   */
  onLeftOpen(): boolean {
    if (this.#sentClose) return false;
    const wasAbandoned = this.#abandoned;
    this.close();
    if (!wasAbandoned) this.#observer.closed();
    return true;
  }

  /** The answer to the oldest request. */
  onAnswer(granted: boolean): void {
    const request = this.#requests.shift();
    // Nobody asked. OpenSSH's client passes over that too.
    if (request === undefined) return;
    this.#context.onAnswered(request);
    if (this.#state !== "open" || this.#sentClose) return;
    request.done(granted);
    // Given up while its signal waited for a process: there is to be none.
    const isRefused = this.#requests.length === 0 &&
      this.#startedAt === undefined;
    if (this.#abandoned && isRefused) this.#closeNow();
  }

  /** What was asked was not answered in time. */
  onLate(): void {
    if (this.#state !== "open" || this.#sentClose) return;
    if (!this.#abandoned) this.#observer.unanswered();
    this.#heldSignals?.drop();
    this.close();
  }

  /** Sends our CLOSE, if it was not sent. */
  answerClose(): void {
    if (this.#sentClose) return;
    this.#sentClose = true;
    sendMessage(this.#context.transport, CHANNEL_CLOSE, [this.#remoteId]);
  }

  /** It has ended. */
  onEnd(tell: (observer: ChannelObserver) => void): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.unref();
    this.#heldSignals?.drop();
    this.#forgetQuestions();
    this.#outbound?.drop();
    const wasAbandoned = this.#abandoned;
    this.#abandoned = true;
    if (!wasAbandoned) tell(this.#observer);
    for (const callback of this.#whenEnded.splice(0)) callback();
  }
}
