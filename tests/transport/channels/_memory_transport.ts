/**
 * A packet transport in memory: what is sent is written down, and what the
 * server says is what a test says.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type {
  Channel,
  ChannelObserver,
} from "../../../transport/channels/_channel.ts";
import { ChannelTable } from "../../../transport/channels/_channel_table.ts";
import {
  HEAD,
  type PacketTransport,
  type TransportListener,
} from "../../../transport/channels/packet_transport.ts";
import { SocketRef } from "../../../transport/channels/_socket_ref.ts";
import * as wire from "../../../transport/channels/_wire.ts";
import {
  MessageReader,
  sendMessage,
  type WireField,
} from "../../../transport/channels/_wire.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";

/** Encodes a message. */
export function message(type: number, ...fields: WireField[]): Uint8Array {
  const encoder = new MemoryTransport();
  sendMessage(encoder, type, fields);
  return encoder.sent[0]!;
}

/** The transport. */
export class MemoryTransport implements PacketTransport {
  software = "OpenSSH_9.9";
  readonly algorithms = undefined;
  readonly hasGlobalRequests = true;
  /** As a test sets it; the test then uses the memory again. */
  lendsData = false;
  /** As a test sets it. */
  unsentBytes = 0;
  /** As a test sets it. */
  usualDataBytes?: number;
  /** The payloads that were sent. */
  readonly sent: Uint8Array[] = [];
  /** Called with each, after it was written down. */
  onSend: ((payload: Uint8Array) => void) | undefined;
  acknowledged = 0;
  isRef = true;
  destroyedWith: Error | undefined;
  #listener: TransportListener | undefined;

  start(listener: TransportListener): void {
    this.#listener = listener;
  }

  alloc(payloadBytes: number): Buffer {
    return Buffer.alloc(HEAD + payloadBytes);
  }

  send(packet: Buffer): void {
    const payload = packet.subarray(HEAD);
    this.sent.push(payload);
    this.onSend?.(payload);
  }

  acknowledge(): void {
    this.acknowledged++;
  }

  ref(): void {
    this.isRef = true;
  }

  unref(): void {
    this.isRef = false;
  }

  destroy(error: Error): void {
    this.destroyedWith ??= error;
    queueMicrotask(() => {
      const { message } = this.destroyedWith!;
      this.#listener?.onEnd({ kind: "lost", message });
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Has the server say something. */
  deliver(type: number, ...fields: WireField[]): void {
    this.#listener?.onPayload(message(type, ...fields));
  }

  /** The types of what was sent since the last look. */
  taken(): number[] {
    return this.sent.splice(0).map((payload) => payload[0]!);
  }
}

/** An observer that writes down what it hears. */
export function recorder(): ChannelObserver & { readonly heard: string[] } {
  const heard: string[] = [];
  const text = (chunk: Uint8Array) => Buffer.from(chunk).toString();
  return {
    heard,
    opened: () => void heard.push("opened"),
    stdout: (chunk) => heard.push(`stdout ${text(chunk)}`) > 0,
    stderr: (chunk) => heard.push(`stderr ${text(chunk)}`) > 0,
    eof: () => void heard.push("eof"),
    closed: () => void heard.push("closed"),
    refused: (error) => void heard.push(`refused ${error.message}`),
    unanswered: () => void heard.push("unanswered"),
    lost: () => void heard.push("lost"),
  };
}

/** A table of channels over such a transport. */
export function memoryTable(timeouts: {
  openMs?: number;
  closeMs?: number;
  answerMs?: number;
  hasSpares?: boolean;
} = {}) {
  const transport = new MemoryTransport();
  const broken: Error[] = [];
  const table = new ChannelTable(transport, {
    host: "ops@web-1:22",
    socketRef: new SocketRef(transport),
    timeouts: { openMs: 0, closeMs: 0, answerMs: 0, ...timeouts },
    hasSpares: timeouts.hasSpares ?? false,
    lost: (doing) =>
      new ConnectionLostError(`Cannot ${doing}`, { host: "ops@web-1:22" }),
    onBroken: (error) => void broken.push(error),
  });
  const say = (type: number, ...fields: WireField[]) =>
    table.onPayload(message(type, ...fields));
  return {
    transport,
    table,
    broken,
    say,
    /** Opens a session channel, which the server knows by its number plus 100. */
    openChannel(
      observer: ChannelObserver = recorder(),
      windowBytes = 2 ** 21,
    ): Channel {
      const channel = table.open(observer);
      say(
        wire.CHANNEL_OPEN_CONFIRMATION,
        channel.id,
        channel.id + 100,
        windowBytes,
        2 ** 15,
      );
      transport.sent.length = 0;
      return channel;
    },
  };
}

/** The fields of a message, as a list of readers asks for them. */
export function fieldsOf(payload: Uint8Array | undefined): MessageReader {
  if (payload === undefined) throw new Error("Nothing was sent");
  return new MessageReader(payload);
}
