/**
 * Remote forwards through a master: proxy mode passes no answers to global
 * requests, so the master itself forwards, to a private unix socket of ours.
 *
 * @module
 */

import { createServer, type Server, type Socket } from "node:net";
import { abortable } from "../abort.ts";
import type { RemoteListener, Tunnel } from "../connector.ts";
import { ConnectionLostError } from "../errors.ts";
import { ForwardError } from "../forward/errors.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";
import { serverText } from "../session/server_text.ts";
import {
  ALIVE_CHECK,
  CLOSE_FORWARD,
  IS_PATH,
  numberAt,
  OPEN_FORWARD,
  REMOTE,
} from "./_control.ts";
import type { FrameField } from "./_frames.ts";
import type { Master } from "./_master.ts";

/** One listener on the host. */
export interface HostListenOptions {
  readonly listen: ForwardTarget;
  readonly onConnection: (tunnel: Tunnel) => void;
  readonly signal: AbortSignal | undefined;
  /** Makes a tunnel of a socket. */
  tunnelOf(socket: Socket): Tunnel;
  /** Registers what is called at the end of the connection; returns the way back. */
  onEnd(end: () => void): () => void;
}

/**
 * Lets the host listen.
 *
 * @throws {ForwardError} If the server refuses.
 */
export async function openRemoteForward(
  master: Master,
  options: HostListenOptions,
): Promise<RemoteListener> {
  const { listen, signal } = options;
  signal?.throwIfAborted();
  const path = master.newPath();
  const sockets = new Set<Socket>();
  const server = await startServer(path, sockets, {
    ...options,
    isAlive: () =>
      master.ask(ALIVE_CHECK).catch((cause) => {
        throw new ConnectionLostError(
          `The connection to ${JSON.stringify(master.name)} is lost`,
          { host: master.name, cause },
        );
      }),
  });
  const asking = master.ask(
    OPEN_FORWARD,
    REMOTE,
    ...where(listen),
    path,
    IS_PATH,
  );
  let address = listen;
  try {
    const { rest } = await abortable(asking, signal);
    if (!("path" in listen) && listen.port === 0) {
      address = { hostname: listen.hostname, port: numberAt(rest, 0) };
    }
  } catch (error) {
    server.close();
    if (signal?.aborted) {
      // It may be granted yet: then it is taken back.
      const granted = ({ rest }: { rest: Parameters<typeof numberAt>[0] }) =>
        "path" in listen || listen.port !== 0
          ? listen
          : { hostname: listen.hostname, port: numberAt(rest, 0) };
      asking.then((it) => closeForward(master, granted(it), path))
        .catch(() => {});
      throw signal.reason;
    }
    throw refusal(master.name, listen, error);
  }
  return new Listening(master, { address, path, server, sockets }, options);
}

async function startServer(
  path: string,
  sockets: Set<Socket>,
  { onConnection, tunnelOf, isAlive }: HostListenOptions & {
    isAlive(): Promise<unknown>;
  },
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    endWhileAlive(socket, isAlive);
    const tunnel = tunnelOf(socket);
    try {
      onConnection(tunnel);
    } catch {
      tunnel.close();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve());
  });
  return server;
}

/**
 * Lets a socket end only while the master lives. One that has lost its connection
 * closes its sockets as if all that was sent had arrived.
 */
function endWhileAlive(socket: Socket, isAlive: () => Promise<unknown>): void {
  const push = socket.push.bind(socket);
  socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk !== null) return push(chunk, encoding);
    isAlive().then(() => push(null), (error) => socket.destroy(error));
    return false;
  };
}

function where(address: ForwardTarget): FrameField[] {
  return "path" in address
    ? [address.path, IS_PATH]
    : [address.hostname, address.port];
}

async function closeForward(
  master: Master,
  address: ForwardTarget,
  path: string,
): Promise<void> {
  await master.ask(CLOSE_FORWARD, REMOTE, ...where(address), path, IS_PATH);
}

function refusal(
  host: string,
  listen: ForwardTarget,
  cause: unknown,
): ForwardError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ForwardError(
    `Cannot listen on ${JSON.stringify(targetName(listen))} of ` +
      `${JSON.stringify(host)}: the server refused: ${serverText(why)}`,
    { host, cause },
  );
}

interface ListeningParts {
  readonly address: ForwardTarget;
  readonly path: string;
  readonly server: Server;
  readonly sockets: ReadonlySet<Socket>;
}

class Listening implements RemoteListener {
  readonly address: ForwardTarget;
  readonly closed: Promise<void>;
  readonly #master: Master;
  readonly #parts: ListeningParts;
  readonly #forget: () => void;
  #tellClosed!: () => void;
  #closing: Promise<void> | undefined;

  constructor(
    master: Master,
    parts: ListeningParts,
    options: HostListenOptions,
  ) {
    this.#master = master;
    this.#parts = parts;
    this.address = parts.address;
    this.closed = new Promise((resolve) => this.#tellClosed = resolve);
    this.#forget = options.onEnd(() => {
      for (const socket of parts.sockets) socket.destroy();
      this.#closing ??= Promise.resolve();
      this.#end();
    });
  }

  close(): Promise<void> {
    return this.#closing ??= (async () => {
      const { address, path } = this.#parts;
      await closeForward(this.#master, address, path).catch(() => {});
      this.#end();
    })();
  }

  #end(): void {
    this.#forget();
    this.#parts.server.close();
    this.#tellClosed();
  }
}
