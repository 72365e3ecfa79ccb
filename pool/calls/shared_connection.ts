/**
 * What `getConnection()` gives out.
 *
 * @module
 */

import { SIGNAL_OPTIONS } from "../../transport/connect_options.ts";
import type { Command } from "../../transport/command/command.ts";
import type {
  ClosedReason,
  Connection,
  ConnectionAlgorithms,
  RemoteListener,
  Tunnel,
} from "../../transport/connector.ts";
import { ConnectionLostError } from "../../transport/errors.ts";
import type { ResolvedHost } from "../../transport/host/host.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
} from "../../transport/process.ts";
import type { Sftp } from "../../transport/sftp/sftp.ts";
import type { ForwardTarget } from "../../transport/host/target.ts";
import { type CallContext, CallTarget } from "./call.ts";
import { exec, shell, spawn, subsystem } from "./commands.ts";
import { withCallerStack } from "../telemetry/failure.ts";
import type { Lane } from "../lane/lane.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import { unsupported } from "./run.ts";
import { sftp } from "./sftp_sessions.ts";

/**
 * A connection that many callers hold. Its channels take slots as those of
 * `pool.exec()` do, so a hundred commands at once are queued and not refused;
 * one for which this connection has no slot may run on another to the same
 * host. Its life is that of the one connection: once that has ended, every
 * call rejects.
 */
export class SharedConnection implements Connection {
  readonly #pooled: PooledConnection;
  readonly #target: CallTarget;

  constructor(context: CallContext, lane: Lane, pooled: PooledConnection) {
    this.#pooled = pooled;
    this.#target = new SharedTarget(context, lane, pooled);
  }

  get host(): ResolvedHost {
    return this.#pooled.connection.host;
  }

  get isClosed(): boolean {
    return this.#pooled.connection.isClosed;
  }

  get closed(): Promise<ClosedReason> {
    return this.#pooled.connection.closed;
  }

  get serverSoftware(): string | undefined {
    return this.#pooled.connection.serverSoftware;
  }

  get algorithms(): ConnectionAlgorithms | undefined {
    return this.#pooled.connection.algorithms;
  }

  get openChannels(): number {
    return this.#pooled.connection.openChannels;
  }

  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    options?: ConnectionExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return exec(this.#target, command, options);
  }

  spawn(
    command: Command,
    options?: ConnectionSpawnOptions,
  ): Promise<RemoteProcess> {
    return spawn(this.#target, command, options);
  }

  shell(options?: ConnectionShellOptions): Promise<RemoteProcess> {
    return shell(this.#target, options);
  }

  sftp(options?: { readonly signal?: AbortSignal }): Promise<Sftp> {
    try {
      return sftp(this.#target, SIGNAL_OPTIONS.check(options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  subsystem(
    name: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel> {
    return subsystem(this.#target, name, options);
  }

  forwardOut(
    target: ForwardTarget,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel> {
    return this.#pinned((connection) => {
      if (connection.forwardOut === undefined) {
        throw unsupported(connection, "forwards");
      }
      return connection.forwardOut(target, options);
    });
  }

  forwardIn(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    options?: { readonly signal?: AbortSignal },
  ): Promise<RemoteListener> {
    // The listener keeps the connection, and so does each of its tunnels.
    const withPin = (tunnel: Tunnel) => {
      this.#pooled.addPin();
      tunnel.closed.then(() => this.#pooled.removePin());
      onConnection(tunnel);
    };
    return this.#pinned((connection) => {
      if (connection.forwardIn === undefined) {
        throw unsupported(connection, "remote forwards");
      }
      return connection.forwardIn(listen, withPin, options);
    });
  }

  close(): Promise<void> {
    this.#pooled.end("requested");
    return this.#pooled.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A tunnel is no session and takes no slot, but it keeps the connection. */
  async #pinned<T extends { readonly closed: Promise<void> }>(
    open: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const pooled = this.#pooled;
    checkLive(pooled);
    pooled.addPin();
    try {
      const opened = await open(pooled.connection);
      opened.closed.then(() => pooled.removePin());
      return opened;
    } catch (error) {
      pooled.removePin();
      throw withCallerStack(error);
    }
  }
}

/** The lane of a connection, as long as that lives. */
class SharedTarget extends CallTarget {
  readonly #lane: Lane;
  readonly #pooled: PooledConnection;

  constructor(pool: CallContext, lane: Lane, pooled: PooledConnection) {
    super(pool, pooled.connection.host);
    this.#lane = lane;
    this.#pooled = pooled;
  }

  override find(): Lane {
    checkLive(this.#pooled);
    return this.#lane;
  }
}

function checkLive({ connection, state, name }: PooledConnection): void {
  if (!connection.isClosed && state !== "gone") return;
  throw new ConnectionLostError(
    `Cannot use the connection to "${name}": it has ended`,
    { host: name },
  );
}
