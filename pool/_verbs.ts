/**
 * What can be done with a host: the work behind `ConnectionPool` and
 * `HostHandle`, which only name it.
 *
 * @module
 */

import {
  checkExec,
  checkShellOptions,
  checkSpawn,
} from "../transport/call_options.ts";
import type { Command } from "../transport/command.ts";
import type { Connection } from "../transport/connector.ts";
import type { Forward } from "../transport/forward/forward.ts";
import type { HostLike } from "../transport/host.ts";
import type {
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
} from "../transport/process.ts";
import type { Sftp } from "../transport/sftp/sftp.ts";
import { download } from "../transport/sftp/transfer/download.ts";
import type {
  TransferOptions,
  TransferResult,
} from "../transport/sftp/transfer/options.ts";
import { upload } from "../transport/sftp/transfer/upload.ts";
import { type ForwardTarget, parseTarget } from "../transport/target.ts";
import { withCallerStack } from "./_caller_stack.ts";
import { fanOut } from "./_fan_out.ts";
import type { FanOutHosts } from "./_fan_out_run.ts";
import type { Lane } from "./_lane.ts";
import type { PoolCore } from "./_pool_core.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import { type CheckedOptions, runExec, runShell, runSpawn } from "./_run.ts";
import { isTraced, type Operation, trace } from "./_tracing.ts";
import type { WaitOptions } from "./_wait_queue.ts";
import type { OperationName } from "./diagnostics.ts";
import type {
  FanOutCommandOptions,
  FanOutResult,
  FanOutWork,
} from "./fan_out.ts";
import {
  Forwards,
  openThrough,
  type PoolForwardOptions,
  type PoolTunnel,
} from "./forward.ts";
import { Lease } from "./lease.ts";
import {
  type AcquireOptions,
  acquireTimeout,
  EXEC_NAMES,
  type ExecOptions,
  type PoolTransferOptions,
  type ShellOptions,
  type SpawnOptions,
  WAIT_NAMES,
} from "./options.ts";

/** A call of a verb. */
interface Call {
  readonly name: OperationName;
  readonly host: HostLike;
  readonly options: AcquireOptions | undefined;
  readonly command?: string;
  /** The call that this one is part of. */
  readonly parent?: Operation | undefined;
}

/** What a call does with its lane. */
type Use<T> = (
  lane: Lane,
  wait: () => WaitOptions,
  operation: Operation | undefined,
) => Promise<T>;

/** The verbs of one pool. */
export class Verbs {
  readonly #core: PoolCore;
  /** The forwards that are open. */
  readonly forwards: Forwards = new Forwards();

  constructor(core: PoolCore) {
    this.#core = core;
  }

  getConnection(
    host: HostLike,
    options?: AcquireOptions,
    parent?: Operation,
  ): Promise<Connection> {
    const pooled = this.#core.known(host)?.open[0];
    if (pooled?.isUsable && options?.signal?.aborted !== true) {
      pooled.markShared();
      // The same promise for everybody: a warm hand-out allocates nothing.
      return pooled.shared;
    }
    const call: Call = { name: "acquire", host, options, parent };
    return this.#on(call, async (lane, wait, operation) => {
      if (operation !== undefined) operation.waited = true;
      const pooled = await lane.acquire("shared", wait());
      return pooled.shared;
    });
  }

  acquire(host: HostLike, options?: AcquireOptions): Promise<Lease> {
    if (options === undefined && !isTraced("acquire")) {
      const pooled = this.#core.known(host)?.tryTake("command");
      if (pooled !== undefined) return Promise.resolve(this.#lease(pooled));
    }
    const call: Call = { name: "acquire", host, options };
    return this.#on(call, async (lane, wait, operation) => {
      const free = lane.tryTake("command");
      if (operation !== undefined) operation.waited = free === undefined;
      const pooled = free ?? await lane.acquire("command", wait());
      if (options?.signal?.aborted) {
        // The hand-over crossed the abort: the slot goes to the next.
        pooled.giveSlot("command");
        throw options.signal.reason;
      }
      return this.#lease(pooled, operation);
    });
  }

  exec<Encoding extends OutputEncoding = "text">(
    host: HostLike,
    command: Command,
    options?: ExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return this.#call(
      "exec",
      host,
      () => checkExec(command, options, EXEC_NAMES),
      (lane, call, operation) => runExec(this.#core, lane, call, operation),
    );
  }

  spawn(
    host: HostLike,
    command: Command,
    options?: SpawnOptions,
  ): Promise<RemoteProcess> {
    return this.#call(
      "spawn",
      host,
      () => checkSpawn(command, options, WAIT_NAMES),
      (lane, call, operation) => runSpawn(this.#core, lane, call, operation),
    );
  }

  shell(host: HostLike, options?: ShellOptions): Promise<RemoteProcess> {
    return this.#call(
      "shell",
      host,
      () => checkShellOptions(options, WAIT_NAMES),
      (lane, call, operation) => runShell(this.#core, lane, call, operation),
    );
  }

  sftp(
    host: HostLike,
    options?: AcquireOptions,
    parent?: Operation,
  ): Promise<Sftp> {
    return this.#on(
      { name: "sftp", host, options, parent },
      async (lane, wait, operation) => {
        const sftp = await this.#core.filesOf(lane).open(wait());
        operation?.opened(sftp.closed);
        return sftp;
      },
    );
  }

  upload(
    host: HostLike,
    local: string,
    remote: string,
    options: PoolTransferOptions = {},
  ): Promise<TransferResult> {
    return this.#transfer(
      "upload",
      host,
      options,
      (sftp, options) => upload(sftp, local, remote, options),
    );
  }

  download(
    host: HostLike,
    remote: string,
    local: string,
    options: PoolTransferOptions = {},
  ): Promise<TransferResult> {
    return this.#transfer(
      "download",
      host,
      options,
      (sftp, options) => download(sftp, remote, local, options),
    );
  }

  connect(
    host: HostLike,
    target: string | ForwardTarget,
    options?: AcquireOptions,
  ): Promise<PoolTunnel> {
    return this.#through("connect", host, async (operation) => {
      const to = parseTarget(target);
      const get = () => this.getConnection(host, options, operation);
      return await openThrough(get, to, options?.signal);
    });
  }

  forward(
    host: HostLike,
    options: PoolForwardOptions,
  ): Promise<Forward> {
    return this.#through("forward", host, async (operation) => {
      if (this.#core.isClosing) throw this.#core.closedError();
      const forward = await this.forwards.start(
        (signal) =>
          this.getConnection(host, signal ? { signal } : {}, operation),
        options,
      );
      if (!this.#core.isClosing) return forward;
      await forward.close();
      throw this.#core.closedError();
    });
  }

  fanOut<T>(
    hosts: FanOutHosts,
    work: FanOutWork<T> | Command,
    options?: FanOutCommandOptions<"text" | "bytes">,
  ): AsyncIterable<FanOutResult<T>> {
    const pool = {
      exec: this.exec.bind(this),
      closing: this.#core.closingSignal,
    };
    return fanOut(pool, hosts, work, options);
  }

  #transfer(
    name: "upload" | "download",
    host: HostLike,
    { acquireTimeoutMs, ...options }: PoolTransferOptions,
    copy: (sftp: Sftp, options: TransferOptions) => Promise<TransferResult>,
  ): Promise<TransferResult> {
    const wait = acquireOptions(options.signal, acquireTimeoutMs);
    return this.#through(name, host, async (operation) => {
      const sftp = await this.sftp(host, wait, operation);
      try {
        return await copy(sftp, options);
      } finally {
        sftp.close();
      }
    });
  }

  /** A verb that is made of others. */
  async #through<T>(
    name: OperationName,
    host: HostLike,
    use: (operation: Operation | undefined) => Promise<T>,
  ): Promise<T> {
    const { telemetry } = this.#core;
    const operation = telemetry.operation(name, { host });
    if (operation === undefined) return await use(undefined);
    return await trace(operation, () => use(operation), (value) => {
      const lane = this.#core.known(host);
      if (lane !== undefined) operation.found(lane);
      const { closed } = value as { closed?: Promise<unknown> };
      if (closed !== undefined) operation.opened(closed);
    });
  }

  #lease(pooled: PooledConnection, operation?: Operation): Lease {
    const { leases } = this.#core;
    const disarm = leases.watch(pooled);
    if (operation === undefined) {
      return new Lease(pooled, leases.join(pooled), disarm);
    }
    operation.held();
    return new Lease(pooled, leases.join(pooled), () => {
      disarm?.();
      operation.givenBack();
    });
  }

  /** Checks a call before anything is done for it. */
  #call<Checked extends CheckedOptions, T>(
    name: OperationName,
    host: HostLike,
    check: () => Checked,
    use: (
      lane: Lane,
      call: Checked,
      operation: Operation | undefined,
    ) => Promise<T>,
  ): Promise<T> {
    try {
      const call = check();
      const { options, own, command } = call;
      return this.#on({
        name,
        host,
        options: acquireOptions(options.signal, own.acquireTimeoutMs),
        ...(command === undefined ? {} : { command }),
      }, (lane, _, operation) => use(lane, call, operation));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Does something with the lane of a host, traced if somebody subscribes. */
  #on<T>(call: Call, use: Use<T>): Promise<T> {
    const operation = this.#core.telemetry.operation(call.name, call);
    if (operation === undefined) return this.#onLane(call, undefined, use);
    return trace(operation, () => this.#onLane(call, operation, use));
  }

  /**
   * Finds the lane and goes on with it in the same turn, unless a file has to
   * be read first: of a hundred callers that come at once the first makes the
   * lane, and the others find it in use.
   */
  async #onLane<T>(
    { host, options }: Call,
    operation: Operation | undefined,
    use: Use<T>,
  ): Promise<T> {
    const core = this.#core;
    const wait = () => ({
      signal: options?.signal,
      timeoutMs: acquireTimeout(core.limits, options),
      operation,
    });
    try {
      options?.signal?.throwIfAborted();
      if (core.isClosing) throw core.closedError();
      const found = core.find(host);
      // No await if the lane is known: it is used in the turn of the call.
      const lane = found instanceof Promise
        ? await core.found(host, found, wait())
        : found;
      operation?.found(lane);
      return await use(lane, wait, operation);
    } catch (error) {
      throw withCallerStack(error);
    }
  }
}

function acquireOptions(
  signal: AbortSignal | undefined,
  acquireTimeoutMs: number | undefined,
): AcquireOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(acquireTimeoutMs === undefined ? {} : { acquireTimeoutMs }),
  };
}
