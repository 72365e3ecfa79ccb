/**
 * A master of OpenSSH as a carrier of messages: its proxy mode.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import {
  HEAD,
  type PacketTransport,
  type TransportListener,
} from "../channels/packet_transport.ts";
import { Outbox } from "../channels/outbox.ts";
import { StreamTunnel } from "../channels/stream_tunnel.ts";
import type {
  ClosedReason,
  ConnectionAlgorithms,
  RemoteListener,
  Tunnel,
} from "../connector.ts";
import type { ForwardTarget } from "../host/target.ts";
import type { Control } from "./_control.ts";
import type { Master } from "./_master.ts";
import { openRemoteForward } from "./_remote_forward.ts";

/** Messages of the connection protocol. */
const FIRST = 80;
const LAST = 100;

/** Packets from this size on have memory that is used again. */
const LARGE_BYTES = 16 * 1024;
/** More than any packet has: 32 KiB of data, and what is before them. */
const MAX_BYTES = 33 * 1024;
/** How much of it is kept: 2 MiB, as a window of sshd. */
const MAX_SPARE = 64;

/** What `ssh` says last when the server hung up. */
const BY_SERVER =
  /^Connection to .* closed by remote host|^Received disconnect/;

/**
 * One proxied control connection. The socket is never paused: the master drops
 * what it cannot deliver, so windows alone hold a server back.
 */
export class MuxTransport implements PacketTransport {
  readonly hasGlobalRequests = false;
  readonly software: string;
  readonly algorithms: ConnectionAlgorithms | undefined;
  readonly #master: Master;
  readonly #socket: Socket;
  readonly #control: Control;
  readonly #outbox: Outbox;
  /** Memory for large packets that were written. */
  readonly #spare: Buffer[] = [];
  #listener: TransportListener | undefined;
  #isOver = false;
  #error: Error | undefined;
  /** Called at the end: listeners of remote forwards. */
  readonly #forwards = new Set<() => void>();

  /**
   * @param master The master, which ends with this.
   * @param control A connection to it in proxy mode.
   */
  constructor(master: Master, control: Control) {
    this.#master = master;
    this.#control = control;
    this.#socket = control.socket;
    this.#outbox = new Outbox((bytes) => this.#write(bytes));
    this.software = master.log.software;
    this.algorithms = master.log.algorithms;
  }

  get unsentBytes(): number {
    return this.#socket.writableLength + this.#outbox.bytes;
  }

  start(listener: TransportListener): void {
    this.#listener = listener;
    this.#control.onFrame = (frame) => {
      // The first byte is the length of a padding that is not there.
      const type = frame[1] ?? 0;
      if (this.#isOver || type < FIRST || type > LAST) return;
      try {
        listener.onPayload(frame.subarray(1));
      } catch (error) {
        this.destroy(error as Error);
      }
    };
    this.#socket.on("error", (error) => this.#error ??= error);
    this.#socket.on("drain", () => listener.onDrain());
    for (const event of ["end", "close"]) {
      this.#socket.on(event, () => this.#end());
    }
    if (this.#socket.destroyed) queueMicrotask(() => this.#end());
  }

  alloc(payloadBytes: number): Buffer {
    const size = HEAD + payloadBytes;
    const packet = size < LARGE_BYTES || size > MAX_BYTES
      ? Buffer.allocUnsafe(size)
      : (this.#spare.pop() ?? Buffer.allocUnsafeSlow(MAX_BYTES))
        .subarray(0, size);
    packet.writeUInt32BE(payloadBytes + 1, 0);
    packet[4] = 0;
    return packet;
  }

  send(packet: Buffer): void {
    if (!this.#isOver && !this.#socket.destroyed) this.#outbox.push(packet);
  }

  /** A new packet each time would be as much garbage as data. */
  #write(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (buffer.byteLength !== MAX_BYTES) return void this.#socket.write(bytes);
    this.#socket.write(bytes, () => {
      if (this.#spare.length < MAX_SPARE) this.#spare.push(Buffer.from(buffer));
    });
  }

  listen(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    signal: AbortSignal | undefined,
  ): Promise<RemoteListener> {
    return openRemoteForward(this.#master, {
      listen,
      onConnection,
      signal,
      tunnelOf: (socket) => new StreamTunnel(socket),
      onEnd: (end) => {
        this.#forwards.add(end);
        if (this.#isOver) end();
        return () => void this.#forwards.delete(end);
      },
    });
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  destroy(error: Error): void {
    this.#error ??= error;
    queueMicrotask(() => this.#end());
  }

  async close(): Promise<void> {
    this.#stopUse();
    await this.#master.stop();
  }

  #stopUse(): void {
    this.#isOver = true;
    this.#outbox.drop();
    this.#socket.destroy();
    for (const end of [...this.#forwards]) end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#stopUse();
    // What ssh says of its end comes by another pipe.
    void this.#master.stop()
      .then(() => this.#listener?.onEnd(this.#reason()));
  }

  #reason(): ClosedReason {
    const error = this.#error;
    if (error !== undefined) {
      return { kind: "lost", message: error.message, cause: error };
    }
    const said = this.#master.log.lastWords;
    return BY_SERVER.test(said)
      ? { kind: "remote", message: said }
      : { kind: "lost", message: said || "ssh has ended" };
  }
}
