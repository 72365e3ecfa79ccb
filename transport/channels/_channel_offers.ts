/**
 * Channels that the server asks for. Each is answered once, now or later: it
 * need not be confirmed before there is something at its other end.
 *
 * @module
 */

import type { Channel, ChannelObserver } from "./_channel.ts";
import type { GlobalRequests } from "./_global_requests.ts";
import type { PacketTransport } from "./packet_transport.ts";
import { checkPackets, PACKET_BYTES, WINDOW_BYTES } from "./_windows.ts";
import * as wire from "./_wire.ts";
import { MessageReader, sendMessage } from "./_wire.ts";

/** One that was taken, and waits for its answer. */
export interface ChannelOffer {
  /** Confirms it; `undefined` if it was refused or the connection has ended. */
  accept(): Channel | undefined;
  /** Refuses it, unless it was answered: its target cannot be reached. */
  refuse(): void;
}

/** Takes a channel that the server asks for, with its observer. */
export type Admit = (take: (observer: ChannelObserver) => ChannelOffer) => void;

/** Says what becomes of a channel that the server asks for; `undefined` refuses it. */
export type Acceptor = (fields: MessageReader) => Admit | undefined;

/** What it needs of the table of channels. */
export interface ChannelOffersContext {
  readonly transport: PacketTransport;
  readonly globals: GlobalRequests;
  /** Whether the server gets no more channels. */
  isFull(): boolean;
  /** Makes the channel of one that is confirmed. */
  add(observer: ChannelObserver): Channel;
}

const ADMINISTRATIVELY_PROHIBITED = 1;
const CONNECT_FAILED = 2;
const UNKNOWN_CHANNEL_TYPE = 3;
const RESOURCE_SHORTAGE = 4;

/** The channels that the server of one connection asks for. */
export class ChannelOffers {
  readonly #context: ChannelOffersContext;
  readonly #acceptors = new Map<string, Acceptor>();
  /** Those that are not answered yet. */
  readonly #waiting = new Set<ChannelObserver>();

  constructor(context: ChannelOffersContext) {
    this.#context = context;
  }

  /** Takes channels of a type; it has one taker. */
  accept(type: string, acceptor: Acceptor): void {
    this.#acceptors.set(type, acceptor);
  }

  /**
   * Takes the server's message.
   *
   * @throws {ProtocolViolation} If no server may send it.
   */
  onOpen(payload: Uint8Array): void {
    const { globals, transport } = this.#context;
    const fields = new MessageReader(payload);
    const acceptor = this.#acceptors.get(fields.string());
    const remoteId = fields.uint32();
    const window = fields.uint32();
    const maxPacket = fields.uint32();
    const isFull = this.#context.isFull();
    const admit = isFull ? undefined : acceptor?.(fields);
    // Now, also for a later answer: those that wait may all be sent in one turn.
    globals.countAnswer();
    const refuse = (reason: number) =>
      sendMessage(transport, wire.CHANNEL_OPEN_FAILURE, [
        remoteId,
        reason,
        "",
        "",
      ]);
    if (acceptor === undefined) return refuse(UNKNOWN_CHANNEL_TYPE);
    if (isFull) return refuse(RESOURCE_SHORTAGE);
    if (admit === undefined) return refuse(ADMINISTRATIVELY_PROHIBITED);
    checkPackets(maxPacket);
    const waiting = this.#waiting;
    admit((observer) => {
      waiting.add(observer);
      return {
        accept: () => {
          if (!waiting.delete(observer)) return undefined;
          const channel = this.#context.add(observer);
          transport.onChannel?.(false);
          sendMessage(transport, wire.CHANNEL_OPEN_CONFIRMATION, [
            remoteId,
            channel.id,
            WINDOW_BYTES,
            PACKET_BYTES,
          ]);
          channel.onOpen(remoteId, window, maxPacket);
          return channel;
        },
        refuse: () => {
          if (waiting.delete(observer)) refuse(CONNECT_FAILED);
        },
      };
    });
  }

  /** The connection has ended: no answer reaches the server any more. */
  end(): void {
    const lost = [...this.#waiting];
    this.#waiting.clear();
    for (const observer of lost) observer.lost();
  }
}
