/**
 * A host of a pool as a connection: each channel takes a slot of its own.
 *
 * @module
 */

import { onAbort } from "../../transport/abort.ts";
import {
  checkExec,
  checkShellOptions,
  checkSpawn,
  isCollected,
  whenOpened,
} from "../../transport/command/call_options.ts";
import type { Command } from "../../transport/command/command.ts";
import { SIGNAL_OPTIONS } from "../../transport/connect_options.ts";
import type {
  ClosedReason,
  Connection,
  RemoteListener,
  Tunnel,
} from "../../transport/connector.ts";
import { ConnectionLostError } from "../../transport/errors.ts";
import type { ForwardTarget } from "../../transport/host/target.ts";
import { hostLabel, type ResolvedHost } from "../../transport/host/host.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
  SessionOptions,
} from "../../transport/process.ts";
import type { Sftp } from "../../transport/sftp/sftp.ts";
import { ACQUIRE_OPTIONS, type AcquireOptions } from "../options.ts";
import { sharedConnection } from "./acquire.ts";
import { type CallTarget, rejecting } from "./call.ts";
import { exec, shell, spawn, subsystem } from "./commands.ts";
import { connect } from "./forward.ts";
import { lendSftp } from "./sftp_sessions.ts";

/** Makes a route to a host, once it has a connection. */
export function route(
  target: CallTarget,
  options?: AcquireOptions,
): Promise<Connection> {
  return rejecting(async () => {
    const given = ACQUIRE_OPTIONS.check(options);
    const { host } = await sharedConnection(target, given);
    return new Route(target, host);
  });
}

/** What is open on a route: ends it, with the error that its user sees. */
type Part = (error: () => ConnectionLostError) => void;

/**
 * A connection that leads to the host and to none of its connections: it
 * outlives them, and ends when it is closed, or with the pool.
 */
class Route implements Connection {
  readonly host: ResolvedHost;
  readonly closed: Promise<ClosedReason>;
  openChannels = 0;
  readonly #target: CallTarget;
  readonly #name: string;
  readonly #parts = new Set<Part>();
  readonly #stopWatching: () => void;
  #reason: ClosedReason | undefined;
  #tellClosed!: (reason: ClosedReason) => void;

  constructor(target: CallTarget, host: ResolvedHost) {
    this.#target = target;
    this.host = host;
    this.#name = hostLabel(host);
    this.closed = new Promise((resolve) => this.#tellClosed = resolve);
    const { closingSignal } = target.pool;
    const message = "the pool is closed";
    // What runs may run on, as the pool says.
    const end = () => this.#end({ kind: "remote", message });
    this.#stopWatching = onAbort(closingSignal, end);
    if (closingSignal.aborted) end();
  }

  get isClosed(): boolean {
    return this.#reason !== undefined;
  }

  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    options?: ConnectionExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return this.#session(() => {
      const { command: line, options: given } = checkExec(command, options);
      return {
        given,
        start: (own) => exec<Encoding>(this.#target, line, own),
        ended: () => undefined,
      };
    });
  }

  spawn(
    command: Command,
    options?: ConnectionSpawnOptions,
  ): Promise<RemoteProcess> {
    const kind = isCollected(options) ? "command" : "stream";
    return this.#session(() => {
      const { command: line, options: given } = checkSpawn(command, options);
      return {
        given,
        start: (own) => spawn(this.#target, line, own, kind),
        ended: ({ status }) => status,
      };
    });
  }

  shell(options?: ConnectionShellOptions): Promise<RemoteProcess> {
    return this.#session(() => ({
      given: checkShellOptions(options).options,
      start: (own) => shell(this.#target, own),
      ended: ({ status }) => status,
    }));
  }

  async sftp(options?: { readonly signal?: AbortSignal }): Promise<Sftp> {
    return await this.#open(
      options,
      (own) => lendSftp(this.#target, own),
      true,
    );
  }

  async subsystem(
    name: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel> {
    return await this.#open(
      options,
      (own) => subsystem(this.#target, name, own),
      true,
    );
  }

  async forwardOut(
    target: ForwardTarget,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel> {
    return await this.#open(
      options,
      (own) => connect(this.#target, target, own),
    );
  }

  async forwardIn(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    options?: { readonly signal?: AbortSignal },
  ): Promise<RemoteListener> {
    const take = (tunnel: Tunnel) => {
      if (this.isClosed) tunnel.close();
      else this.#hold(tunnel);
      onConnection(tunnel);
    };
    return await this.#open(options, async (own) => {
      const connection = await sharedConnection(this.#target, own);
      return await connection.forwardIn!(listen, take, own);
    });
  }

  close(): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    this.#end({ kind: "local" });
    for (const part of [...this.#parts]) part(() => this.#lost("go on"));
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(reason: ClosedReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#stopWatching();
    this.#tellClosed(reason);
  }

  #lost(doing: string, mayHaveRun = false): ConnectionLostError {
    const why = this.#reason?.kind === "remote"
      ? this.#reason.message
      : "the connection was closed on this side";
    return new ConnectionLostError(
      `Cannot ${doing} on ${JSON.stringify(this.#name)}: ${why}`,
      { host: this.#name, mayHaveRun },
    );
  }

  /** Runs a command or a shell, and stops it when the route is closed. */
  async #session<T, Options extends SessionOptions>(
    prepare: () => {
      readonly given: Options;
      start(own: Options): Promise<T>;
      /** Returns what it is open for, once it has started. */
      ended(value: T): Promise<unknown> | undefined;
    },
  ): Promise<T> {
    const { given, start, ended } = prepare();
    const doing = "run the command";
    if (this.isClosed) throw this.#lost(doing);
    const { signal } = given;
    signal?.throwIfAborted();
    const stop = new AbortController();
    let isSent = false;
    const part: Part = () => stop.abort(this.#lost(doing, isSent));
    const unlink = onAbort(signal, () => stop.abort(signal?.reason));
    this.#parts.add(part);
    this.openChannels++;
    const over = () => {
      unlink();
      this.#parts.delete(part);
      this.openChannels--;
    };
    const options = whenOpened(
      { ...given, signal: stop.signal },
      () => isSent = true,
    );
    try {
      const value = await start(options);
      const held = ended(value);
      if (held === undefined) over();
      else held.then(over, over);
      return value;
    } catch (error) {
      over();
      throw error;
    }
  }

  /** Opens something that is open until it is closed. */
  async #open<
    T extends { close(): unknown; readonly closed: Promise<unknown> },
  >(
    options: { readonly signal?: AbortSignal } | undefined,
    open: (own: { readonly signal?: AbortSignal }) => Promise<T>,
    isSession = false,
  ): Promise<T> {
    const given = SIGNAL_OPTIONS.check(options);
    if (this.isClosed) throw this.#lost("open a channel");
    if (isSession) this.openChannels++;
    const over = () => {
      if (isSession) this.openChannels--;
    };
    let opened: T;
    try {
      opened = await open(given);
    } catch (error) {
      over();
      throw error;
    }
    opened.closed.then(over, over);
    if (!this.isClosed) return this.#hold(opened);
    opened.close();
    throw this.#lost("open a channel");
  }

  #hold<T extends { close(): unknown; readonly closed: Promise<unknown> }>(
    opened: T,
  ): T {
    const part: Part = () => void opened.close();
    this.#parts.add(part);
    opened.closed.then(() => this.#parts.delete(part));
    return opened;
  }
}
