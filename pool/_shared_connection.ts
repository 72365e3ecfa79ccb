/**
 * What `getConnection()` gives out.
 *
 * @module
 */

import type { Command } from "../transport/command.ts";
import type {
  ClosedReason,
  Connection,
  RemoteListener,
  Tunnel,
} from "../transport/connector.ts";
import type {
  ExecOptions,
  ExecResult,
  RemoteProcess,
  SpawnOptions,
} from "../transport/process.ts";
import { ConnectionLostError } from "../transport/errors.ts";
import { hostName, type ResolvedHost } from "../transport/host.ts";
import type { ForwardTarget } from "../transport/target.ts";
import type { PooledConnection } from "./_pooled_connection.ts";

/** How a shared connection reaches its host's schedule. */
export interface Scheduler {
  exec(
    command: Command,
    options?: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>>;
  spawn(command: Command, options?: SpawnOptions): Promise<RemoteProcess>;
}

/**
 * A connection that many callers hold. Its channels take slots as those of
 * `pool.exec()` do, so a hundred commands at once are queued and not refused;
 * one for which this connection has no slot may run on another to the same
 * host. Its life is that of the one connection: once that has ended, every
 * call rejects.
 */
export class SharedConnection implements Connection {
  readonly #pooled: PooledConnection;
  readonly #scheduler: Scheduler;

  constructor(pooled: PooledConnection, scheduler: Scheduler) {
    this.#pooled = pooled;
    this.#scheduler = scheduler;
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

  get openChannels(): number {
    return this.#pooled.connection.openChannels;
  }

  exec(
    command: Command,
    options: ExecOptions & { readonly encoding: "bytes" },
  ): Promise<ExecResult<Uint8Array>>;
  exec(
    command: Command,
    options?: ExecOptions & { readonly encoding?: "text" },
  ): Promise<ExecResult>;
  exec(
    command: Command,
    options?: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>>;
  async exec(
    command: Command,
    options?: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>> {
    this.#check();
    return await this.#scheduler.exec(command, options);
  }

  async spawn(
    command: Command,
    options?: SpawnOptions,
  ): Promise<RemoteProcess> {
    this.#check();
    return await this.#scheduler.spawn(command, options);
  }

  async forwardOut(
    target: ForwardTarget,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel> {
    this.#check();
    const pooled = this.#pooled;
    if (pooled.connection.forwardOut === undefined) {
      throw new TypeError(
        `Cannot forward through "${
          hostName(this.host)
        }": its connector does not support it`,
      );
    }
    // A tunnel is no session and takes no slot, but it keeps the connection.
    pooled.addPin();
    try {
      const tunnel = await pooled.connection.forwardOut(target, options);
      tunnel.closed.then(() => pooled.removePin());
      return tunnel;
    } catch (error) {
      pooled.removePin();
      throw error;
    }
  }

  async forwardIn(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    options?: { readonly signal?: AbortSignal },
  ): Promise<RemoteListener> {
    this.#check();
    const pooled = this.#pooled;
    if (pooled.connection.forwardIn === undefined) {
      throw new TypeError(
        `Cannot listen on "${
          hostName(this.host)
        }": its connector does not support it`,
      );
    }
    // It keeps the connection, and so does each of its tunnels.
    const pinned = (tunnel: Tunnel) => {
      pooled.addPin();
      tunnel.closed.then(() => pooled.removePin());
      onConnection(tunnel);
    };
    pooled.addPin();
    try {
      const listener = await pooled.connection.forwardIn(
        listen,
        pinned,
        options,
      );
      listener.closed.then(() => pooled.removePin());
      return listener;
    } catch (error) {
      pooled.removePin();
      throw error;
    }
  }

  close(): Promise<void> {
    this.#pooled.end("requested");
    return this.#pooled.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (!this.isClosed && this.#pooled.state !== "gone") return;
    const name = hostName(this.host);
    throw new ConnectionLostError(
      `Cannot use the connection to "${name}": it has ended`,
      { host: name },
    );
  }
}
