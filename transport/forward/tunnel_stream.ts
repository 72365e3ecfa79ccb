/**
 * The node stream of a tunnel, for those who do not need web streams.
 *
 * @module
 */

import { Duplex } from "node:stream";
import type { Tunnel } from "../connector.ts";

/** Gives the node stream for good, or nothing where web streams read it. */
type TakeStream = () => Duplex | undefined;

const streams = new WeakMap<Tunnel, TakeStream>();

/**
 * Notes which stream a tunnel is made of.
 *
 * @param tunnel The tunnel.
 * @param take Gives the stream below its web streams, unless they were made.
 */
export function setStreamOfTunnel(tunnel: Tunnel, take: TakeStream): void {
  streams.set(tunnel, take);
}

/**
 * Returns the byte stream of a tunnel. Its user must not use the web streams of the tunnel any more.
 *
 * @param tunnel Any tunnel; one whose stream was noted gives that one, which
 * is faster.
 * @throws {TypeError} If the web streams are locked.
 */
export function streamOfTunnel(tunnel: Tunnel): Duplex {
  return streams.get(tunnel)?.() ?? new WebTunnelStream(tunnel);
}

const sockets = new WeakMap<Tunnel, Duplex>();

/**
 * Returns the byte stream of a tunnel, with what drivers ask of a socket.
 *
 * @param tunnel Any tunnel.
 * @returns The same stream at each call.
 * @throws {TypeError} If the web streams are in use.
 */
export function socketOfTunnel(tunnel: Tunnel): Duplex {
  const known = sockets.get(tunnel);
  if (known !== undefined) return known;
  // To ask for a web stream would make it, and it would read from then on.
  let stream = streams.get(tunnel)?.();
  if (stream === undefined) {
    if (tunnel.readable.locked || tunnel.writable.locked) {
      throw new TypeError(
        "Cannot give the tunnel as a stream of Node: its web streams are in use",
      );
    }
    stream = new WebTunnelStream(tunnel);
  }
  const socket = asSocket(stream);
  sockets.set(tunnel, socket);
  return socket;
}

/** Adds what a `net.Socket` has and the stream has not. */
function asSocket(stream: Duplex): Duplex {
  const same = () => stream;
  const more = {
    connect: () => {
      // Drivers add their listeners after the call.
      queueMicrotask(() => stream.emit("connect"));
      return stream;
    },
    setNoDelay: same,
    setKeepAlive: same,
    setTimeout: same,
    ref: same,
    unref: same,
  };
  for (const [name, value] of Object.entries(more)) {
    if (!(name in stream)) Object.defineProperty(stream, name, { value });
  }
  return stream;
}

/** Not `Duplex.from()`: that one ends both directions when one has ended. */
class WebTunnelStream extends Duplex {
  readonly #tunnel: Tunnel;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(tunnel: Tunnel) {
    super({ allowHalfOpen: true });
    // Its user listens too; a late error must not end the process.
    this.on("error", () => {});
    this.#tunnel = tunnel;
    this.#reader = tunnel.readable.getReader();
    this.#writer = tunnel.writable.getWriter();
    this.#writer.closed.catch((error) => this.destroy(error));
  }

  override _read(): void {
    this.#reader.read().then(
      ({ done, value }) => void this.push(done ? null : value),
      (error) => void this.destroy(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#writer.write(chunk).then(() => done(), done);
  }

  override _final(done: Done): void {
    this.#writer.close().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#reader.cancel().catch(() => {});
    if (!this.writableFinished) this.#writer.abort(error).catch(() => {});
    this.#tunnel.close();
    done(error);
  }
}

type Done = (error?: Error | null) => void;
