/**
 * A TCP proxy on loopback that makes the way long: what goes in comes out in
 * the same order, a fixed time later. Its bandwidth is not limited.
 *
 * @module
 */

import {
  type AddressInfo,
  connect,
  createServer,
  type Server,
  type Socket,
} from "node:net";

/** More than this under way in one direction makes its sender wait, in bytes. */
const MAX_UNDER_WAY_BYTES = 64 * 1024 * 1024;

/** The proxy. */
export class DelayProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /**
   * Starts a proxy.
   *
   * @param target Where it leads to.
   * @param delayMs How long each byte is under way, in each direction: half a
   * round trip. The TCP handshake with the proxy itself takes no time.
   */
  static async start(
    target: { port: number; hostname?: string },
    delayMs: number,
  ): Promise<DelayProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const proxy = new DelayProxy(server);
    server.on("connection", (client: Socket) => {
      const upstream = connect({
        host: target.hostname ?? "127.0.0.1",
        port: target.port,
        allowHalfOpen: true,
        noDelay: true,
      });
      proxy.#join(client, upstream, delayMs);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  /** The port that it listens on. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends it, and every connection through it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) =>
      this.#server.close(() => resolve())
    );
    const gone = [...this.#sockets].map((socket) =>
      new Promise((resolve) => socket.once("close", resolve))
    );
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([closed, ...gone]);
  }

  #join(client: Socket, upstream: Socket, delayMs: number): void {
    const lines = [
      new DelayLine(client, upstream, delayMs),
      new DelayLine(upstream, client, delayMs),
    ];
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        for (const line of lines) line.onClosed(socket);
      });
    }
  }
}

/** What is under way: data, the end of data, or the end of the connection. */
type Item = Uint8Array | "end" | "close";

/** One direction of a connection. */
class DelayLine {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #delayMs: number;
  readonly #queue: { due: number; item: Item }[] = [];
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(from: Socket, to: Socket, delayMs: number) {
    this.#from = from;
    this.#to = to;
    this.#delayMs = delayMs;
    from.on("data", (data: Uint8Array) => this.#push(data));
    from.on("end", () => this.#push("end"));
  }

  /** One of the two sockets is gone. */
  onClosed(socket: Socket): void {
    if (socket === this.#from) return this.#push("close");
    // What comes now has nowhere to go.
    clearTimeout(this.#timer);
    this.#queue.length = 0;
    this.#from.resume();
  }

  #push(item: Item): void {
    if (this.#to.destroyed) return;
    this.#queue.push({ due: performance.now() + this.#delayMs, item });
    this.#bytes += sizeOf(item);
    if (this.#bytes > MAX_UNDER_WAY_BYTES) this.#from.pause();
    this.#timer ??= setTimeout(() => this.#deliver(), this.#delayMs);
  }

  #deliver(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (;;) {
      const first = this.#queue[0];
      if (first === undefined) return;
      if (first.due > now) {
        this.#timer = setTimeout(() => this.#deliver(), first.due - now);
        return;
      }
      this.#queue.shift();
      this.#send(first.item);
    }
  }

  #send(item: Item): void {
    if (item === "close") return void this.#to.destroy();
    if (item === "end") return void this.#to.end();
    this.#to.write(item);
    this.#bytes -= item.length;
    if (this.#from.isPaused() && this.#bytes < MAX_UNDER_WAY_BYTES / 2) {
      this.#from.resume();
    }
  }
}

function sizeOf(item: Item): number {
  return typeof item === "string" ? 0 : item.length;
}
