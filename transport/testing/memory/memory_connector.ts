/**
 * {@linkcode MemoryConnector}: hosts that exist in memory alone.
 *
 * @module
 */

import { onAbort } from "../../abort.ts";
import { CONNECT_OPTIONS } from "../../connect_options.ts";
import type { ConnectOptions, Connector } from "../../connector.ts";
import { DialError, SshError } from "../../errors.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";
import { parseHost } from "../../host/host_string.ts";
import type { MemoryFiles } from "../files/memory_files.ts";
import { pass } from "../scripts/outcome.ts";
import { ScriptFault } from "../scripts/script_fault.ts";
import { explain } from "./_errors.ts";
import { MemoryHost } from "./_host.ts";
import { MEMORY_OPTIONS } from "../_option_tables.ts";
import { MemoryConnection } from "./memory_connection.ts";
import type {
  MemoryCall,
  MemoryConnectorOptions,
} from "./memory_connector_options.ts";

/** So many calls are kept at least. */
const KEPT_CALLS = 10_000;
/** What a dial takes beside the TCP handshake, measured over ssh2. */
const DIAL_ROUND_TRIPS = 5;

/**
 * A connector without a network: scripted, counting, and without any timer
 * that the script does not ask for.
 *
 * The options can be changed at any time, through {@linkcode
 * MemoryConnector.options}.
 *
 * @example Count dials, and fail the first
 * ```ts
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector({
 *   onDial: (_host, attempt) => attempt === 1 ? new Error("no route") : "ok",
 * });
 * const host = { hostname: "db1", port: 22, user: "ops" };
 * await assertRejects(() => connector.connect(host), Error, "no route");
 * const connection = await connector.connect(host);
 * assertEquals((await connection.exec("echo hello")).stdout, "hello\n");
 * assertEquals(connector.dials, 2);
 * ```
 */
export class MemoryConnector implements Connector {
  /** The script, which may be changed while it plays. */
  readonly options: MemoryConnectorOptions;
  /** Calls of `connect`. */
  dials = 0;
  /** Dials that have not settled. */
  dialsInFlight = 0;
  /** The most dials that were ever in flight at once. */
  maxDialsInFlight = 0;
  /** Dials that ended by their signal. */
  aborted = 0;
  /** Dials that ended in any other failure. */
  failed = 0;
  /** Connections opened. */
  opened = 0;
  /** Connections that have ended, from whichever side. */
  closed = 0;
  /** Session channels that were accepted. */
  channelsOpened = 0;
  /** The most session channels that one connection ever had open at once. */
  maxChannels = 0;
  /** Dials by the name of the host, as `user@host:port`. */
  readonly dialsByHost: Map<string, number> = new Map();
  /**
   * The calls of all connections, oldest first, whatever became of them.
   * Of more than 20,000 the oldest are dropped; empty it to begin anew.
   */
  readonly calls: MemoryCall[] = [];
  /** Every connection ever opened, oldest first. */
  readonly connections: MemoryConnection[] = [];
  /** The connections that have not ended. */
  readonly live: Set<MemoryConnection> = new Set();
  /** By address, without the user. */
  readonly #hosts = new Map<string, MemoryHost>();

  /**
   * Makes a connector.
   *
   * @param options The script; without one everything works, at once.
   * @throws {TypeError | RangeError} If an option is unknown or wrong.
   */
  constructor(options: MemoryConnectorOptions = {}) {
    MEMORY_OPTIONS.check(options);
    this.options = options;
  }

  /**
   * Opens a connection, when the script says so.
   *
   * @param host Where to and as whom.
   * @param given The signal, the deadline and the tunnel; all are honoured.
   * @returns The connection.
   * @throws {DialError} If the script says so, or the deadline is over.
   */
  async connect(
    host: ResolvedHost,
    given: ConnectOptions = {},
  ): Promise<MemoryConnection> {
    const options = CONNECT_OPTIONS.check(given);
    const name = hostLabel(host);
    const attempt = (this.dialsByHost.get(name) ?? 0) + 1;
    this.dialsByHost.set(name, attempt);
    this.dials++;
    this.maxDialsInFlight = Math.max(
      this.maxDialsInFlight,
      ++this.dialsInFlight,
    );
    try {
      options.signal?.throwIfAborted();
      await this.#dial(host, attempt, options);
      return this.#open(host, options);
    } catch (error) {
      options.tunnel?.close();
      if (options.signal?.aborted && error === options.signal.reason) {
        this.aborted++;
        throw error;
      }
      this.failed++;
      if (error instanceof SshError || error instanceof ScriptFault) {
        throw error;
      }
      throw new DialError(
        "tcp",
        explain(`Cannot connect to "${name}"`, (error as Error).message),
        { host: name, cause: error },
      );
    } finally {
      this.dialsInFlight--;
    }
  }

  /**
   * Drops every live connection.
   *
   * @param message What the errors say.
   */
  dropAll(message?: string): void {
    for (const connection of [...this.live]) connection.drop(message);
  }

  /**
   * Gives the files that SFTP sessions of a host work on.
   *
   * @param host The host, as `user@host:port` or as it was dialled; the port
   * is 22 unless it is named.
   * @returns Its files, as the option `files` says.
   * @throws {TypeError} If the string is no host.
   * @throws {Error} If the script refuses SFTP there.
   *
   * @example What a program has uploaded
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   * import { assertEquals } from "@std/assert";
   *
   * const connector = new MemoryConnector();
   * connector.files("ops@web-1").writeFile("/etc/motd", "hello\n");
   * await using pool = new ConnectionPool({ connector, config: false });
   * await using sftp = await pool.sftp("ops@web-1");
   * assertEquals(await sftp.readTextFile("/etc/motd"), "hello\n");
   * await sftp.writeTextFile("notes", "x");
   * assertEquals(connector.files("ops@web-1").readTextFile("notes"), "x");
   * ```
   */
  files(
    host: string | {
      readonly hostname: string;
      readonly port?: number;
      readonly user?: string;
    },
  ): MemoryFiles {
    const { hostname, port = 22, user = "" } = typeof host === "string"
      ? parseHost(host)
      : host;
    const named = { hostname, port, user };
    const files = this.#files(named);
    if (files !== undefined) return files;
    throw new Error(
      `Cannot give the files of ${JSON.stringify(hostLabel(named))}: the ` +
        "option `files` is false there",
    );
  }

  #files(host: ResolvedHost): MemoryFiles | undefined {
    const { files } = this.options;
    const given = typeof files === "function" ? files(host) : files;
    if (given === false) return undefined;
    return given ?? this.#server(host).files(host.user);
  }

  #server({ hostname, port }: ResolvedHost): MemoryHost {
    const key = hostLabel({ hostname, port });
    const server = this.#hosts.get(key) ?? new MemoryHost(hostname);
    this.#hosts.set(key, server);
    return server;
  }

  #record(call: MemoryCall): void {
    this.calls.push(call);
    if (this.calls.length >= 2 * KEPT_CALLS) this.calls.splice(0, KEPT_CALLS);
  }

  async #dial(
    host: ResolvedHost,
    attempt: number,
    options: ConnectOptions,
  ): Promise<void> {
    const { dialMs = 0, roundTripMs = 0, onDial } = this.options;
    const ownMs = typeof dialMs === "function" ? dialMs(host, attempt) : dialMs;
    const ms = ownMs + DIAL_ROUND_TRIPS * roundTripMs;
    const then = onDial?.(host, attempt);
    const outcome = ms > 0 ? { delayMs: ms, then } : then;
    if (outcome === undefined || outcome === "ok") return;
    const { signal, timeoutMs = 20_000, tunnel } = options;
    const stop = new AbortController();
    const stopWatching = onAbort(signal, () => stop.abort(signal?.reason));
    const name = hostLabel(host);
    const timer = setTimeout(() => {
      const message =
        `Cannot connect to "${name}": no answer in ${timeoutMs} ms`;
      stop.abort(new DialError("timeout", message, { host: name }));
    }, timeoutMs);
    tunnel?.closed.then(() => {
      const message = `Cannot connect to "${name}": its tunnel ended`;
      stop.abort(new DialError("proxy", message, { host: name }));
    });
    try {
      await pass(outcome, stop.signal);
    } finally {
      clearTimeout(timer);
      stopWatching();
    }
  }

  #open(host: ResolvedHost, options: ConnectOptions): MemoryConnection {
    const connection = new MemoryConnection(host, {
      options: this.options,
      connect: options,
      reports: {
        called: (call) => this.#record(call),
        channelOpened: (openChannels) => {
          this.channelsOpened++;
          this.maxChannels = Math.max(this.maxChannels, openChannels);
        },
        connectionEnded: (ended) => {
          this.closed++;
          this.live.delete(ended as MemoryConnection);
        },
      },
      server: () => this.#server(host),
      files: () => this.#files(host),
    });
    this.opened++;
    this.connections.push(connection);
    this.live.add(connection);
    options.tunnel?.closed.then(() => connection.drop("its tunnel ended"));
    return connection;
  }
}
