// Tunnels that need no SSH, and clients, for the tests of forwards.

import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { setStreamOfTunnel } from "../../../transport/forward/tunnel_stream.ts";
import type { Tunnel } from "../../../transport/connector.ts";
import type { Forward } from "../../../transport/forward/forward.ts";
import type { ForwardTarget } from "../../../transport/host/target.ts";

/** A tunnel that is a plain socket; over web streams, or over its node stream. */
export function tunnelOf(socket: Socket, web: boolean): Tunnel {
  const closed = new Promise<void>((resolve) =>
    socket.once("close", () => resolve())
  );
  socket.on("error", () => {});
  let pair: { readable: unknown; writable: unknown } | undefined;
  const streams = () =>
    pair ??= (Duplex as unknown as {
      toWeb(stream: Duplex): { readable: unknown; writable: unknown };
    }).toWeb(socket);
  const tunnel = {
    closed,
    close: () => void socket.destroy(),
    get readable() {
      return streams().readable as ReadableStream<Uint8Array>;
    },
    get writable() {
      return streams().writable as WritableStream<Uint8Array>;
    },
  };
  if (!web) setStreamOfTunnel(tunnel, () => socket);
  return tunnel;
}

/** Opens a tunnel that is a plain connection. */
export async function openPlain(
  target: ForwardTarget,
  { web = false }: { web?: boolean; signal?: AbortSignal } = {},
): Promise<Tunnel> {
  return tunnelOf(await dial(target), web);
}

/** Connects, half-open allowed. */
export function dial(target: ForwardTarget): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const where = "path" in target
      ? { path: target.path }
      : { host: target.hostname, port: target.port };
    const socket = connect({ ...where, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

/** A server for tests; disposing of it ends its connections. */
export class TestServer implements AsyncDisposable {
  readonly sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(serve: (socket: Socket) => void) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
      socket.on("error", () => {});
      serve(socket);
    });
  }

  /** Starts it on a free port or on a path. */
  static async start(
    serve: (socket: Socket) => void = (socket) => void socket.pipe(socket),
    path?: string,
  ): Promise<TestServer> {
    const server = new TestServer(serve);
    await new Promise<void>((resolve) =>
      path === undefined
        ? server.#server.listen(0, "127.0.0.1", resolve)
        : server.#server.listen({ path }, resolve)
    );
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get target(): ForwardTarget {
    return { hostname: "127.0.0.1", port: this.port };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

/** Connects to a forward. */
export function dialForward(forward: Forward): Promise<Socket> {
  return dial(forward.address);
}

/** Reads a socket to its end of file, and leaves its other direction open. */
export async function readAll(socket: Socket): Promise<string> {
  const chunks: string[] = [];
  await eachChunk(socket, (chunk) => chunks.push(chunk.toString("latin1")));
  return chunks.join("");
}

/** Not `for await`, which destroys the socket at the end of file. */
function eachChunk(
  socket: Socket,
  take: (chunk: Buffer) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on("data", take);
    socket.once("end", resolve);
    socket.once("close", () => reject(new Error("closed before its end")));
  });
}

/** Reads so many bytes. */
export function readBytes(socket: Socket, count: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let held: number[] = [];
    const onData = (chunk: Uint8Array) => {
      held = [...held, ...chunk];
      if (held.length < count) return;
      socket.pause();
      done();
      resolve(Uint8Array.from(held));
    };
    const onClose = () => {
      done();
      reject(new Error(`closed after ${held.length} of ${count} bytes`));
    };
    const done = () => socket.off("data", onData).off("close", onClose);
    socket.on("data", onData).on("close", onClose).resume();
  });
}

/** Sends text and end of file, and reads to the end. */
export function exchange(socket: Socket, text: string): Promise<string> {
  socket.end(text);
  return readAll(socket);
}

/** Answers an end of file by one; resolves with whether it ended by a failure. */
export function ended(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    let failed = socket.errored !== null && socket.errored !== undefined;
    socket.on("error", () => failed = true);
    if (socket.closed) return resolve(failed);
    socket.once("close", () => resolve(failed));
    socket.once("end", () => socket.end());
    socket.resume();
  });
}

/** Hashes what a socket sends up to its end. */
export async function hashOf(
  socket: Socket,
): Promise<{ hash: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  await eachChunk(socket, (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  return { hash: hash.digest("hex"), bytes };
}
