/**
 * {@linkcode MemoryConnector}: hosts that exist in memory alone.
 *
 * @module
 */

import type { ConnectOptions, Connector } from "../connector.ts";
import type { ExecOptions, SpawnOptions } from "../process.ts";
import { DialError, SshError } from "../errors.ts";
import { hostName, type ResolvedHost } from "../host.ts";
import type { Commands } from "./commands.ts";
import { pass } from "./_gate.ts";
import { explain } from "./_memory_errors.ts";
import { MemoryConnection } from "./memory_connection.ts";
import type { Outcome } from "./outcome.ts";

/** Options for {@linkcode MemoryConnector}: the script of its hosts. */
export interface MemoryConnectorOptions {
  /**
   * How long a dial takes, in milliseconds; 0 sets no timer.
   *
   * @default {0}
   */
  dialMs?: number | ((host: ResolvedHost, attempt: number) => number);
  /**
   * Sessions that the server allows on one connection. Beyond them it refuses
   * with reason 2, "open failed", as OpenSSH does.
   *
   * @default {Infinity}
   */
  maxSessions?: number | ((host: ResolvedHost) => number);
  /**
   * How long after a channel's end its session still counts against
   * `maxSessions`, in milliseconds: sshd frees it when it has seen our CLOSE.
   *
   * @default {0}
   */
  reapMs?: number;
  /**
   * The same in turns of the microtask queue, which needs no timer.
   *
   * @default {0}
   */
  reapTurns?: number;
  /** What the commands do. */
  commands?: Commands;
  /** Asked at each dial; `attempt` counts the dials of this host from 1. */
  onDial?: (host: ResolvedHost, attempt: number) => Outcome;
  /** Asked at each session channel; `n` counts those of the connection from 1. */
  onOpen?: (connection: MemoryConnection, n: number) => Outcome;
  /** Asked when a command's request is sent. */
  onExec?: (command: string, connection: MemoryConnection) => Outcome;
  /** Asked when a command has ended, before its channel closes. */
  onChannelClose?: (command: string, connection: MemoryConnection) => Outcome;
  /** Asked at each forward. */
  onForward?: (
    connection: MemoryConnection,
    target: { readonly hostname: string; readonly port: number },
  ) => Outcome;
  /**
   * Asked when `close()` is called. An error is swallowed; `"never"` breaks
   * the treaty, to show what a caller of a broken adapter does.
   */
  onClose?: (connection: MemoryConnection) => Outcome;
}

/** One call of `exec` or `spawn`, for assertions. */
export interface MemoryCall {
  /** The host, as `user@host:port`. */
  readonly host: string;
  /** The command line. */
  readonly command: string;
  /** The options of the call. */
  readonly options: ExecOptions | SpawnOptions;
}

/** So many calls are kept at least. */
const KEPT_CALLS = 10_000;

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
   * The commands that were asked for, oldest first, whatever became of them.
   * Of more than 20,000 the oldest are dropped; empty it to begin anew.
   */
  readonly calls: MemoryCall[] = [];
  /** Every connection ever opened, oldest first. */
  readonly connections: MemoryConnection[] = [];
  /** The connections that have not ended. */
  readonly live: Set<MemoryConnection> = new Set();

  /**
   * Makes a connector.
   *
   * @param options The script; without one everything works, at once.
   */
  constructor(options: MemoryConnectorOptions = {}) {
    this.options = options;
  }

  /**
   * Opens a connection, when the script says so.
   *
   * @param host Where to and as whom.
   * @param options The signal, the deadline and the tunnel; all are honoured.
   * @returns The connection.
   * @throws {DialError} If the script says so, or the deadline is over.
   */
  async connect(
    host: ResolvedHost,
    options: ConnectOptions = {},
  ): Promise<MemoryConnection> {
    const name = hostName(host);
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
      throw error instanceof SshError ? error : new DialError(
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

  #record(call: MemoryCall): void {
    this.calls.push(call);
    if (this.calls.length >= 2 * KEPT_CALLS) this.calls.splice(0, KEPT_CALLS);
  }

  async #dial(
    host: ResolvedHost,
    attempt: number,
    options: ConnectOptions,
  ): Promise<void> {
    const { dialMs = 0, onDial } = this.options;
    const ms = typeof dialMs === "function" ? dialMs(host, attempt) : dialMs;
    const then = onDial?.(host, attempt);
    const outcome = ms > 0 ? { delayMs: ms, then } : then;
    if (outcome === undefined || outcome === "ok") return;
    const { signal, timeoutMs = 20_000, tunnel } = options;
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const name = hostName(host);
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
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #open(host: ResolvedHost, options: ConnectOptions): MemoryConnection {
    const connection = new MemoryConnection(host, {
      options: this.options,
      connect: options,
      reports: {
        called: (host, command, options) =>
          this.#record({ host, command, options }),
        channelOpened: ({ openChannels }) => {
          this.channelsOpened++;
          this.maxChannels = Math.max(this.maxChannels, openChannels);
        },
        connectionEnded: (ended) => {
          this.closed++;
          this.live.delete(ended);
        },
      },
    });
    this.opened++;
    this.connections.push(connection);
    this.live.add(connection);
    options.tunnel?.closed.then(() => connection.drop("its tunnel ended"));
    return connection;
  }
}
