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
  type PoolCallOptions,
} from "../transport/call_options.ts";
import type { Command } from "../transport/command.ts";
import type { Connection } from "../transport/connector.ts";
import type { Forward } from "../transport/forward/forward.ts";
import type { HostLike } from "../transport/host.ts";
import type { ExecResult, RemoteProcess } from "../transport/process.ts";
import type { Sftp } from "../transport/sftp/sftp.ts";
import { download } from "../transport/sftp/transfer/download.ts";
import type { TransferResult } from "../transport/sftp/transfer/options.ts";
import { upload } from "../transport/sftp/transfer/upload.ts";
import { type ForwardTarget, parseTarget } from "../transport/target.ts";
import { withCallerStack } from "./_caller_stack.ts";
import { fanOut } from "./_fan_out.ts";
import type { FanOutHosts } from "./_fan_out_run.ts";
import type { Lane } from "./_lane.ts";
import type { PoolCore } from "./_pool_core.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import { runExec, runShell, runSpawn } from "./_run.ts";
import type { WaitOptions } from "./_wait_queue.ts";
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

interface CheckedOptions {
  readonly options: { readonly signal?: AbortSignal };
  readonly own: PoolCallOptions;
}

/** The verbs of one pool. */
export class Verbs {
  readonly #core: PoolCore;
  /** The forwards that are open. */
  readonly forwards: Forwards = new Forwards();

  constructor(core: PoolCore) {
    this.#core = core;
  }

  getConnection(host: HostLike, options?: AcquireOptions): Promise<Connection> {
    const pooled = this.#core.known(host)?.open[0];
    if (pooled?.isUsable && options?.signal?.aborted !== true) {
      pooled.markShared();
      // The same promise for everybody: a warm hand-out allocates nothing.
      return pooled.shared;
    }
    return this.#on(host, options, async (lane, wait) => {
      const pooled = await lane.acquire("shared", wait());
      return pooled.shared;
    });
  }

  acquire(host: HostLike, options?: AcquireOptions): Promise<Lease> {
    if (options === undefined) {
      const pooled = this.#core.known(host)?.tryTake("command");
      if (pooled !== undefined) return Promise.resolve(this.#lease(pooled));
    }
    return this.#on(host, options, async (lane, wait) => {
      const pooled = lane.tryTake("command") ??
        await lane.acquire("command", wait());
      if (options?.signal?.aborted) {
        // The hand-over crossed the abort: the slot goes to the next.
        pooled.giveSlot("command");
        throw options.signal.reason;
      }
      return this.#lease(pooled);
    });
  }

  exec(
    host: HostLike,
    command: Command,
    options?: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>> {
    return this.#call(
      host,
      () => checkExec(command, options, EXEC_NAMES),
      (lane, call) => runExec(this.#core, lane, call),
    );
  }

  spawn(
    host: HostLike,
    command: Command,
    options?: SpawnOptions,
  ): Promise<RemoteProcess> {
    return this.#call(
      host,
      () => checkSpawn(command, options, WAIT_NAMES),
      (lane, call) => runSpawn(this.#core, lane, call),
    );
  }

  shell(host: HostLike, options?: ShellOptions): Promise<RemoteProcess> {
    return this.#call(
      host,
      () => checkShellOptions(options, WAIT_NAMES),
      (lane, call) => runShell(this.#core, lane, call),
    );
  }

  sftp(host: HostLike, options?: AcquireOptions): Promise<Sftp> {
    return this.#on(
      host,
      options,
      (lane, wait) => this.#core.filesOf(lane).open(wait()),
    );
  }

  upload(
    host: HostLike,
    local: string,
    remote: string,
    { acquireTimeoutMs, ...options }: PoolTransferOptions = {},
  ): Promise<TransferResult> {
    return this.#withSftp(
      host,
      acquireOptions(options.signal, acquireTimeoutMs),
      (sftp) => upload(sftp, local, remote, options),
    );
  }

  download(
    host: HostLike,
    remote: string,
    local: string,
    { acquireTimeoutMs, ...options }: PoolTransferOptions = {},
  ): Promise<TransferResult> {
    return this.#withSftp(
      host,
      acquireOptions(options.signal, acquireTimeoutMs),
      (sftp) => download(sftp, remote, local, options),
    );
  }

  async connect(
    host: HostLike,
    target: string | ForwardTarget,
    options?: AcquireOptions,
  ): Promise<PoolTunnel> {
    const to = parseTarget(target);
    const get = () => this.getConnection(host, options);
    return await openThrough(get, to, options?.signal);
  }

  async forward(
    host: HostLike,
    options: PoolForwardOptions,
  ): Promise<Forward> {
    if (this.#core.isClosing) throw this.#core.closedError();
    const forward = await this.forwards.start(
      (signal) => this.getConnection(host, signal ? { signal } : {}),
      options,
    );
    if (!this.#core.isClosing) return forward;
    await forward.close();
    throw this.#core.closedError();
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

  async #withSftp<T>(
    host: HostLike,
    options: AcquireOptions,
    use: (sftp: Sftp) => Promise<T>,
  ): Promise<T> {
    const sftp = await this.sftp(host, options);
    try {
      return await use(sftp);
    } finally {
      sftp.close();
    }
  }

  #lease(pooled: PooledConnection): Lease {
    const { leases } = this.#core;
    return new Lease(pooled, leases.join(pooled), leases.watch(pooled));
  }

  /** Checks a call before anything is done for it. */
  #call<Call extends CheckedOptions, T>(
    host: HostLike,
    check: () => Call,
    use: (lane: Lane, call: Call) => Promise<T>,
  ): Promise<T> {
    try {
      const call = check();
      const options = acquireOptions(
        call.options.signal,
        call.own.acquireTimeoutMs,
      );
      return this.#on(host, options, (lane) => use(lane, call));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Finds the lane and goes on with it in the same turn, unless a file has to
   * be read first: of a hundred callers that come at once the first makes the
   * lane, and the others find it in use.
   */
  async #on<T>(
    host: HostLike,
    options: AcquireOptions | undefined,
    use: (lane: Lane, wait: () => WaitOptions) => Promise<T>,
  ): Promise<T> {
    const core = this.#core;
    const wait = () => ({
      signal: options?.signal,
      timeoutMs: acquireTimeout(core.limits, options),
    });
    try {
      options?.signal?.throwIfAborted();
      if (core.isClosing) throw core.closedError();
      const lane = core.find(host);
      // No await if the lane is known: it is used in the turn of the call.
      return await use(
        lane instanceof Promise ? await core.found(host, lane, wait()) : lane,
        wait,
      );
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
