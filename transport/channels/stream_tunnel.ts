/**
 * A node stream as a tunnel: web streams for anybody, and the stream itself for
 * the connection, or the driver, that runs through it.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import type { Tunnel } from "../connector.ts";
import { setStreamOfTunnel } from "../forward/tunnel_stream.ts";
import { type WebStreams, webStreamsOf } from "./_web_streams.ts";

/** A channel, or a connection of another program that it forwards to us. */
export class StreamTunnel implements Tunnel {
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  #web: WebStreams | undefined;
  #isTaken = false;
  readonly #onTaken: (() => void) | undefined;

  /**
   * @param stream The stream, with half-open connections allowed.
   * @param onTaken Called when its bytes are asked for, in either way.
   */
  constructor(stream: Duplex, onTaken?: () => void) {
    this.#stream = stream;
    this.#onTaken = onTaken;
    this.closed = new Promise((resolve) =>
      stream.once("close", () => resolve())
    );
    setStreamOfTunnel(this, () => {
      if (this.#web !== undefined) return undefined;
      this.#isTaken = true;
      onTaken?.();
      return stream;
    });
  }

  // Made when asked for: they would start to read, and take from the
  // connection that runs on the stream itself.
  get readable(): ReadableStream<Uint8Array> {
    return this.#both().readable;
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#both().writable;
  }

  close(): void {
    this.#stream.destroy();
  }

  #both(): WebStreams {
    if (this.#isTaken) {
      throw new TypeError(
        "Cannot use the web streams of the tunnel: its stream of Node is in use",
      );
    }
    this.#onTaken?.();
    return this.#web ??= webStreamsOf(this.#stream);
  }
}
