/**
 * A socket as a tunnel, for what a program beside us forwards.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Tunnel } from "../connector.ts";
import { setStreamOfTunnel } from "../forward/tunnel_stream.ts";
import { type WebStreams, webStreamsOf } from "./_web_streams.ts";

/** A connection of another program, that it forwards to a socket of ours. */
export class SocketTunnel implements Tunnel {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #web: WebStreams | undefined;

  /** @param socket The socket, with half-open connections allowed. */
  constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) =>
      socket.once("close", () => resolve())
    );
    setStreamOfTunnel(this, socket);
  }

  // Made when asked for: they would start to read.
  get readable(): ReadableStream<Uint8Array> {
    return this.#both().readable;
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#both().writable;
  }

  close(): void {
    this.#socket.destroy();
  }

  #both(): WebStreams {
    return this.#web ??= webStreamsOf(this.#socket);
  }
}
