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
import { SocketWriter } from "./_socket_writer.ts";
import { openRemoteForward } from "./_remote_forward.ts";

/** Messages of the connection protocol. */
const FIRST = 80;
const LAST = 100;
/** Data of a channel: a byte of no use, this, the channel, and a length. */
const DATA = 94;
const DATA_HEAD = 10;

/** What `ssh` says last when the server hung up. */
const BY_SERVER =
  /^Connection to .* closed by remote host|^Received disconnect/;

/**
 * One proxied control connection. The socket is never paused: the master drops
 * what it cannot deliver, so windows alone hold a server back.
 */
export class MuxTransport implements PacketTransport {
  readonly hasGlobalRequests = false;
  readonly lendsData = true;
  /** `ssh` reads 16 KiB a turn, so this is two of them and not three. */
  readonly usualDataBytes = 32 * 1024 - DATA_HEAD;
  readonly software: string;
  readonly algorithms: ConnectionAlgorithms | undefined;
  readonly #master: Master;
  readonly #socket: Socket;
  readonly #control: Control;
  readonly #writer: SocketWriter;
  #listener: TransportListener | undefined;
  #isOver = false;
  /** Why this side has ended it. */
  #error: Error | undefined;
  /** What its socket says, if it does: `ssh` knows more. */
  #socketError: Error | undefined;
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
    this.#writer = new SocketWriter(
      control.socket,
      () => this.#listener?.onDrain(),
    );
    this.software = master.log.software;
    this.algorithms = master.log.algorithms;
  }

  get unsentBytes(): number {
    return this.#writer.unsentBytes;
  }

  start(listener: TransportListener): void {
    this.#listener = listener;
    this.#control.onFrame = (frame) => {
      // The first byte is the length of a padding that is not there.
      const type = frame[1] ?? 0;
      if (type < FIRST || type > LAST) return;
      const payload = frame.subarray(1);
      this.#tell(() =>
        listener.onPayload(type === DATA ? payload : Buffer.from(payload))
      );
    };
    let into = 0;
    this.#control.parts = {
      begin: (head, missing) => {
        if (head[1] !== DATA || head.length <= DATA_HEAD) return false;
        const length = head.readUInt32BE(DATA_HEAD - 4);
        if (DATA_HEAD + length !== head.length + missing) return false;
        into = head.readUInt32BE(2);
        this.#tell(() => listener.onData(into, head.subarray(DATA_HEAD)));
        return true;
      },
      more: (bytes) => this.#tell(() => listener.onData(into, bytes)),
    };
    this.#socket.on("error", (error) => this.#socketError ??= error);
    for (const event of ["end", "close"]) {
      this.#socket.on(event, () => this.#end());
    }
    if (this.#socket.destroyed) queueMicrotask(() => this.#end());
  }

  #tell(what: () => void): void {
    if (this.#isOver) return;
    try {
      what();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  alloc(payloadBytes: number): Buffer {
    const packet = this.#writer.alloc(HEAD + payloadBytes);
    packet.writeUInt32BE(payloadBytes + 1, 0);
    packet[4] = 0;
    return packet;
  }

  send(packet: Buffer): void {
    if (!this.#isOver && !this.#socket.destroyed) this.#writer.send(packet);
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
        // Not in this turn: the listener has not got its way back yet.
        if (this.#isOver) queueMicrotask(end);
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
    this.#writer.drop();
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
    if (BY_SERVER.test(said)) return { kind: "remote", message: said };
    const cause = this.#socketError;
    const message = said || (cause?.message ?? "ssh has ended");
    return { kind: "lost", message, ...cause && { cause } };
  }
}
