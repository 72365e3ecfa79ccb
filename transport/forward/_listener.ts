/**
 * A listener on this side, and the connections that it has.
 *
 * @module
 */

import {
  type AddressInfo,
  createServer,
  type Server,
  type Socket,
} from "node:net";
import { streamOfTunnel } from "./tunnel_stream.ts";
import { onAbort } from "../abort.ts";
import type { Tunnel } from "../connector.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";
import { reset, splice } from "./_splice.ts";
import { listenUnix } from "./_unix_socket.ts";
import { ForwardError, MAX_CONNECTIONS, tooMany } from "./errors.ts";
import {
  type CommonForwardOptions,
  type Forward,
  type ForwardEnd,
  type ForwardFailureReason,
  type TellFailure,
  tellFailure,
} from "./forward.ts";

/** How long a client that was refused may take to read why. */
const LINGER_MS = 1000;

/** Options of a listener. */
export interface ListenerOptions extends CommonForwardOptions {
  /** What a connection is called in messages. */
  readonly name: string;
  /** Where every client is led to, if to one target. */
  readonly to?: ForwardTarget;
  /** Called for each failure, beside `onError`. */
  readonly tell: TellFailure | undefined;
  /** Opens the tunnel of a client. It may have ended the client when it throws. */
  serve(client: Socket, route: Route): Promise<Tunnel>;
}

/** The way of one client. */
export interface Route {
  /** Aborts when the client hangs up. */
  readonly signal: AbortSignal;
  /** Where to, once it is known. */
  to: ForwardTarget | undefined;
}

/** A listener, which gives each client a tunnel. */
export class Listener implements Forward {
  readonly closed: Promise<ForwardEnd>;
  readonly address: ForwardTarget;
  readonly #server: Server;
  readonly #options: ListenerOptions;
  readonly #clients = new Map<Socket, Promise<void>>();
  readonly #removeFile: () => Promise<void>;
  readonly #stop = new AbortController();
  #tellClosed!: (end: ForwardEnd) => void;
  #closing: Promise<void> | undefined;
  /** Takes back what waits for the signal. */
  readonly #forgetSignal: () => void;

  /** Starts to listen. */
  static async start(
    address: ForwardTarget,
    options: ListenerOptions,
  ): Promise<Listener> {
    options.signal?.throwIfAborted();
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    let removeFile = () => Promise.resolve();
    try {
      if ("path" in address) {
        const replace = options.replaceSocket ?? false;
        removeFile = await listenUnix(server, address.path, replace);
      } else await listenTcp(server, address.hostname, address.port);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new ForwardError(
        `Cannot listen on ${JSON.stringify(targetName(address))}: ${why}`,
        { cause },
      );
    }
    const listener = new Listener(server, address, { removeFile, options });
    if (options.signal?.aborted) {
      await listener.close();
      throw options.signal.reason;
    }
    return listener;
  }

  private constructor(
    server: Server,
    address: ForwardTarget,
    parts: { options: ListenerOptions; removeFile: () => Promise<void> },
  ) {
    this.#server = server;
    this.#options = parts.options;
    this.#removeFile = parts.removeFile;
    this.closed = new Promise((resolve) => this.#tellClosed = resolve);
    if ("path" in address) this.address = address;
    else {
      const { address: hostname, port } = server.address() as AddressInfo;
      this.address = { hostname, port };
    }
    server.on("connection", (client) => this.#admit(client));
    server.on("error", (error) => this.#report("not-listening", error));
    this.#forgetSignal = onAbort(
      parts.options.signal,
      () => void this.close(),
    );
  }

  get connections(): number {
    return this.#clients.size;
  }

  unref(): void {
    this.#server.unref();
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#forgetSignal();
    const ended = new Promise<void>((resolve) =>
      this.#server.close(() => resolve())
    );
    this.#stop.abort(new ForwardError("Cannot go on: the forward was closed"));
    for (const client of this.#clients.keys()) reset(client);
    await Promise.all([
      this.#removeFile(),
      ended,
      ...this.#clients.values(),
    ]);
    this.#tellClosed({ kind: "local" });
  }

  #admit(client: Socket): void {
    // For good: an error that nobody listens to would end the process.
    client.on("error", () => {});
    if (this.#stop.signal.aborted) return reset(client);
    const { maxConnections = MAX_CONNECTIONS, name } = this.#options;
    if (this.#clients.size >= maxConnections) {
      reset(client);
      const error = tooMany(name, maxConnections);
      return this.#report("too-many", error, this.#options.to);
    }
    const served = this.#serve(client)
      .finally(() => this.#clients.delete(client));
    this.#clients.set(client, served);
  }

  /** Serves one client to its end. Never rejects. */
  async #serve(client: Socket): Promise<void> {
    const left = new AbortController();
    const route: Route = { signal: left.signal, to: this.#options.to };
    let tunnel: Tunnel;
    try {
      tunnel = await this.#open(client, route, left);
    } catch (error) {
      const isOfClient = left.signal.aborted || route.to === undefined;
      const reason = isOfClient ? "client" : "not-opened";
      return this.#report(reason, error, route.to);
    }
    const remote = streamOfTunnel(tunnel);
    // To reset the client may look like an orderly end, which would let the
    // tunnel send what it has.
    const forgetStop = onAbort(this.#stop.signal, () => remote.destroy());
    const failure = await splice(client, remote);
    forgetStop();
    if (failure !== undefined) this.#report("broken", failure, route.to);
  }

  async #open(
    client: Socket,
    route: Route,
    left: AbortController,
  ): Promise<Tunnel> {
    const onClose = () =>
      left.abort(
        new ForwardError(
          `Cannot open ${this.#options.name}: the client hung up`,
        ),
      );
    client.once("close", onClose);
    try {
      const tunnel = await this.#options.serve(client, route);
      if (client.destroyed) {
        tunnel.close();
        throw left.signal.reason;
      }
      client.off("close", onClose);
      return tunnel;
    } catch (error) {
      // Its end from here on is our doing.
      client.off("close", onClose);
      await dismiss(client);
      throw error;
    }
  }

  #report(
    reason: ForwardFailureReason,
    error: unknown,
    to?: ForwardTarget,
  ): void {
    // What close() ends has not failed.
    if (this.#stop.signal.aborted) return;
    const { address: listen } = this;
    const failure = { reason, listen, to, error };
    tellFailure(this.#options, this.#options.tell, failure);
  }
}

/** Ends a client that got no tunnel; what it was told by then is sent. */
async function dismiss(client: Socket): Promise<void> {
  if (client.destroyed) return;
  if (!client.writableEnded) return reset(client);
  // Data that nobody reads would make the end a reset, and lose the answer.
  client.resume();
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => client.destroy(), LINGER_MS);
    client.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function listenTcp(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
