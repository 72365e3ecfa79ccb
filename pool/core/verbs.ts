/**
 * What can be done with a host: the work behind `ConnectionPool` and
 * `HostHandle`, which only name it.
 *
 * @module
 */

import type { Command } from "../../transport/command/command.ts";
import type { Connection } from "../../transport/connector.ts";
import type { Forward } from "../../transport/forward/forward.ts";
import type { HostLike } from "../../transport/host/host.ts";
import type {
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
} from "../../transport/process.ts";
import type { Sftp } from "../../transport/sftp/sftp.ts";
import { download } from "../../transport/sftp/transfer/download.ts";
import type {
  TransferOptions,
  TransferResult,
} from "../../transport/sftp/transfer/options.ts";
import { upload } from "../../transport/sftp/transfer/upload.ts";
import {
  type ForwardTarget,
  parseTarget,
} from "../../transport/host/target.ts";
import {
  type Call,
  exec,
  onLane,
  type Place,
  sftp,
  shell,
  spawn,
} from "../calls/calls.ts";
import { fanOut } from "../calls/fan_out.ts";
import type { FanOutHosts } from "../calls/fan_out_run.ts";
import { withHost } from "../telemetry/host_label.ts";
import type { PoolCore } from "./pool_core.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import { isTraced, type Operation, trace } from "../telemetry/tracing.ts";
import type { OperationName } from "../telemetry/diagnostics.ts";
import type {
  FanOut,
  FanOutCommandOptions,
  FanOutWork,
  WarmResult,
} from "../fan_out.ts";
import {
  Forwards,
  openThrough,
  type PoolForwardOptions,
  type PoolTunnel,
} from "../forward.ts";
import { Lease } from "../lease.ts";
import {
  ACQUIRE_OPTIONS,
  type AcquireOptions,
  type ExecOptions,
  POOL_TRANSFER_OPTIONS,
  type PoolTransferOptions,
  type ShellOptions,
  type SpawnOptions,
} from "../options.ts";

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
    return options === undefined
      ? this.#shared(host, options, parent)
      : rejecting(() => {
        return this.#shared(host, ACQUIRE_OPTIONS.check(options), parent);
      });
  }

  #shared(
    host: HostLike,
    options: AcquireOptions | undefined,
    parent: Operation | undefined,
  ): Promise<Connection> {
    const pooled = this.#core.known(host)?.open[0];
    if (pooled?.isUsable && options?.signal?.aborted !== true) {
      pooled.markShared();
      // The same promise for everybody: a warm hand-out allocates nothing.
      return pooled.shared;
    }
    const place = this.#at(host);
    const call: Call = { ...options, name: "acquire", place, parent };
    return onLane(this.#core, call, async (lane, wait) => {
      if (wait.operation !== undefined) wait.operation.waited = true;
      const pooled = await lane.acquire("shared", wait);
      return pooled.shared;
    });
  }

  acquire(host: HostLike, options?: AcquireOptions): Promise<Lease> {
    return rejecting(() => this.#acquire(host, options));
  }

  #acquire(host: HostLike, options?: AcquireOptions): Promise<Lease> {
    if (options === undefined && !isTraced("acquire")) {
      const pooled = this.#core.known(host)?.tryTake("command");
      if (pooled !== undefined) return Promise.resolve(this.#lease(pooled));
    }
    const given = ACQUIRE_OPTIONS.check(options);
    const call: Call = { ...given, name: "acquire", place: this.#at(host) };
    return onLane(this.#core, call, async (lane, wait) => {
      const { signal, operation } = wait;
      const free = lane.tryTake("command");
      if (operation !== undefined) operation.waited = free === undefined;
      const pooled = free ?? await lane.acquire("command", wait);
      if (signal?.aborted) {
        // The hand-over crossed the abort: the slot goes to the next.
        pooled.giveSlot("command");
        throw signal.reason;
      }
      return this.#lease(pooled, operation);
    });
  }

  exec<Encoding extends OutputEncoding = "text">(
    host: HostLike,
    command: Command,
    options?: ExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return exec(this.#core, this.#at(host), command, options);
  }

  spawn(
    host: HostLike,
    command: Command,
    options?: SpawnOptions,
  ): Promise<RemoteProcess> {
    return spawn(this.#core, this.#at(host), command, options);
  }

  shell(host: HostLike, options?: ShellOptions): Promise<RemoteProcess> {
    return shell(this.#core, this.#at(host), options);
  }

  sftp(host: HostLike, options?: AcquireOptions): Promise<Sftp> {
    return rejecting(() => {
      const given = ACQUIRE_OPTIONS.check(options);
      return sftp(this.#core, { ...given, place: this.#at(host) });
    });
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
    return rejecting(() => {
      const given = ACQUIRE_OPTIONS.check(options);
      const to = parseTarget(target);
      return this.#through("connect", host, (operation) => {
        const get = () => this.#shared(host, given, operation);
        return openThrough(get, to, given.signal);
      });
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
    work: FanOutWork<T, never> | Command,
    options?: FanOutCommandOptions<"text" | "bytes", never>,
  ): FanOut<T, unknown> {
    const pool = {
      exec: this.exec.bind(this),
      closing: this.#core.closingSignal,
    };
    return fanOut(pool, hosts, work, options as never);
  }

  warm(
    hosts: Iterable<HostLike>,
    options?: AcquireOptions,
  ): Promise<WarmResult[]> {
    return rejecting(() => this.#warm(hosts, ACQUIRE_OPTIONS.check(options)));
  }

  #warm(
    hosts: Iterable<HostLike>,
    options: AcquireOptions,
  ): Promise<WarmResult[]> {
    return Promise.all(Array.from(hosts, async (host) => {
      try {
        await this.#shared(host, options, undefined);
        return withHost(host, { ok: true });
      } catch (error) {
        return withHost(host, { ok: false, error });
      }
    }));
  }

  #transfer(
    name: "upload" | "download",
    host: HostLike,
    given: PoolTransferOptions,
    copy: (sftp: Sftp, options: TransferOptions) => Promise<TransferResult>,
  ): Promise<TransferResult> {
    return rejecting(() => {
      const { acquireTimeoutMs, ...options } = POOL_TRANSFER_OPTIONS
        .check(given);
      const { signal } = options;
      const place = this.#at(host);
      return this.#through(name, host, async (parent) => {
        const call = { place, signal, acquireTimeoutMs, parent };
        const session = await sftp(this.#core, call);
        try {
          return await copy(session, options);
        } finally {
          session.close();
        }
      });
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

  #at(host: HostLike): Place {
    return {
      host,
      find: () => {
        if (this.#core.isClosing) throw this.#core.closedError();
        return this.#core.find(host);
      },
    };
  }
}

/** Makes what a call throws a rejection: who awaits it looks in one place. */
function rejecting<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call();
  } catch (error) {
    return Promise.reject(error);
  }
}
