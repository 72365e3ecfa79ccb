/** The forwards of one connection of the embedded server. */

import { chmod, unlink } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
// @ts-types="@types/ssh2"
import type {
  Connection,
  ServerChannel,
  SocketBindInfo,
  TcpipBindInfo,
} from "ssh2";
import type { ForwardTarget } from "../../host/target.ts";
import type { EmbeddedServerOptions } from "./embedded_server_options.ts";

const HALF_OPEN = { allowHalfOpen: true, noDelay: true };

type Accept = () => ServerChannel;
type Reject = () => void;

/** Opens channels to targets, and listens for the client. */
export class ServerForwards {
  readonly #client: Connection;
  readonly #options: EmbeddedServerOptions;
  readonly #onOpen: () => void;
  readonly #sockets: Set<Socket> = new Set();
  /** By address, as JSON: each stops listening. */
  readonly #listeners: Map<string, () => Promise<void>> = new Map();
  #hasEnded = false;

  /** @param onOpen Called for each connection that is forwarded. */
  constructor(
    client: Connection,
    options: EmbeddedServerOptions,
    onOpen: () => void,
  ) {
    this.#client = client;
    this.#options = options;
    this.#onOpen = onOpen;
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
    await Promise.all([...closed, ...listeners.map((close) => close())]);
  }

  #open(target: ForwardTarget, accept: Accept, reject: Reject): void {
    if (this.#options.refuseForwards) return reject();
    const to = "path" in target
      ? target
      : { host: target.hostname, port: target.port };
    const socket = connect({ ...to, ...HALF_OPEN });
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
    if (this.#options.refuseForwards) return reject?.();
    let given = address;
    const net = createServer(HALF_OPEN, (socket) => {
      this.#own(socket);
      this.#admit(given, socket);
    });
    // Connections that were taken stay.
    const close = async () => {
      // Its callback waits for the connections; the port is free at once.
      net.close();
      // Node has removed the socket.
      if ("path" in given) await unlink(given.path).catch(() => {});
    };
    const listening = async () => {
      if ("path" in address) await chmod(address.path, 0o600);
      else given = { ...address, port: (net.address() as AddressInfo).port };
      if (this.#hasEnded) return await close();
      this.#listeners.set(JSON.stringify(given), close);
      accept?.("port" in given ? given.port : undefined);
    };
    net.once("error", () => reject?.());
    net.listen(
      "path" in address
        ? address
        : { host: loopbackOf(address.hostname), port: address.port },
      () => listening().catch(() => reject?.()),
    );
  }

  #cancel(
    address: ForwardTarget,
    accept: (() => void) | undefined,
    reject: Reject | undefined,
  ): void {
    const key = JSON.stringify(address);
    const close = this.#listeners.get(key);
    if (close === undefined) return reject?.();
    this.#listeners.delete(key);
    close().then(accept);
  }

  /** Opens a channel for a connection that a listener has taken. */
  #admit(address: ForwardTarget, socket: Socket): void {
    const onChannel = (error: Error | undefined, channel: ServerChannel) => {
      if (error) return void socket.destroy();
      // It may be taken long after its client has gone.
      if (socket.destroyed) return void channel.close();
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

  /** Joins them until both have ended. Each direction ends by itself. */
  #join(channel: ServerChannel, socket: Socket): void {
    this.#onOpen();
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
