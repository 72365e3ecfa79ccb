/**
 * The face of the pool.
 *
 * @module
 */

import { type Command, commandLine } from "../transport/command.ts";
import type { Connection } from "../transport/connector.ts";
import type { ExecResult, RemoteProcess } from "../transport/process.ts";
import type { HostLike } from "../transport/host.ts";
import type { Forward } from "../transport/forward/forward.ts";
import { type ForwardTarget, parseTarget } from "../transport/target.ts";
import { PlainResolver } from "../transport/resolver.ts";
import { withCallerStack } from "./_caller_stack.ts";
import { PoolCore } from "./_pool_core.ts";
import type { PooledConnection } from "./_pooled_connection.ts";
import type { Lane } from "./_lane.ts";
import {
  Forwards,
  openThrough,
  type PoolForwardOptions,
  type PoolTunnel,
} from "./forward.ts";
import { execOn, spawnOn } from "./_run.ts";
import type { WaitOptions } from "./_waiter.ts";
import type { PoolStats } from "./events.ts";
import {
  fanOut,
  type FanOutOptions,
  type FanOutResult,
  type FanOutWork,
  withHost,
} from "./fan_out.ts";
import { Lease } from "./lease.ts";
import {
  type AcquireOptions,
  acquireTimeout,
  type CloseOptions,
  type ConnectionPoolOptions,
  type ExecOptions,
  type SpawnOptions,
} from "./options.ts";

/** How warming one host went. */
export interface WarmResult {
  /** The host, as it was named; not enumerable if it is an object, which may hold credentials. */
  readonly host: HostLike;
  /** Whether it has a connection now. */
  readonly ok: boolean;
  /** Why it has none. */
  readonly error?: unknown;
}

/**
 * An SSH connection pool: concurrent callers for one host await one dial,
 * commands share a handful of connections, and every promise settles.
 *
 * This one takes any {@linkcode Connector}; that of the package's main pooled
 * point comes with ssh2.
 *
 * @example Usage
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool/pool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const connector = new MemoryConnector();
 * await using pool = new ConnectionPool({ connector });
 * const { stdout } = await pool.exec("ops@db1", ["echo", "hello"]);
 * assertEquals(stdout, "hello\n");
 * ```
 */
export class ConnectionPool implements AsyncDisposable {
  readonly #core: PoolCore;
  readonly #forwards = new Forwards();

  /**
   * Makes a pool. Nothing is dialled yet.
   *
   * @param options The connector, and the limits.
   * @throws {TypeError} If an option has the wrong type or is unknown.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(options: ConnectionPoolOptions) {
    this.#core = new PoolCore(options, options.resolver ?? new PlainResolver());
  }

  /** Live connections. */
  get size(): number {
    return this.#core.connections.size;
  }

  /** The names of the hosts that have a connection, as `user@host:port`. */
  get activeHosts(): string[] {
    const names = new Set<string>();
    for (const lane of this.#core.lanes) {
      if (lane.connections.size > 0) names.add(lane.name);
    }
    return [...names];
  }

  /**
   * A connection to the host: the one that everybody shares, or a new one.
   * Callers that come while it is dialled await the same dial.
   *
   * Channels that are opened on it take slots, as those of the pool do.
   *
   * @param host The host.
   * @param options Abort and wait.
   * @returns The connection. It stays the pool's: do not close it, unless it
   * is to end for everybody.
   * @throws {DialError} If the dial fails.
   * @throws {HostCooldownError} If the host failed a moment ago.
   * @throws {AcquireTimeoutError} If it takes too long.
   * @throws {PoolClosedError} If the pool is closed.
   */
  getConnection(host: HostLike, options?: AcquireOptions): Promise<Connection> {
    const pooled = this.#core.known(host)?.primary;
    if (
      pooled !== undefined && !pooled.connection.isClosed &&
      options?.signal?.aborted !== true
    ) {
      pooled.touch();
      // The same promise for everybody: a warm hand-out allocates nothing.
      return pooled.shared;
    }
    return this.#on(host, options, async (lane) => {
      const pooled = await lane.acquire("shared", this.#waitOptions(options));
      return pooled.shared;
    });
  }

  /**
   * Borrows a slot: the right to open one session channel.
   *
   * @param host The host.
   * @param options Abort and wait.
   * @returns The lease; give it back with `release()` or `using`.
   * @throws {DialError} If the dial fails.
   * @throws {HostCooldownError} If the host failed a moment ago.
   * @throws {AcquireTimeoutError} If it takes too long.
   * @throws {PoolClosedError} If the pool is closed.
   */
  acquire(host: HostLike, options?: AcquireOptions): Promise<Lease> {
    if (options === undefined) {
      const lane = this.#core.known(host);
      const pooled = lane?.tryTake();
      if (pooled !== undefined) return Promise.resolve(this.#lease(pooled));
    }
    return this.#on(host, options, (lane) => this.#borrow(lane, options));
  }

  async #borrow(
    lane: Lane,
    options: AcquireOptions | undefined,
  ): Promise<Lease> {
    const pooled = lane.tryTake() ??
      await lane.acquire("slot", this.#waitOptions(options));
    if (options?.signal?.aborted) {
      // The hand-off crossed the abort: the slot goes on to the next.
      pooled.giveSlot();
      throw options.signal.reason;
    }
    return this.#lease(pooled);
  }

  /**
   * Finds the lane and goes on with it in the same turn, unless a file has to
   * be read first: of a hundred callers that come at once the first makes the
   * lane, and the others find it in use.
   */
  #on<T>(
    host: HostLike,
    options: AcquireOptions | undefined,
    use: (lane: Lane) => Promise<T>,
  ): Promise<T> {
    try {
      options?.signal?.throwIfAborted();
      if (this.#core.isClosing) throw this.#core.closedError();
      return settled(this.#core.find(host), use);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #waitOptions(options: AcquireOptions | undefined): WaitOptions {
    return {
      signal: options?.signal,
      timeoutMs: acquireTimeout(this.#core.limits, options),
    };
  }

  #lease(pooled: PooledConnection): Lease {
    const { leases } = this.#core;
    return new Lease(pooled, leases.ticket(pooled), leases.watch(pooled));
  }

  /**
   * Runs a command and collects its output. A non-zero exit is a result, not
   * an error.
   *
   * What cannot have run is tried again by the pool; a command that was sent
   * is repeated only if it is `idempotent`.
   *
   * @param host The host.
   * @param command The command; an array is quoted for a POSIX shell.
   * @param options Abort, wait, input, limits.
   * @returns How it ended, and what it wrote.
   * @throws {DialError} If the dial fails.
   * @throws {HostCooldownError} If the host failed a moment ago.
   * @throws {AcquireTimeoutError} If no slot comes free in time.
   * @throws {ChannelOpenError} If the server refuses sessions as such.
   * @throws {ConnectionLostError} If the connection ends under the command.
   * @throws {ExecTimeoutError} If it runs longer than `timeoutMs`.
   * @throws {OutputLimitError} If it writes more than `maxOutputBytes`.
   * @throws {PoolClosedError} If the pool is closed.
   */
  exec(
    host: HostLike,
    command: Command,
    options: ExecOptions & { readonly encoding: "bytes" },
  ): Promise<ExecResult<Uint8Array>>;
  /** Runs a command and collects its output as text. */
  exec(
    host: HostLike,
    command: Command,
    options?: ExecOptions & { readonly encoding?: "text" },
  ): Promise<ExecResult>;
  /** Runs a command and collects its output as the options say. */
  exec(
    host: HostLike,
    command: Command,
    options?: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>>;
  exec(
    host: HostLike,
    command: Command,
    options?: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>> {
    return this.#on(
      host,
      options,
      (lane) => execOn(this.#core, lane, commandLine(command), options),
    );
  }

  /**
   * Starts a command and gives its streams. Its slot is taken until its
   * channel is closed.
   *
   * @param host The host.
   * @param command The command; an array is quoted for a POSIX shell.
   * @param options Abort and wait.
   * @returns The process.
   * @throws {DialError} If the dial fails.
   * @throws {HostCooldownError} If the host failed a moment ago.
   * @throws {AcquireTimeoutError} If no slot comes free in time.
   * @throws {ChannelOpenError} If the server refuses sessions as such.
   * @throws {ConnectionLostError} If the connection ends first.
   * @throws {PoolClosedError} If the pool is closed.
   */
  spawn(
    host: HostLike,
    command: Command,
    options?: SpawnOptions,
  ): Promise<RemoteProcess> {
    return this.#on(
      host,
      options,
      (lane) => spawnOn(this.#core, lane, commandLine(command), options),
    );
  }

  /**
   * Opens a byte stream from the host to a target, as `ssh -W` does. It takes
   * no slot, and keeps its connection until it is closed.
   *
   * @param host The host.
   * @param target `host:port` as the host sees it, or the path of one of its
   * unix sockets.
   * @param options Abort, up to when the stream is open, and wait.
   * @returns The stream; close it.
   * @throws {TypeError} If the target is none.
   * @throws {DialError} If the dial fails.
   * @throws {ChannelOpenError} If the server refuses.
   * @throws {ConnectionLostError} If the connection ends first, twice.
   * @throws {PoolClosedError} If the pool is closed.
   */
  async connect(
    host: HostLike,
    target: string | ForwardTarget,
    options?: AcquireOptions,
  ): Promise<PoolTunnel> {
    const to = parseTarget(target);
    const get = () => this.getConnection(host, options);
    return await openThrough(get, to, options?.signal);
  }

  /**
   * Listens on this side, and leads each connection through the host: to one
   * target (`"local"`), or to where a SOCKS5 client says (`"dynamic"`). With `"remote"` the host
   * listens, and each of its connections is led to a target on this side. Nothing
   * is dialled before the first connection; one that comes after the SSH
   * connection was lost gets a new one.
   *
   * @param host The host.
   * @param options Where to listen, and where to.
   * @returns The forward. It keeps the process alive until it, or the pool, is
   * closed; closing the pool ends it and its connections at once.
   * @throws {TypeError} If an address is none.
   * @throws {ForwardError} If it cannot listen there.
   * @throws {PoolClosedError} If the pool is closed.
   */
  async forward(
    host: HostLike,
    options: PoolForwardOptions,
  ): Promise<Forward> {
    if (this.#core.isClosing) throw this.#core.closedError();
    const forward = await this.#forwards.start(
      (signal) => this.getConnection(host, signal ? { signal } : {}),
      options,
    );
    if (!this.#core.isClosing) return forward;
    await forward.close();
    throw this.#core.closedError();
  }

  /**
   * Works on many hosts, several at once, and yields each result when it is
   * there. The failure of one host is its result and stops nothing. Leaving
   * the loop aborts what is under way.
   *
   * @param hosts The hosts.
   * @param work What to do on each, with this pool say; its signal aborts when
   * the loop is left.
   * @param options How many at once, and abort.
   * @returns The results, in the order in which they come.
   * @throws {RangeError} If `concurrency` is not a whole number from 1.
   *
   * @example Usage
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool/pool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   *
   * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
   * const hosts = ["ops@web-1", "ops@web-2"];
   * for await (
   *   const { host, ...result } of pool.fanOut(
   *     hosts,
   *     (host, signal) => pool.exec(host, "uptime", { signal }),
   *   )
   * ) {
   *   console.log(host, result.ok ? result.value.code : result.error);
   * }
   * ```
   */
  fanOut<T>(
    hosts: Iterable<HostLike> | AsyncIterable<HostLike>,
    work: FanOutWork<T>,
    options?: FanOutOptions,
  ): AsyncIterable<FanOutResult<T>> {
    return fanOut(hosts, work, options);
  }

  /**
   * Dials ahead, so that the first command finds a connection.
   *
   * @param hosts The hosts; all are dialled at once, as far as the limits go.
   * @param options Abort and wait.
   * @returns For each host, in order, whether it has a connection now.
   */
  warm(
    hosts: Iterable<HostLike>,
    options?: AcquireOptions,
  ): Promise<WarmResult[]> {
    return Promise.all(Array.from(hosts, async (host) => {
      try {
        await this.getConnection(host, options);
        return withHost(host, { ok: true });
      } catch (error) {
        return withHost(host, { ok: false, error });
      }
    }));
  }

  /**
   * Ends the connections of a host; what runs on them is lost. Callers that
   * wait get a fresh one.
   *
   * @param host The host.
   */
  async removeConnection(host: HostLike): Promise<void> {
    const lane = await this.#core.find(host);
    lane.endConnections("requested");
    await this.#core.closings();
  }

  /**
   * Ends every connection now; what runs on them is lost, and callers that
   * wait get a `PoolClosedError`. The pool stays usable.
   */
  closeAll(): Promise<void> {
    return this.#core.closeAll();
  }

  /**
   * Ends the pool for good: new calls, and callers that wait, get a
   * `PoolClosedError`; what runs may run on for `drainTimeoutMs` and is lost
   * then. Afterwards no timer and no socket is left.
   *
   * A second call may shorten the wait of the first.
   *
   * @param options How long running work may go on.
   */
  close(options?: CloseOptions): Promise<void> {
    const closed = this.#core.close(options);
    return this.#forwards.close().then(() => closed);
  }

  /** Ends the pool as `close()` does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What the pool shared like now, and what it has counted. */
  stats(): PoolStats {
    return this.#core.stats();
  }
}

/** Completes the stack of an error by the caller's own lines. */
async function settled<T>(
  lane: Lane | Promise<Lane>,
  use: (lane: Lane) => Promise<T>,
): Promise<T> {
  try {
    // No await if the lane is known: it is used in the turn of the call.
    return await use(lane instanceof Promise ? await lane : lane);
  } catch (error) {
    throw withCallerStack(error);
  }
}
