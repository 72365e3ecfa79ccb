/**
 * What `getConnection()` gives out.
 *
 * @module
 */

import {
  checkExec,
  checkShellOptions,
  checkSpawn,
} from "../transport/call_options.ts";
import type { Command } from "../transport/command.ts";
import type {
  ClosedReason,
  Connection,
  RemoteListener,
  Tunnel,
} from "../transport/connector.ts";
import { ConnectionLostError } from "../transport/errors.ts";
import type { ResolvedHost } from "../transport/host.ts";
import type {
  ExecOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
  ShellOptions,
  SpawnOptions,
} from "../transport/process.ts";
import type { Sftp } from "../transport/sftp/sftp.ts";
import type { ForwardTarget } from "../transport/target.ts";
import { withCallerStack } from "./_caller_stack.ts";
import type { FileSessions } from "./_file_sessions.ts";
import type { Lane } from "./_lane.ts";
import type { PoolContext } from "./_pool_context.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import {
  type CheckedOptions,
  runExec,
  runShell,
  runSpawn,
  unsupported,
} from "./_run.ts";
import { type Operation, trace } from "./_tracing.ts";
import type { OperationName } from "./diagnostics.ts";
import { EXEC_NAMES, WAIT_NAMES } from "./options.ts";

/**
 * A connection that many callers hold. Its channels take slots as those of
 * `pool.exec()` do, so a hundred commands at once are queued and not refused;
 * one for which this connection has no slot may run on another to the same
 * host. Its life is that of the one connection: once that has ended, every
 * call rejects.
 */
export class SharedConnection implements Connection {
  readonly #context: PoolContext;
  readonly #lane: Lane;
  readonly #files: FileSessions;
  readonly #pooled: PooledConnection;

  constructor(
    context: PoolContext,
    lane: Lane,
    files: FileSessions,
    pooled: PooledConnection,
  ) {
    this.#context = context;
    this.#lane = lane;
    this.#files = files;
    this.#pooled = pooled;
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

  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    options?: ExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return this.#call(
      "exec",
      () => checkExec(command, options, EXEC_NAMES),
      (call, operation) => runExec(this.#context, this.#lane, call, operation),
    );
  }

  spawn(command: Command, options?: SpawnOptions): Promise<RemoteProcess> {
    return this.#call(
      "spawn",
      () => checkSpawn(command, options, WAIT_NAMES),
      (call, operation) => runSpawn(this.#context, this.#lane, call, operation),
    );
  }

  shell(options?: ShellOptions): Promise<RemoteProcess> {
    return this.#call(
      "shell",
      () => checkShellOptions(options, WAIT_NAMES),
      (call, operation) => runShell(this.#context, this.#lane, call, operation),
    );
  }

  sftp(options: { readonly signal?: AbortSignal } = {}): Promise<Sftp> {
    const { signal } = options;
    const timeoutMs = this.#context.limits.acquireTimeoutMs;
    return this.#do(() =>
      this.#traced("sftp", async (operation) => {
        const sftp = await this.#files.open({ signal, timeoutMs, operation });
        operation?.opened(sftp.closed);
        return sftp;
      })
    );
  }

  forwardOut(
    target: ForwardTarget,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel> {
    return this.#pinned((connection) => {
      if (connection.forwardOut === undefined) {
        throw unsupported(this.#lane, "forwards");
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
        throw unsupported(this.#lane, "remote forwards");
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
  #pinned<T extends { readonly closed: Promise<void> }>(
    open: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    return this.#do(async () => {
      const pooled = this.#pooled;
      pooled.addPin();
      try {
        const opened = await open(pooled.connection);
        opened.closed.then(() => pooled.removePin());
        return opened;
      } catch (error) {
        pooled.removePin();
        throw error;
      }
    });
  }

  /** Checks a call before it is made. */
  #call<Checked extends CheckedOptions, T>(
    name: OperationName,
    check: () => Checked,
    use: (call: Checked, operation: Operation | undefined) => Promise<T>,
  ): Promise<T> {
    return this.#do(() => {
      const call = check();
      const { command } = call;
      return this.#traced(name, (operation) => use(call, operation), command);
    });
  }

  /** Makes a call, traced if somebody subscribes. */
  #traced<T>(
    name: OperationName,
    use: (operation: Operation | undefined) => Promise<T>,
    command?: string,
  ): Promise<T> {
    const { host } = this;
    const { telemetry } = this.#context;
    const operation = telemetry.operation(name, { host, command });
    if (operation === undefined) return use(undefined);
    operation.found(this.#lane);
    return trace(operation, () => use(operation));
  }

  async #do<T>(operation: () => Promise<T>): Promise<T> {
    this.#check();
    try {
      return await operation();
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  #check(): void {
    if (!this.isClosed && this.#pooled.state !== "gone") return;
    const { name } = this.#pooled;
    throw new ConnectionLostError(
      `Cannot use the connection to "${name}": it has ended`,
      { host: name },
    );
  }
}
