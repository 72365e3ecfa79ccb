/**
 * {@linkcode EmbeddedServer}: a real SSH server in the process.
 *
 * @module
 */

import {
  type AddressInfo,
  createServer,
  type Server as NetServer,
  type Socket,
} from "node:net";
import type { SshHost } from "../../host/host.ts";
import type { MemoryTree } from "../files/memory_tree.ts";
import {
  type EmbeddedServerOptions,
  SERVER_USER,
} from "./embedded_server_options.ts";
import { MemoryFiles } from "../files/memory_files.ts";
import { Gate } from "../scripts/outcome.ts";
import { SERVER_OPTIONS } from "../_option_tables.ts";
import type { SshServer } from "./_ssh_server.ts";

/**
 * An SSH server on a loopback port of this process, with scripted commands and
 * shells, files, forwards, and switches for what servers do wrong. Its keys are
 * generated, and {@linkcode EmbeddedServer.host} has all that is needed to log
 * in. Other clients can use it too, such as OpenSSH's `ssh` and `sftp`.
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
 *
 * @example Files, a shell and a forward
 * ```ts no-eval
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { EmbeddedServer, MemoryFiles } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = await EmbeddedServer.start({
 *   files: new MemoryFiles({ "/srv/app.conf": "level=debug\n" }),
 *   shell: async ({ terminal, write }) => {
 *     await write(`${terminal?.columns} columns`);
 *   },
 * });
 * await using pool = new ConnectionPool();
 * const host = pool.host(server.host());
 *
 * await using sftp = await host.sftp();
 * await sftp.writeTextFile("/srv/app.conf", "level=info\n");
 * assertEquals(server.files.readTextFile("/srv/app.conf"), "level=info\n");
 *
 * await using shell = await host.shell({ columns: 120 });
 * assertEquals(await shell.text(), "120 columns");
 *
 * await using forward = await host.forward({
 *   type: "local",
 *   listen: 0,
 *   to: `127.0.0.1:${server.port}`,
 * });
 * console.log(forward.address); // leads to the server itself
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
  readonly #ssh: SshServer;
  readonly #sockets: Set<Socket> = new Set();
  /** Opens when it answers new connections again; `undefined` while it does. */
  #frozen: Gate | undefined;
  #files: MemoryFiles | undefined;
  #net: NetServer | undefined;
  #port = 0;

  private constructor(options: EmbeddedServerOptions, Ssh: typeof SshServer) {
    this.options = options;
    this.#ssh = new Ssh({
      options,
      counters: this,
      address: () => `${this.hostname}:${this.port}`,
      files: () => this.#served(),
    });
    this.hostKeyFingerprint = this.#ssh.hostKeyFingerprint;
    this.clientKey = this.#ssh.clientKey;
  }

  /**
   * Starts a server on a free loopback port. The first one loads ssh2.
   *
   * @param options The script and the switches.
   * @returns The server, listening.
   * @throws {TypeError | RangeError} If an option is unknown or wrong.
   */
  static async start(
    options: EmbeddedServerOptions = {},
  ): Promise<EmbeddedServer> {
    SERVER_OPTIONS.check(options);
    const { SshServer } = await import("./_ssh_server.ts");
    await SshServer.prepare();
    const server = new EmbeddedServer(options, SshServer);
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
   * The files in memory that SFTP sessions work on, if `options` does not name
   * others.
   */
  get files(): MemoryFiles {
    const { files } = this.options;
    return files || (this.#files ??= new MemoryFiles());
  }

  /**
   * Returns the host as a pool takes it: its key pinned, the generated key to
   * log in.
   *
   * @param overrides What is to differ.
   * @returns The host.
   */
  host(overrides: Partial<SshHost> = {}): SshHost {
    return {
      hostname: this.hostname,
      port: this.port,
      user: this.options.user ?? SERVER_USER,
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

  /**
   * Stops listening: new dials are refused, open connections stay. One that
   * comes in the same moment may be reset instead.
   */
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
    this.#frozen ??= new Gate();
    for (const socket of this.#sockets) {
      socket.pause();
      socket.cork();
    }
  }

  /** Ends a freeze. */
  thaw(): void {
    for (const socket of this.#sockets) {
      socket.uncork();
      socket.resume();
    }
    this.#frozen?.open();
    this.#frozen = undefined;
  }

  /** Stops it: no socket and no timer is left when this resolves. */
  async close(): Promise<void> {
    this.refuse();
    const gone = [...this.#sockets].map((socket) =>
      new Promise<void>((resolve) => socket.once("close", () => resolve()))
    );
    this.dropAll();
    await Promise.all(gone);
    await this.#ssh.ended();
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
    if (this.#frozen) this.#frozen.wait().then(greet);
    else if (delayDialsMs > 0) {
      const timer = setTimeout(greet, delayDialsMs);
      socket.on("close", () => clearTimeout(timer));
    } else greet();
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
    this.#ssh.serve(socket);
  }

  #served(): MemoryTree | undefined {
    return this.options.files === false ? undefined : this.files.served();
  }
}
