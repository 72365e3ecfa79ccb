/**
 * The channels of one connection: their numbers, what comes for each, and the
 * one place that tells a channel which the server closed from one that died
 * with its connection.
 *
 * @module
 */

import type { ForwardTarget } from "../host/target.ts";
import { AnswerDeadlines } from "./_answer_deadlines.ts";
import {
  Channel,
  type ChannelContext,
  type ChannelObserver,
  type Question,
} from "./_channel.ts";
import { ChannelOffers } from "./_channel_offers.ts";
import type { Lost } from "./_lost.ts";
import { openFields, refusalOf } from "./_channel_open.ts";
import { GlobalRequests } from "./_global_requests.ts";
import type { SocketRef } from "./_socket_ref.ts";
import { type PacketTransport, ProtocolViolation } from "./packet_transport.ts";
import { Spares } from "./_spares.ts";
import type { ChannelTimeouts } from "./times.ts";
import { PACKET_BYTES, WINDOW_BYTES } from "./_windows.ts";
import * as wire from "./_wire.ts";
import { MessageReader, sendMessage, tooShort, uint32At } from "./_wire.ts";

/** What is true of the server and of its host. */
export interface ChannelTableOptions {
  /** The name of the host, for messages. */
  readonly host: string;
  /** What keeps the process alive while there are channels. */
  readonly socketRef: SocketRef;
  readonly timeouts: ChannelTimeouts;
  /** Whether the server keeps session channels that are not used. */
  readonly hasSpares: boolean;
  /** Makes the error of an operation that the end of the connection broke. */
  readonly lost: Lost;
  /** Called when the connection is to end. */
  onBroken(error: Error): void;
}

/**
 * A server that has left so many channels without its CLOSE opens none: each of
 * them is kept until then, and no limit on open ones counts it. Four forwards
 * can close all that they may have open by default.
 */
const MAX_CLOSING = 4096;

/** The type of extended data that is standard error. */
const STDERR = 1;

/** Numbers of channels are below this; some servers have signed ones. */
const ID_END = 2 ** 31;

/** The channels of one connection. */
export class ChannelTable implements ChannelContext {
  readonly transport: PacketTransport;
  /** Sessions that are opened ahead of need, if the server keeps them. */
  readonly spares: Spares | undefined;
  /** Requests that concern no channel. */
  readonly globals: GlobalRequests;
  /** Channels that the server asks for. */
  readonly offers: ChannelOffers;
  readonly #options: ChannelTableOptions;
  readonly #channels = new Map<number, Channel>();
  /** Those that were given up, of which the server may still say something. */
  readonly #left = new Set<Channel>();
  readonly #sessions = new Set<Channel>();
  readonly #opening: AnswerDeadlines<Channel>;
  readonly #closing: AnswerDeadlines<Channel>;
  readonly #asked: AnswerDeadlines<Question>;
  #lastId = -1;
  #failure: Error | undefined;

  /**
   * @param transport Carries the messages; what comes is for `onPayload`.
   * @param options The host and the deadlines.
   */
  constructor(transport: PacketTransport, options: ChannelTableOptions) {
    this.transport = transport;
    this.globals = new GlobalRequests(transport);
    this.offers = new ChannelOffers({
      transport,
      globals: this.globals,
      isFull: () => this.#closing.size + this.#left.size >= MAX_CLOSING,
      add: (observer) => this.#add(observer),
    });
    this.#options = options;
    const { openMs, closeMs, answerMs } = options.timeouts;
    this.#opening = new AnswerDeadlines(openMs, (it) => this.#onNotOpened(it));
    this.#closing = new AnswerDeadlines(closeMs, (it) => this.#onNotClosed(it));
    this.#asked = new AnswerDeadlines(
      answerMs,
      (it) => this.#onNotAnswered(it),
    );
    this.spares = options.hasSpares
      ? new Spares({
        openSession: (observer) => this.#open(observer, undefined),
        lost: options.lost,
      })
      : undefined;
  }

  get socketRef(): SocketRef {
    return this.#options.socketRef;
  }

  /**
   * Whether the server has left a request unanswered for too long. The
   * connection ends with the last of its channels.
   */
  get isFailing(): boolean {
    return this.#failure !== undefined;
  }

  /** Session channels that are open or being opened. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Asks the server for a channel: a session, or a forward to a target. */
  open(observer: ChannelObserver, target?: ForwardTarget): Channel {
    const spare = target === undefined
      ? this.spares?.take(observer)
      : undefined;
    return spare ?? this.#open(observer, target);
  }

  #open(observer: ChannelObserver, target: ForwardTarget | undefined): Channel {
    const channel = this.#add(observer);
    if (target === undefined) this.#sessions.add(channel);
    this.transport.onChannel?.(target === undefined);
    this.#opening.add(channel);
    const [type, ...fields] = openFields(target);
    sendMessage(this.transport, wire.CHANNEL_OPEN, [
      type,
      channel.id,
      WINDOW_BYTES,
      PACKET_BYTES,
      ...fields,
    ]);
    return channel;
  }

  #add(observer: ChannelObserver): Channel {
    // A number is not used again soon: some servers, ssh2's among them, say
    // things of a channel that they have closed, which must not reach the next.
    do {
      this.#lastId = (this.#lastId + 1) % ID_END;
    } while (this.#channels.has(this.#lastId));
    const channel = new Channel(this, observer, this.#lastId);
    this.#channels.set(channel.id, channel);
    return channel;
  }

  /** Ends all that is open: the connection is gone. */
  end(): void {
    this.#opening.clear();
    this.#closing.clear();
    this.#asked.clear();
    this.globals.end();
    for (const channel of [...this.#channels.values()]) {
      this.#end(channel, (observer) => observer.lost());
    }
    this.offers.end();
  }

  onClosing(channel: Channel): void {
    // Our CLOSE has a time of its own, also if that of the server was due.
    this.#closing.delete(channel);
    this.#closing.add(channel);
  }

  onAsked(question: Question): void {
    this.#asked.add(question);
  }

  onAnswered(question: Question): void {
    this.#asked.delete(question);
  }

  /**
   * Takes one message of the server.
   *
   * @throws {ProtocolViolation} If no server may send it.
   */
  onPayload(payload: Uint8Array): void {
    const type = payload[0] ?? 0;
    if (type < wire.CHANNEL_OPEN) return this.globals.onMessage(type, payload);
    if (type === wire.CHANNEL_OPEN) return this.offers.onOpen(payload);
    if (payload.length < 5) throw tooShort(type);
    const channel = this.#channels.get(uint32At(payload, 1));
    // Of one that was closed.
    if (channel === undefined) return;
    switch (type) {
      case wire.CHANNEL_OPEN_CONFIRMATION:
        return this.#onConfirmed(channel, payload);
      case wire.CHANNEL_OPEN_FAILURE:
        return this.#onRefused(channel, payload);
    }
    this.#onChannel(type, confirmed(channel, type), payload);
  }

  /**
   * Takes data of a channel, which may be a part of a message.
   *
   * @throws {ProtocolViolation} If no server may send it.
   */
  onData(id: number, data: Uint8Array): void {
    const channel = this.#channels.get(id);
    if (channel === undefined) return;
    confirmed(channel, wire.CHANNEL_DATA).onData(data, "stdout");
  }

  /** More can be sent; each channel has a turn. */
  onDrain(): void {
    for (const channel of this.#channels.values()) channel.onDrain();
  }

  #onChannel(type: number, channel: Channel, payload: Uint8Array): void {
    switch (type) {
      case wire.CHANNEL_DATA: {
        if (payload.length < 9) throw tooShort(type);
        const end = 9 + uint32At(payload, 5);
        if (end > payload.length) throw tooShort(type);
        return channel.onData(payload.subarray(9, end), "stdout");
      }
      case wire.CHANNEL_EXTENDED_DATA: {
        const fields = new MessageReader(payload, 5);
        const kind = fields.uint32() === STDERR ? "stderr" : "unknown";
        return channel.onData(fields.bytes(), kind);
      }
      case wire.CHANNEL_WINDOW_ADJUST:
        return channel.onWindow(new MessageReader(payload, 5).uint32());
      case wire.CHANNEL_EOF:
        return channel.onEof();
      case wire.CHANNEL_SUCCESS:
        return channel.onAnswer(true);
      case wire.CHANNEL_FAILURE:
        return channel.onAnswer(false);
      case wire.CHANNEL_REQUEST:
        return this.#onRequest(channel, payload);
      case wire.CHANNEL_CLOSE:
        channel.answerClose();
        return this.#end(channel, (observer) => observer.closed());
    }
  }

  /** How a command ended, or a question of the server, which we do not grant. */
  #onRequest(channel: Channel, payload: Uint8Array): void {
    const fields = new MessageReader(payload, 5);
    const name = fields.string();
    const wantsReply = fields.boolean();
    if (name === "exit-status") channel.onExit(fields.uint32(), undefined);
    else if (name === "exit-signal") channel.onExit(undefined, fields.string());
    if (!wantsReply || channel.remoteId === undefined) return;
    this.globals.answer(wire.CHANNEL_FAILURE, [channel.remoteId]);
  }

  #onConfirmed(channel: Channel, payload: Uint8Array): void {
    const fields = new MessageReader(payload, 5);
    this.#opening.delete(channel);
    channel.onOpen(fields.uint32(), fields.uint32(), fields.uint32());
  }

  #onRefused(channel: Channel, payload: Uint8Array): void {
    if (channel.isConfirmed) {
      throw new ProtocolViolation("the server refused a channel that is open");
    }
    const fields = new MessageReader(payload, 5);
    const reason = fields.uint32();
    const text = fields.string();
    const { host } = this.#options;
    this.#end(channel, (it) => it.refused(refusalOf(host, text, reason)));
  }

  /** The server may still open it: it is closed again then. */
  #onNotOpened(channel: Channel): void {
    const { openMs } = this.#options.timeouts;
    this.#failed(
      `it did not answer a request for a channel in ${openMs} ms`,
      () => this.#leave(channel, (observer) => observer.unanswered()),
    );
  }

  #onNotAnswered({ channel }: Question): void {
    const { answerMs } = this.#options.timeouts;
    this.#failed(
      `it did not answer a request on a channel in ${answerMs} ms`,
      () => channel.onLate(),
    );
  }

  /** Its slot is free for us; what the server makes of it, nobody knows. */
  #onNotClosed(channel: Channel): void {
    if (channel.onLeftOpen()) return;
    const { closeMs } = this.#options.timeouts;
    this.#failed(
      `it did not close a channel in ${closeMs} ms`,
      () => this.#leave(channel, (observer) => observer.closed()),
    );
  }

  #failed(why: string, tell: () => void): void {
    this.#failure ??= new Error(`the server does not answer: ${why}`);
    tell();
    // Nobody is to use them any more, and the connection waits for their end.
    while ((this.spares?.count ?? 0) > 0) void this.spares?.close();
  }

  /** Ends a channel for us, and keeps its number for what the server may say. */
  #leave(channel: Channel, tell: (observer: ChannelObserver) => void): void {
    this.#left.add(channel);
    this.#forget(channel, tell);
  }

  #end(channel: Channel, tell: (observer: ChannelObserver) => void): void {
    this.#channels.delete(channel.id);
    this.#left.delete(channel);
    this.#forget(channel, tell);
  }

  #forget(channel: Channel, tell: (observer: ChannelObserver) => void): void {
    this.#opening.delete(channel);
    this.#closing.delete(channel);
    // Before anybody is told: whoever is told may open the next one.
    this.#sessions.delete(channel);
    channel.onEnd(tell);
    if (this.#failure === undefined) return;
    if (this.#channels.size > this.#left.size) return;
    this.#options.onBroken(this.#failure);
  }
}

/** Returns the channel, if the server has opened it. */
function confirmed(channel: Channel, type: number): Channel {
  if (channel.isConfirmed) return channel;
  throw new ProtocolViolation(
    `the server sent message ${type} for a channel that is not open`,
  );
}
