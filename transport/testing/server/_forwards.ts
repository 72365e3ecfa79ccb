/** The forwards of one connection of the embedded server. */

import { chmod, unlink } from "node:fs/promises";
import {
  type AddressInfo,
  connect,
  createServer,
  type Server as NetServer,
  type Socket,
} from "node:net";
// @ts-types="@types/ssh2"
import type {
  Connection,
  ServerChannel,
  SocketBindInfo,
  TcpipBindInfo,
} from "ssh2";
import type { ForwardTarget } from "../../host/target.ts";
import type { EmbeddedServerOptions } from "./embedded_server_options.ts";

/** What forwards need of their server. */
export interface ForwardParts {
  readonly options: EmbeddedServerOptions;
  /** Called for each connection that is forwarded. */
  readonly onOpen: () => void;
}

type Accept = () => ServerChannel;
type Reject = () => void;

/** Opens channels to targets, and listens for the client. */
export class ServerForwards {
  readonly #client: Connection;
  readonly #parts: ForwardParts;
  readonly #sockets: Set<Socket> = new Set();
  readonly #listeners: Map<string, ServerListener> = new Map();
  #hasEnded = false;

  constructor(client: Connection, parts: ForwardParts) {
    this.#client = client;
    this.#parts = parts;
    client.on("tcpip", (accept, reject, { destIP, destPort }) => {
      this.#open({ hostname: destIP, port: destPort }, accept, reject);
    });
    client.on("openssh.streamlocal", (accept, reject, { socketPath }) => {
      this.#open({ path: socketPath }, accept, reject);
    });
    client.on("request", (accept, reject, name, info) => {
      const address = addressOf(info);
      if (/^cancel-/.test(name)) this.#cancel(address, accept, reject);
      else this.#listen(address, accept, reject);
    });
  }

  /** The connection is gone: nothing is left when this resolves. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    const closed = [...this.#sockets].map((socket) =>
      new Promise((resolve) => socket.once("close", resolve))
    );
    for (const socket of this.#sockets) socket.destroy();
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all([...closed, ...listeners.map((it) => it.close())]);
  }

  #open(target: ForwardTarget, accept: Accept, reject: Reject): void {
    if (this.#parts.options.refuseForwards) return reject();
    const socket = connect({
      ...("path" in target
        ? target
        : { host: target.hostname, port: target.port, noDelay: true }),
      allowHalfOpen: true,
    });
    this.#own(socket);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      if (this.#hasEnded) return;
      this.#join(accept(), socket);
    });
  }

  #listen(
    address: ForwardTarget,
    accept: ((port?: number) => void) | undefined,
    reject: Reject | undefined,
  ): void {
    if (this.#parts.options.refuseForwards) return reject?.();
    const listener = new ServerListener(address, (socket) => {
      this.#own(socket);
      this.#admit(listener.address, socket);
    });
    listener.listen().then(async () => {
      const key = JSON.stringify(listener.address);
      if (this.#hasEnded) return await listener.close();
      this.#listeners.set(key, listener);
      accept?.("port" in listener.address ? listener.address.port : undefined);
    }).catch(() => reject?.());
  }

  #cancel(
    address: ForwardTarget,
    accept: (() => void) | undefined,
    reject: Reject | undefined,
  ): void {
    const key = JSON.stringify(address);
    const listener = this.#listeners.get(key);
    if (listener === undefined) return reject?.();
    this.#listeners.delete(key);
    listener.close().then(accept);
  }

  /** Opens a channel for a connection that a listener has taken. */
  #admit(address: ForwardTarget, socket: Socket): void {
    const onChannel = (error: Error | undefined, channel: ServerChannel) => {
      if (error || socket.destroyed) return void socket.destroy();
      this.#join(channel, socket);
    };
    if ("path" in address) {
      this.#client.openssh_forwardOutStreamLocal(address.path, onChannel);
      return;
    }
    this.#client.forwardOut(
      address.hostname,
      address.port,
      socket.remoteAddress ?? "",
      socket.remotePort ?? 0,
      onChannel,
    );
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #join(channel: ServerChannel, socket: Socket): void {
    this.#parts.onOpen();
    joinChannel(channel, socket);
  }
}

/** A port or a unix socket on which the server listens for a client. */
class ServerListener {
  readonly #net: NetServer;
  #address: ForwardTarget;

  constructor(address: ForwardTarget, onSocket: (socket: Socket) => void) {
    this.#address = address;
    const options = { allowHalfOpen: true, noDelay: true };
    this.#net = createServer(options, onSocket);
  }

  /** Where it listens, as the client named it, with the port if it chose one. */
  get address(): ForwardTarget {
    return this.#address;
  }

  /** Listens; rejects if it cannot. */
  async listen(): Promise<void> {
    const address = this.#address;
    await new Promise<void>((resolve, reject) => {
      this.#net.once("error", reject);
      this.#net.listen(
        "path" in address
          ? address
          : { host: loopbackOf(address.hostname), port: address.port },
        resolve,
      );
    });
    if ("path" in address) return await chmod(address.path, 0o600);
    const { port } = this.#net.address() as AddressInfo;
    this.#address = { hostname: address.hostname, port };
  }

  /** Stops listening; connections that it has taken stay. */
  async close(): Promise<void> {
    // Its callback waits for the connections; the port is free at once.
    this.#net.close();
    if ("path" in this.#address) {
      await unlink(this.#address.path).catch(() => {}); // Node has done it.
    }
  }
}

/** As sshd does without `GatewayPorts`: never an address that others reach. */
function loopbackOf(hostname: string): string {
  return hostname.includes(":") ? "::1" : "127.0.0.1";
}

function addressOf(info: TcpipBindInfo | SocketBindInfo): ForwardTarget {
  return "socketPath" in info
    ? { path: info.socketPath }
    : { hostname: info.bindAddr, port: info.bindPort };
}

/**
 * Joins a channel with a socket until both have ended. Each direction ends by itself.
 *
 * @param channel The channel.
 * @param socket The socket; made with `allowHalfOpen`.
 */
function joinChannel(channel: ServerChannel, socket: Socket): void {
  // A socket that dies under a channel is no error of the server.
  channel.on("error", () => {});
  // The end of the client is an end of file for the socket, and no more.
  channel.pipe(socket);
  // ssh2's server closes a channel with its `end()`, in both directions.
  socket.pipe(channel, { end: false });
  socket.once("end", () => {
    if (!channel.writableEnded) channel.write("", () => channel.eof());
  });
  // After all that was written.
  socket.once("close", () => channel.end());
  channel.once("close", () => {
    if (socket.destroyed) return;
    if (socket.writableFinished) return void socket.destroy();
    socket.once("finish", () => socket.destroy());
    socket.end();
  });
}
