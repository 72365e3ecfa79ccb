/**
 * {@linkcode EmbeddedServer}: a real SSH server in the process.
 *
 * @module
 */

import { endCiphers, prepareCiphers } from "../ssh2/ciphers.ts";
import { serverInternalsOf } from "../ssh2/server_side.ts";
import {
  type AddressInfo,
  connect,
  createServer,
  type Server as NetServer,
  type Socket,
} from "node:net";
// @ts-types="@types/ssh2"
import ssh2, { type Connection, type ServerConfig } from "ssh2";
import type { AuthMethod, SshHost } from "../host.ts";
import type { Commands } from "./commands.ts";
import { authenticator } from "./_server_auth.ts";
import { fingerprint, keyPair } from "./_server_keys.ts";
import { serveSession } from "./_server_session.ts";

/** Options for {@linkcode EmbeddedServer.start}, each of which can be changed later. */
export interface EmbeddedServerOptions {
  /**
   * The user that is let in.
   *
   * @default {"ops"}
   */
  user?: string;
  /** A password that lets the user in. Default: the method is not offered. */
  password?: string;
  /** Public keys that let the user in, beside the generated one. */
  publicKeys?: readonly (string | Uint8Array)[];
  /** Questions whose answers let the user in. Default: not offered. */
  keyboardInteractive?: {
    readonly questions: readonly {
      readonly prompt: string;
      readonly answer: string;
      readonly echo?: boolean;
    }[];
  };
  /** Methods that are all needed, in this order. Default: any one will do. */
  requireMethods?: readonly AuthMethod[];
  /** Host keys, as private keys. Default: one that is made once per process. */
  hostKeys?: readonly string[];
  /** Algorithms to offer, best first. Default: those of ssh2. */
  algorithms?: {
    readonly kex?: readonly string[];
    readonly cipher?: readonly string[];
    readonly mac?: readonly string[];
  };
  /** What the commands do. */
  commands?: Commands;
  /**
   * Names of the environment variables that are accepted, as sshd's AcceptEnv
   * has them: `*` and `?` are wildcards. Others are refused.
   *
   * @default {["*"]}
   */
  acceptEnv?: readonly string[];
  /**
   * Sessions allowed on one connection. Beyond them the server refuses with
   * reason 2, and it frees one only when it has seen the client's CLOSE, both
   * as OpenSSH does.
   *
   * @default {Infinity}
   */
  maxSessions?: number;
  /** Wait this long before answering a new TCP connection, in milliseconds. */
  delayDialsMs?: number;
  /** Close each new connection before the banner, as sshd does beyond MaxStartups. */
  dropBeforeBanner?: boolean;
  /** Close each new connection after the banner. */
  dropAfterBanner?: boolean;
  /** Accept connections and never say a word. */
  neverBanner?: boolean;
  /** Refuse every session, with reason 2. */
  refuseSessions?: boolean;
  /** Never answer a request for a session. */
  neverOpen?: boolean;
  /** Wait this long before answering a request for a session, in milliseconds. */
  delayOpenMs?: number;
  /** Open sessions, but refuse the commands on them. */
  refuseExec?: boolean;
  /** Close channels without an exit status. */
  exitWithoutStatus?: boolean;
  /** Refuse forwards. */
  refuseForwards?: boolean;
}

/**
 * An SSH server on a loopback port of this process, with scripted commands and
 * switches for what servers do wrong. Its keys are generated, and
 * {@linkcode EmbeddedServer.host} has all that is needed to log in.
 *
 * @example Usage
 * ```ts no-eval
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { EmbeddedServer } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = await EmbeddedServer.start({
 *   commands: { uptime: { stdout: "up 3 days\n" } },
 * });
 * await using pool = new ConnectionPool();
 * const { stdout } = await pool.exec(server.host(), "uptime");
 * assertEquals(stdout, "up 3 days\n");
 * server.options.refuseSessions = true;
 * ```
 */
export class EmbeddedServer implements AsyncDisposable {
  /** The script and the switches, which may be changed while it runs. */
  readonly options: EmbeddedServerOptions;
  /** The address it listens on. */
  readonly hostname = "127.0.0.1";
  /** `SHA256:...` of its (first) host key. */
  readonly hostKeyFingerprint: `SHA256:${string}`;
  /** The private key that is let in. */
  readonly clientKey: string;
  /** TCP connections so far. */
  connections = 0;
  /** Logins so far. */
  accepted = 0;
  /** Attempts to log in so far, publickey probes included, `none` not. */
  authAttempts = 0;
  /** Sessions opened so far. */
  sessions = 0;
  /** Sessions refused so far. */
  refusedSessions = 0;
  /** Sessions that are open now. */
  openSessions = 0;
  /** The most sessions that one connection ever had open at once. */
  peakSessions = 0;
  /** Forwards opened so far. */
  forwards = 0;
  readonly #ssh: ssh2.Server;
  readonly #sockets: Set<Socket> = new Set();
  readonly #timers: Set<ReturnType<typeof setTimeout>> = new Set();
  readonly #held: Set<() => void> = new Set();
  #net: NetServer | undefined;
  #port = 0;
  #frozen = false;

  private constructor(options: EmbeddedServerOptions) {
    this.options = options;
    const hostKeys = [...options.hostKeys ?? [keyPair("host").privateKey]];
    this.hostKeyFingerprint = fingerprint(hostKeys[0]!);
    this.clientKey = keyPair("client").privateKey;
    this.#ssh = new ssh2.Server({
      hostKeys,
      ...algorithmsOf(options),
    }, (client) => this.#serve(client));
  }

  /**
   * Starts a server on a free loopback port.
   *
   * @param options The script and the switches.
   * @returns The server, listening.
   */
  static async start(
    options: EmbeddedServerOptions = {},
  ): Promise<EmbeddedServer> {
    await prepareCiphers();
    const server = new EmbeddedServer(options);
    await server.listen();
    return server;
  }

  /** The port, which stays the same when it listens again. */
  get port(): number {
    return this.#port;
  }

  /** TCP connections that are open now. */
  get live(): number {
    return this.#sockets.size;
  }

  /**
   * The host as a pool takes it: its key pinned, the generated key to log in.
   *
   * @param overrides What is to differ.
   * @returns The host.
   */
  host(overrides: Partial<SshHost> = {}): SshHost {
    return {
      hostname: this.hostname,
      port: this.port,
      user: this.options.user ?? "ops",
      privateKey: this.clientKey,
      hostKey: this.hostKeyFingerprint,
      ...overrides,
    };
  }

  /** Listens again after {@linkcode EmbeddedServer.refuse}, on the same port. */
  async listen(): Promise<void> {
    if (this.#net) return;
    const net = createServer((socket) => this.#admit(socket));
    this.#net = net;
    await new Promise<void>((resolve, reject) => {
      net.once("error", reject);
      net.listen(this.#port, this.hostname, resolve);
    });
    this.#port = (net.address() as AddressInfo).port;
  }

  /** Stops listening: new dials are refused, open connections stay. */
  refuse(): void {
    // Its callback waits for the open connections; the port is free at once.
    this.#net?.close();
    this.#net = undefined;
  }

  /** Destroys every open connection, with no goodbye. */
  dropAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Becomes a black hole: reads nothing and sends nothing, and stays connected. */
  freeze(): void {
    this.#frozen = true;
    for (const socket of this.#sockets) {
      socket.pause();
      socket.cork();
    }
  }

  /** Ends a freeze. */
  thaw(): void {
    this.#frozen = false;
    for (const socket of this.#sockets) {
      socket.uncork();
      socket.resume();
    }
    for (const go of this.#held) go();
    this.#held.clear();
  }

  /** Stops it: no socket and no timer is left when this resolves. */
  async close(): Promise<void> {
    const net = this.#net;
    this.refuse();
    for (const timer of this.#timers) clearTimeout(timer);
    const gone = [...this.#sockets].map((socket) =>
      new Promise<void>((resolve) => socket.once("close", () => resolve()))
    );
    this.dropAll();
    await Promise.all(gone);
    if (net?.listening) {
      await new Promise<void>((resolve) => net.once("close", resolve));
    }
  }

  /** Stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #admit(socket: Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => this.#sockets.delete(socket));
    // Resets are what tests are made of.
    socket.on("error", () => {});
    const greet = () => this.#greet(socket);
    const { delayDialsMs = 0 } = this.options;
    if (this.#frozen) this.#held.add(greet);
    else if (delayDialsMs > 0) this.#later(delayDialsMs, greet);
    else greet();
  }

  #greet(socket: Socket): void {
    const { dropBeforeBanner, dropAfterBanner, neverBanner } = this.options;
    if (socket.destroyed) return;
    if (dropBeforeBanner) return void socket.destroy();
    if (neverBanner) return void socket.resume();
    if (dropAfterBanner) {
      socket.resume();
      socket.end("SSH-2.0-embedded\r\n");
      return;
    }
    this.#ssh.injectSocket(socket);
  }

  #later(ms: number, work: () => void): () => void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer);
      this.#timers.delete(timer);
    };
  }

  #serve(client: Connection): void {
    endCiphers(serverInternalsOf(client)._protocol);
    const gone = new AbortController();
    let open = 0;
    client.on("error", () => {});
    client.on("close", () => {
      this.openSessions -= open;
      gone.abort();
    });
    client.on(
      "authentication",
      authenticator({
        user: this.options.user ?? "ops",
        options: this.options,
        keys: [keyPair("client").publicKey, ...this.options.publicKeys ?? []],
        onAttempt: () => void this.authAttempts++,
      }),
    );
    client.on("ready", () => this.accepted++);
    client.on("session", (accept, reject) => {
      const { maxSessions = Infinity, refuseSessions } = this.options;
      if (refuseSessions || open >= maxSessions) {
        this.refusedSessions++;
        return void reject();
      }
      open++;
      this.sessions++;
      this.openSessions++;
      this.peakSessions = Math.max(this.peakSessions, open);
      this.#answer(gone.signal, () => {
        const session = accept();
        session.once("close", () => {
          if (gone.signal.aborted) return;
          open--;
          this.openSessions--;
        });
        const { options } = this;
        const host = `${options.user ?? "ops"}@${this.hostname}:${this.port}`;
        serveSession(session, client, { options, host, gone: gone.signal });
      });
    });
    client.on("tcpip", (accept, reject, info) => {
      if (this.options.refuseForwards) return void reject();
      this.#forward(gone.signal, info, { accept, reject });
    });
  }

  #answer(gone: AbortSignal, open: () => void): void {
    const { neverOpen, delayOpenMs = 0 } = this.options;
    if (neverOpen) return;
    if (delayOpenMs <= 0) return open();
    const cancel = this.#later(delayOpenMs, open);
    gone.addEventListener("abort", cancel, { once: true });
  }

  #forward(
    gone: AbortSignal,
    info: ssh2.TcpipRequestInfo,
    answer: { accept: () => ssh2.ServerChannel; reject: () => void },
  ): void {
    const target = connect({
      host: info.destIP,
      port: info.destPort,
      noDelay: true,
    });
    this.#sockets.add(target);
    target.once("close", () => this.#sockets.delete(target));
    gone.addEventListener("abort", () => target.destroy(), { once: true });
    target.once("error", () => answer.reject());
    target.once("connect", () => {
      target.removeAllListeners("error");
      if (gone.aborted) return;
      this.forwards++;
      const channel = answer.accept();
      channel.on("error", () => {});
      channel.once("close", () => target.destroySoon());
      target.on("error", () => channel.close());
      target.once("close", () => {
        // After an orderly end it closes once all was sent.
        if (!channel.writableEnded) channel.close();
      });
      channel.pipe(target).pipe(channel);
    });
  }
}

/** Names of algorithms are plain strings here, and an enumeration in ssh2's types. */
function algorithmsOf(
  { algorithms }: EmbeddedServerOptions,
): Pick<ServerConfig, "algorithms"> {
  if (algorithms === undefined) return {};
  const { kex, cipher, mac: hmac } = algorithms;
  const given = Object.entries({ kex, cipher, hmac })
    .filter(([, names]) => names !== undefined);
  return { algorithms: Object.fromEntries(given) };
}
