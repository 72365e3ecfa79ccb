/**
 * The pool, and its handles for one host, as their users see them.
 *
 * @module
 */

import type { Command } from "../transport/command/command.ts";
import type { Connection, Connector } from "../transport/connector.ts";
import type { Forward } from "../transport/forward/forward.ts";
import type { HostLike } from "../transport/host/host.ts";
import type {
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
} from "../transport/process.ts";
import type { Sftp } from "../transport/sftp/sftp.ts";
import type { TransferResult } from "../transport/sftp/transfer/options.ts";
import type { ForwardTarget } from "../transport/host/target.ts";
import type { ShellValue } from "../transport/command/template.ts";
import { acquire, getConnection, warm } from "./calls/acquire.ts";
import { CallTarget } from "./calls/call.ts";
import { exec, shell, spawn } from "./calls/commands.ts";
import { fanOut } from "./calls/fan_out.ts";
import { connect, forward } from "./calls/forward.ts";
import { route } from "./calls/route.ts";
import { lendSftp } from "./calls/sftp_sessions.ts";
import { downloadFiles, uploadFiles } from "./calls/transfer.ts";
import { PoolCore } from "./core/pool_core.ts";
import type { PoolStats } from "./telemetry/events.ts";
import type {
  FanOut,
  FanOutCommandOptions,
  FanOutOptions,
  FanOutWork,
  WarmResult,
} from "./fan_out.ts";
import type { ForwardOptions, PoolTunnel } from "./forward.ts";
import type { Lease } from "./lease.ts";
import type {
  AcquireOptions,
  CloseOptions,
  ConnectionPoolOptions,
  ExecOptions,
  ExecResultOf,
  PoolSftpOptions,
  PoolTransferOptions,
  ShellOptions,
  SpawnOptions,
} from "./options.ts";
import {
  type TemplateOptions,
  type TemplateResult,
  type TemplateTag,
  templateTag,
} from "./template.ts";

/**
 * An SSH connection pool. Concurrent callers for one host await one dial,
 * commands share a few connections, and every promise settles.
 *
 * Calls that need a connection may fail with these errors, beside their own:
 *
 * - {@linkcode DialError} if the dial fails; its subclasses are
 *   {@linkcode AuthenticationError} and {@linkcode HostKeyError};
 * - {@linkcode SshConfigError} if ssh_config cannot be read or used;
 * - {@linkcode HostCooldownError} if the host failed a moment ago;
 * - {@linkcode AcquireTimeoutError} if there is no connection or no slot in time;
 * - {@linkcode ChannelOpenError} if the server refuses the channel as such;
 * - {@linkcode ConnectionLostError} if the connection ends first;
 * - {@linkcode PoolClosedError} if the pool is closed;
 * - `TypeError` and `RangeError` if an argument is wrong; nothing was dialled;
 * - the reason of the signal, if it aborts. An abort frees this caller only:
 *   others that wait for the same dial are not touched, and the last one to
 *   leave ends the dial.
 *
 * @example Many commands, few connections
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { EmbeddedServer } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = await EmbeddedServer.start();
 * await using pool = new ConnectionPool();
 * const results = await Promise.all(
 *   Array.from({ length: 50 }, (_, i) => pool.exec(server.host(), `echo ${i}`)),
 * );
 * assertEquals(results[49]?.stdout, "49\n");
 * ```
 */
export class ConnectionPool implements AsyncDisposable {
  /** What telemetry calls this pool: the option `name`. */
  readonly name: string;
  readonly #core: PoolCore;

  /**
   * Makes a pool. Nothing is dialled and no file is read yet.
   *
   * @param options The limits, and where hosts come from.
   * @throws {TypeError | RangeError} If an option is unknown or out of range.
   */
  constructor(
    options: ConnectionPoolOptions & { readonly connector: Connector },
  ) {
    this.#core = new PoolCore(this, options);
    this.name = this.#core.name;
  }

  /** Live connections. */
  get size(): number {
    return this.#core.connections.size;
  }

  /** The names of the hosts that have a connection, as `user@host:port`. */
  get activeHosts(): string[] {
    return [...new Set([...this.#core.connections].map(({ name }) => name))];
  }

  /**
   * Returns a host with every verb of the pool bound to it.
   *
   * @param host The host. It is looked up with the first call.
   * @returns The handle. It holds no connection and needs no closing.
   * Nothing is thrown here: a wrong host is the error of its first call.
   */
  host(host: HostLike): HostHandle {
    return new HostHandle(this.#core, host);
  }

  /**
   * Returns a connection to the host: the one that everybody shares, or a new
   * one. Channels that are opened on it take slots, as those of the pool do.
   *
   * @param options The signal and the timeout.
   * @returns The connection. It stays the pool's: do not close it, unless it
   * is to end for everybody.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  getConnection(host: HostLike, options?: AcquireOptions): Promise<Connection> {
    return getConnection(this.#core, host, options);
  }

  /**
   * Returns the host as a connection that is none of its own: each of its
   * channels takes a slot, waits its turn, and runs on whichever connection
   * there is. It outlives the connections of the host, and ends when it is
   * closed, or with the pool. For what takes a {@linkcode Connection}, such as
   * a worker that serves other programs.
   *
   * @param options The signal and the timeout, up to when the host was dialled.
   * @returns The route. Closing it stops what runs on it, and no connection.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   *
   * @example Usage
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool/pool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   * import { assertEquals } from "@std/assert";
   *
   * const connector = new MemoryConnector();
   * await using pool = new ConnectionPool({ connector });
   * const route = await pool.route("ops@web-1");
   * connector.dropAll();
   * assertEquals((await route.exec("echo up")).stdout, "up\n");
   * await route.close();
   * ```
   */
  route(host: HostLike, options?: AcquireOptions): Promise<Connection> {
    return route(new CallTarget(this.#core, host), options);
  }

  /**
   * Borrows a slot: the right to open one session channel.
   *
   * @param options The signal and the timeout.
   * @returns The lease; give it back with `release()` or `using`.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  acquire(host: HostLike, options?: AcquireOptions): Promise<Lease> {
    return acquire(this.#core, host, options);
  }

  /**
   * Runs a command and collects its output, as text or, with `encoding`, as
   * bytes. A non-zero exit is a result, not an error, unless `check` is set.
   *
   * What cannot have run is tried again by the pool; a command that was sent
   * is repeated only if it is `idempotent`.
   *
   * @param command The command; an array is quoted for a POSIX shell.
   * @param options Input, limits, environment, signal and timeouts.
   * @returns How it ended, and what it wrote.
   * @throws {CommandError} If `check` is set and the exit code is not 0.
   * @throws {ExecTimeoutError} If it runs longer than `timeoutMs`.
   * @throws {OutputLimitError} If it writes more than `maxOutputBytes`.
   * @throws {EnvironmentRefusedError} If the server refuses a variable.
   * @throws {ChannelClosedError} If the server ends it without saying how.
   * @throws {SudoError} If `sudo` refuses.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  exec<Encoding extends OutputEncoding = "text", All extends boolean = false>(
    host: HostLike,
    command: Command,
    options?: ExecOptions<Encoding> & { readonly all?: All },
  ): Promise<ExecResultOf<Encoding, All>> {
    return exec(new CallTarget(this.#core, host), command, options);
  }

  /**
   * Starts a command and gives its streams. Its slot is taken until its
   * channel is closed.
   *
   * @param command The command; an array is quoted for a POSIX shell.
   * @param options Terminal, environment, signal and timeout.
   * @returns The process.
   * @throws {EnvironmentRefusedError} If the server refuses a variable.
   * @throws {SudoError} If `sudo` refuses.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  spawn(
    host: HostLike,
    command: Command,
    options?: SpawnOptions,
  ): Promise<RemoteProcess> {
    return spawn(new CallTarget(this.#core, host), command, options);
  }

  /**
   * Starts the login shell of the user in a terminal. Its slot is taken until
   * its channel is closed.
   *
   * @param options Size and kind of the terminal, environment, signal, timeout.
   * @returns The process; `resize()` tells it a new size.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  shell(host: HostLike, options?: ShellOptions): Promise<RemoteProcess> {
    return shell(new CallTarget(this.#core, host), options);
  }

  /**
   * Gives an SFTP session. Callers for one host share one; it is kept for the
   * next caller, and ends when its slot is needed for something else. With
   * `sudo` it is that of another user, and of this caller alone.
   *
   * @param options The signal, up to when there is a session, the timeout, sudo.
   * @returns The session; close it, or use `await using`.
   * @throws {SudoError} If `sudo` refuses.
   * @throws {SftpError} If the server does not speak SFTP version 3.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  sftp(host: HostLike, options?: PoolSftpOptions): Promise<Sftp> {
    return lendSftp(new CallTarget(this.#core, host), options);
  }

  /**
   * Copies a local file or a tree to the host. No file has its name there
   * before all of it is there.
   *
   * @param local The file or folder to copy.
   * @param remote What it is to be on the host: the path itself, not the folder
   * that it goes into.
   * @param options Concurrency, attributes, links, resuming, progress, signal.
   * @returns What was copied.
   * @throws {SftpError} If the server refuses, or the source changes.
   * @throws {Error} What `node:fs` throws for a local file.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  upload(
    host: HostLike,
    local: string,
    remote: string,
    options?: PoolTransferOptions,
  ): Promise<TransferResult> {
    return uploadFiles(
      new CallTarget(this.#core, host),
      local,
      remote,
      options,
    );
  }

  /**
   * Copies a file or a tree of the host to this side. No file has its name
   * here before all of it is here.
   *
   * @param remote The file or folder to copy.
   * @param local What it is to be here: the path itself.
   * @param options Concurrency, attributes, links, resuming, progress, signal.
   * @returns What was copied.
   * @throws {SftpError} If the server refuses, or the source changes.
   * @throws {Error} What `node:fs` throws for a local file.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  download(
    host: HostLike,
    remote: string,
    local: string,
    options?: PoolTransferOptions,
  ): Promise<TransferResult> {
    return downloadFiles(
      new CallTarget(this.#core, host),
      remote,
      local,
      options,
    );
  }

  /**
   * Opens a byte stream from the host to a target, as `ssh -W` does. It takes
   * no slot, and keeps its connection until it is closed.
   *
   * @param target `host:port` as the host sees it, or the path of one of its
   * unix sockets.
   * @param options The signal, up to when the stream is open, and the timeout.
   * @returns The stream; close it.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  connect(
    host: HostLike,
    target: string | ForwardTarget,
    options?: AcquireOptions,
  ): Promise<PoolTunnel> {
    return connect(new CallTarget(this.#core, host), target, options);
  }

  /**
   * Listens on this side, and leads each connection through the host: to one
   * target (`"local"`), or to where a SOCKS client says (`"dynamic"`). With
   * `"remote"` the host listens, and each of its connections is led to a target
   * on this side. A local listener dials with its first connection; one that
   * comes after the SSH connection was lost gets a new one.
   *
   * @param options Where to listen, and where to.
   * @returns The forward. It keeps the process alive until it, or the pool, is
   * closed; closing the pool ends it and its connections at once.
   * @throws {ForwardError} If it cannot listen there.
   * @throws {SshError} What every call may throw: see {@linkcode ConnectionPool}.
   */
  forward(host: HostLike, options: ForwardOptions): Promise<Forward> {
    return forward(new CallTarget(this.#core, host), options);
  }

  /** Works on many hosts, several at once, and yields each result when it is there. */
  fanOut<T, Entry extends HostLike = HostLike>(
    hosts: Iterable<Entry> | AsyncIterable<Entry>,
    work: FanOutWork<T, Entry>,
    options?: FanOutOptions<Entry>,
  ): FanOut<T, Entry>;
  /** Works on entries that have a host, such as those of an inventory. */
  fanOut<T, Entry>(
    entries: Iterable<Entry> | AsyncIterable<Entry>,
    work: FanOutWork<T, Entry>,
    options: FanOutOptions<Entry> & { host: (entry: Entry) => HostLike },
  ): FanOut<T, Entry>;
  /** Runs a command on many hosts in the same way, and collects its output. */
  fanOut<
    Encoding extends OutputEncoding = "text",
    Entry extends HostLike = HostLike,
  >(
    hosts: Iterable<Entry> | AsyncIterable<Entry>,
    command: Command,
    options?: FanOutCommandOptions<Encoding, Entry>,
  ): FanOut<ExecResult<Output<Encoding>>, Entry>;
  /** Runs a command on the hosts of entries. */
  fanOut<Encoding extends OutputEncoding = "text", Entry = unknown>(
    entries: Iterable<Entry> | AsyncIterable<Entry>,
    command: Command,
    options: FanOutCommandOptions<Encoding, Entry> & {
      host: (entry: Entry) => HostLike;
    },
  ): FanOut<ExecResult<Output<Encoding>>, Entry>;
  /**
   * Works on many hosts, several at once, and yields each result when it is
   * there. The failure of one host is its result and stops nothing.
   *
   * Leaving the loop and aborting stop what runs, and wait for it, a second at
   * most; closing the pool lets it end. None of them waits for the source of
   * the hosts.
   *
   * @param hosts The hosts; an async source is asked for one at a time.
   * @param work A command, or a function, whose signal aborts when the loop is
   * left.
   * @param options How many at once, how a command is run, progress, abort.
   * @returns The results: `for await` gives them as they come, `await` gives all
   * in the order of the hosts. For one of the two, once.
   * @throws {TypeError | RangeError} If an argument is wrong; nothing has run.
   * @throws {PoolClosedError} From the loop, if the pool closes before all hosts
   * were begun.
   * @throws From the loop: the signal's reason, or an error of the source.
   *
   * @example Usage
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool/pool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   *
   * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
   * for await (const result of pool.fanOut(["ops@a", "ops@b"], "echo up")) {
   *   console.log(result.name, result.ok ? result.value.stdout : result.error);
   * }
   * ```
   *
   * @example Entries of an inventory, and all results at once
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool/pool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   *
   * const inventory = [{ role: "web", ssh: "ops@a" }, { role: "db", ssh: "ops@b" }];
   * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
   * const results = await pool.fanOut(inventory, "echo up", {
   *   host: (entry) => entry.ssh,
   * });
   * for (const { host, ok } of results) console.log(host.role, ok);
   * ```
   */
  fanOut(
    hosts: Iterable<unknown> | AsyncIterable<unknown>,
    work: FanOutWork<unknown, never> | Command,
    options?: FanOutCommandOptions<OutputEncoding, never>,
  ): FanOut<unknown, unknown> {
    return fanOut(this.#core, hosts, work, options as never);
  }

  /**
   * Dials ahead, so that the first command finds a connection. A failure is a
   * result, not an error.
   *
   * @param hosts The hosts; all are dialled at once, as far as the limits go.
   * @param options The signal and the timeout.
   * @returns For each host, in order, whether it has a connection now, or
   * the error that {@linkcode ConnectionPool.getConnection} gives.
   */
  warm(
    hosts: Iterable<HostLike>,
    options?: AcquireOptions,
  ): Promise<WarmResult[]> {
    return warm(this.#core, hosts, options);
  }

  /**
   * Ends the connections of a host that there are now; what runs on them is
   * lost. Callers that wait get a fresh one.
   *
   * @returns Settles when they have ended.
   * @throws {TypeError | SshConfigError} If it cannot be looked up.
   */
  async removeConnection(host: HostLike): Promise<void> {
    await this.#core.endConnections(await this.#core.directory.find(host));
  }

  /**
   * Ends every connection that there is now; what runs on them is lost, and
   * callers that wait get a `PoolClosedError`. The pool stays usable.
   *
   * @returns Settles when they have ended.
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
   * @throws {TypeError | RangeError} If `drainTimeoutMs` is no duration.
   */
  async close(options?: CloseOptions): Promise<void> {
    await this.#core.close(options);
  }

  /** Ends the pool as `close()` does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Returns what the pool looks like now, and what it has counted. */
  stats(): PoolStats {
    return this.#core.stats();
  }
}

/**
 * One host of a pool. Each verb is that of {@linkcode ConnectionPool} without
 * its first parameter, and fails as that does. A handle holds no connection and
 * needs no closing: make as many as you like.
 *
 * The verbs need no `this`: `const { $, exec } = pool.host("web-1")` works.
 *
 * @example Work with one host
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool/pool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
 * const web = pool.host("ops@web-1");
 * const { stdout } = await web.exec(["echo", "hello"]);
 * assertEquals(stdout, "hello\n");
 * ```
 */
export class HostHandle {
  readonly #pool: PoolCore;
  readonly #host: HostLike;

  static {
    const { constructor: _, ...verbs } = Object.getOwnPropertyDescriptors(
      this.prototype,
    );
    for (const [name, verb] of Object.entries(verbs)) {
      Object.defineProperty(this.prototype, name, boundVerb(name, verb.value));
    }
  }

  /**
   * Handles come from `ConnectionPool.host()`.
   *
   * @ignore
   */
  constructor(pool: PoolCore, host: HostLike) {
    this.#pool = pool;
    this.#host = host;
  }

  /**
   * Returns a connection to the host, shared by all callers. See
   * {@linkcode ConnectionPool.getConnection}.
   */
  getConnection(options?: AcquireOptions): Promise<Connection> {
    return getConnection(this.#pool, this.#host, options);
  }

  /** Returns the host as a connection. See {@linkcode ConnectionPool.route}. */
  route(options?: AcquireOptions): Promise<Connection> {
    return route(new CallTarget(this.#pool, this.#host), options);
  }

  /** Borrows a slot. See {@linkcode ConnectionPool.acquire}. */
  acquire(options?: AcquireOptions): Promise<Lease> {
    return acquire(this.#pool, this.#host, options);
  }

  /** Runs a command and collects its output. See {@linkcode ConnectionPool.exec}. */
  exec<Encoding extends OutputEncoding = "text", All extends boolean = false>(
    command: Command,
    options?: ExecOptions<Encoding> & { readonly all?: All },
  ): Promise<ExecResultOf<Encoding, All>> {
    return exec(new CallTarget(this.#pool, this.#host), command, options);
  }

  /**
   * Runs a command that is written as a template. Each value means itself: it
   * is quoted, and an array becomes several words. See `sh`.
   *
   * @example Remove files whose names come from elsewhere
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool/pool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   * import { assertEquals } from "@std/assert";
   *
   * const connector = new MemoryConnector({ commands: { rm: {} } });
   * await using pool = new ConnectionPool({ connector });
   * const web = pool.host("ops@web-1");
   * await web.$`rm -f ${["a b.txt", "$(reboot)"]}`;
   * assertEquals(connector.calls[0]?.command, "rm -f 'a b.txt' '$(reboot)'");
   * ```
   *
   * @example Options, and output in the shape that is wanted
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool/pool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   * import { assertEquals } from "@std/assert";
   *
   * const commands = { "git log": { stdout: "one\ntwo\n" } };
   * const connector = new MemoryConnector({ commands });
   * await using pool = new ConnectionPool({ connector });
   * const { $ } = pool.host("ops@web-1");
   * const inApp = $({ cwd: "/srv/app" });
   * assertEquals(await inApp`git log`.lines(), ["one", "two"]);
   * ```
   *
   * @returns How the command ended, and what it wrote as text; `$(options)` a
   *   tag that has these options.
   * @throws {CommandError} If the exit code is not 0, unless `nothrow` is set.
   * @throws {TypeError} If a value cannot be quoted where it stands.
   */
  $(
    strings: TemplateStringsArray,
    ...values: readonly ShellValue[]
  ): TemplateResult;
  /** Makes a tag that has these options beside its own. */
  $(options: TemplateOptions): TemplateTag;
  $(
    first: TemplateStringsArray | TemplateOptions,
    ...values: readonly ShellValue[]
  ): TemplateResult | TemplateTag {
    const run = this.exec.bind(this);
    return templateTag(run, {})(first as TemplateStringsArray, ...values);
  }

  /** Starts a command and gives its streams. See {@linkcode ConnectionPool.spawn}. */
  spawn(command: Command, options?: SpawnOptions): Promise<RemoteProcess> {
    return spawn(new CallTarget(this.#pool, this.#host), command, options);
  }

  /** Starts a login shell in a terminal. See {@linkcode ConnectionPool.shell}. */
  shell(options?: ShellOptions): Promise<RemoteProcess> {
    return shell(new CallTarget(this.#pool, this.#host), options);
  }

  /** Gives an SFTP session. See {@linkcode ConnectionPool.sftp}. */
  sftp(options?: PoolSftpOptions): Promise<Sftp> {
    return lendSftp(new CallTarget(this.#pool, this.#host), options);
  }

  /** Copies a local file or a tree to the host. See {@linkcode ConnectionPool.upload}. */
  upload(
    local: string,
    remote: string,
    options?: PoolTransferOptions,
  ): Promise<TransferResult> {
    return uploadFiles(
      new CallTarget(this.#pool, this.#host),
      local,
      remote,
      options,
    );
  }

  /** Copies a file or a tree of the host to this side. See {@linkcode ConnectionPool.download}. */
  download(
    remote: string,
    local: string,
    options?: PoolTransferOptions,
  ): Promise<TransferResult> {
    return downloadFiles(
      new CallTarget(this.#pool, this.#host),
      remote,
      local,
      options,
    );
  }

  /** Opens a byte stream from the host to a target. See {@linkcode ConnectionPool.connect}. */
  connect(
    target: string | ForwardTarget,
    options?: AcquireOptions,
  ): Promise<PoolTunnel> {
    return connect(new CallTarget(this.#pool, this.#host), target, options);
  }

  /** Leads connections through the host. See {@linkcode ConnectionPool.forward}. */
  forward(options: ForwardOptions): Promise<Forward> {
    return forward(new CallTarget(this.#pool, this.#host), options);
  }
}

/**
 * Returns a verb of a handle that is bound when it is first read: most handles
 * use one or two of them, and to bind all took longer than a warm
 * `getConnection()`.
 */
function boundVerb(
  name: string,
  // deno-lint-ignore ban-types
  verb: Function,
): PropertyDescriptor & ThisType<HostHandle> {
  // Like a method: not shown by console.log(), and a test can replace it.
  const define = (handle: object, value: unknown) =>
    Object.defineProperty(handle, name, {
      value,
      configurable: true,
      writable: true,
    });
  return {
    configurable: true,
    get() {
      const bound = verb.bind(this);
      define(this, bound);
      return bound;
    },
    set(value) {
      define(this, value);
    },
  };
}
