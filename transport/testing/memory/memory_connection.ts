/**
 * The connections of a `MemoryConnector`.
 *
 * @module
 */

import {
  checkExec,
  checkShellOptions,
  checkSpawn,
  shellTerminal,
} from "../../command/call_options.ts";
import { abortable } from "../../abort.ts";
import { checkSubsystem, SIGNAL_OPTIONS } from "../../connect_options.ts";
import { type Command, commandLine } from "../../command/command.ts";
import type {
  ClosedReason,
  RemoteListener,
  SpareChannels,
  Tunnel,
} from "../../connector.ts";
import { redacted } from "../../host/redacted.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
  SessionOptions,
} from "../../process.ts";
import { runCommand } from "../../session/exec.ts";
import { startProcess } from "../../session/process.ts";
import { startSftp } from "../../sftp/open_session.ts";
import type { Sftp } from "../../sftp/sftp.ts";
import {
  checkTarget,
  type ForwardTarget,
  targetName,
} from "../../host/target.ts";
import type { CommandResult } from "../scripts/command_script.ts";
import { requireScript } from "../scripts/commands.ts";
import type { MemoryFiles } from "../files/memory_files.ts";
import { pass } from "../scripts/outcome.ts";
import { MemoryChannels, type MemoryChannelsParts } from "./_channels.ts";
import { refused } from "./_errors.ts";
import { MemoryForwards } from "./_forwards.ts";
import type { MemoryHost } from "./_host.ts";
import { type MemoryRequest, requestOf, resultOf } from "./_request.ts";
import { MemorySession } from "./_session.ts";
import { openSftpPipe, pipeTunnel, type SftpPipe } from "./_sftp_pipe.ts";
import type {
  MemoryCall,
  ScriptedConnection,
} from "./memory_connector_options.ts";

/** How long the reader of a full output has, once its process was sent a signal. */
const STALL_MS = 1_000;
const TURN = Promise.resolve();

/** What a memory connection is made of. */
export interface MemoryConnectionParts extends MemoryChannelsParts {
  /** What the connections to this server share. */
  readonly server: () => MemoryHost;
  /** The files of its SFTP sessions. */
  readonly files: () => MemoryFiles | undefined;
}

/**
 * A connection without a network, which behaves as `Connection` says. A test
 * can break it: {@linkcode MemoryConnection.drop}, `freeze` and `thaw`.
 *
 * @example Lose a connection under a command
 * ```ts
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector();
 * const host = { hostname: "db1", port: 22, user: "ops" };
 * const connection = await connector.connect(host);
 * const running = connection.exec("cat", { stdin: new ReadableStream() });
 * connection.drop("cable cut");
 * await assertRejects(() => running, Error, "cable cut");
 * ```
 */
export class MemoryConnection implements ScriptedConnection {
  /** The host it leads to. */
  readonly host: ResolvedHost;
  /** Resolves when it has ended, with why. */
  readonly closed: Promise<ClosedReason>;
  /** Whether it has ended, or is ending. */
  isClosed = false;
  readonly #parts: MemoryConnectionParts;
  readonly #name: string;
  readonly #channels: MemoryChannels;
  readonly #hasHostEnv: boolean;
  #forwards: MemoryForwards | undefined;
  #ended!: (reason: ClosedReason) => void;
  #closing: Promise<void> | undefined;

  /** Made by `MemoryConnector.connect()`. */
  constructor(host: ResolvedHost, parts: MemoryConnectionParts) {
    this.host = redacted(host);
    this.#name = hostLabel(host);
    this.#parts = parts;
    this.#hasHostEnv = host.env !== undefined;
    this.closed = new Promise((resolve) => this.#ended = resolve);
    this.#channels = new MemoryChannels(this.#name, this, parts);
  }

  /** Session channels that are open or being opened, spare ones included. */
  get openChannels(): number {
    return this.#channels.count;
  }

  /** Session channels that were asked for so far. */
  get channelsAsked(): number {
    return this.#channels.asked;
  }

  /** The forwards that were opened through it, as `hostname:port` or a path. */
  get forwards(): readonly string[] {
    return this.#forwards?.opened ?? [];
  }

  /** Session channels opened ahead of need, with the option `spareChannels`. */
  get spares(): SpareChannels | undefined {
    return this.#channels.spares;
  }

  /** Runs a scripted command and collects its output. */
  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    given?: ConnectionExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    try {
      const { command: own, options } = checkExec(command, given);
      const line = commandLine(own);
      this.#called("exec", line, options);
      if (this.isClosed) throw this.#channels.closed();
      const script = this.#isPlain(options)
        ? requireScript(line, this.#parts.options.commands, this.#name)
        : undefined;
      // Without gates a command takes one turn of the microtask queue, so that
      // a bench over this connection measures the pool.
      const result = typeof script === "object"
        ? this.#execPlain(script, options)
        : this.#execOnSession(requestOf(line, options, options.pty), options);
      // It is what `encoding` says.
      return result as Promise<ExecResult<Output<Encoding>>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Starts a scripted command and gives its streams. */
  async spawn(
    command: Command,
    given?: ConnectionSpawnOptions,
  ): Promise<RemoteProcess> {
    const { command: own, options } = checkSpawn(command, given);
    const line = commandLine(own);
    this.#called("spawn", line, options);
    return await this.#start(requestOf(line, options, options.pty), options);
  }

  /** Starts the scripted shell in a terminal. */
  async shell(given?: ConnectionShellOptions): Promise<RemoteProcess> {
    const { options } = checkShellOptions(given);
    this.#called("shell", "", options);
    const request = requestOf(undefined, options, shellTerminal(options));
    return await this.#start(request, options);
  }

  /** Starts an SFTP session on the files of the host. */
  async sftp(
    given: { readonly signal?: AbortSignal } = {},
  ): Promise<Sftp> {
    const options = SIGNAL_OPTIONS.check(given);
    this.#called("sftp", "", options);
    const { signal } = options;
    const pipe = await this.#openSftp("sftp", "SFTP", signal);
    return await startSftp(pipe, { host: this.#name, signal });
  }

  /** Starts a subsystem: there is `"sftp"`, on the files of the host. */
  async subsystem(
    name: string,
    given: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    const options = SIGNAL_OPTIONS.check(given);
    checkSubsystem(name);
    this.#called("subsystem", name, options);
    const what = `the subsystem ${JSON.stringify(name)}`;
    return pipeTunnel(await this.#openSftp(name, what, options.signal));
  }

  /**
   * Opens a forward to a scripted target; without `targets` it echoes what is
   * written to it. A connection that is made over it (`options.tunnel`) lives
   * as long as this one.
   */
  async forwardOut(
    target: ForwardTarget,
    given: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    const options = SIGNAL_OPTIONS.check(given);
    const to = checkTarget(target);
    this.#called("forwardOut", "", options, to);
    return await this.#forward().open(to, options.signal);
  }

  /**
   * Lets the host listen. What connects to the address is a `forwardOut()` to
   * it, on any connection to the same host.
   */
  async forwardIn(
    address: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    given: { readonly signal?: AbortSignal } = {},
  ): Promise<RemoteListener> {
    const options = SIGNAL_OPTIONS.check(given);
    const listen = checkTarget(address, "address to listen on");
    this.#called("forwardIn", "", options, listen);
    return await this.#forward().listen(listen, onConnection, options.signal);
  }

  /**
   * Ends it from this side. At once closed, and settled at once too, unless
   * the script's `onClose` says otherwise.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /**
   * Ends it as if the link had failed. All that is in flight is rejected and
   * `isClosed` is true when this returns.
   *
   * @param message What the errors say.
   */
  drop(message = "the link failed"): void {
    this.#finish({ kind: "lost", message });
  }

  /**
   * Ends it as if the server had said goodbye.
   *
   * @param message What the errors say.
   */
  dropByServer(message = "disconnected by the server"): void {
    this.#finish({ kind: "remote", message });
  }

  /**
   * Makes it a black hole: no answer to anything, until `thaw`, or until its
   * keepalive (the one that `connect` was given; none by default) finds out.
   */
  freeze(): void {
    if (!this.isClosed) this.#channels.freeze();
  }

  /** Ends a freeze; what hung goes on. */
  thaw(): void {
    this.#channels.thaw();
  }

  /** Closes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #called(
    kind: MemoryCall["kind"],
    command: string,
    options: MemoryCall["options"],
    address?: ForwardTarget,
  ): void {
    const call = { kind, host: this.#name, command, options };
    const target = address && { target: targetName(address) };
    this.#parts.reports.called({ ...call, ...target });
  }

  #openSftp(
    name: string,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<SftpPipe> {
    return openSftpPipe(this.#channels, () => {
      const files = name === "sftp" ? this.#parts.files() : undefined;
      if (files !== undefined) return files;
      const why = `the server refused the subsystem ${JSON.stringify(name)}`;
      throw refused(
        this.#name,
        { what: `Cannot start ${what}`, reason: 0 },
        why,
      );
    }, signal);
  }

  #isPlain(options: ConnectionExecOptions): boolean {
    const { onOpen, onExec, onChannelClose, roundTripMs = 0, spareChannels } =
      this.#parts.options;
    return onOpen === undefined && onExec === undefined &&
      onChannelClose === undefined && !this.#channels.isFrozen &&
      options.stdin === undefined && options.maxOutputBytes === undefined &&
      options.all === undefined && options.onStdout === undefined &&
      options.onStderr === undefined && options.stdout === undefined &&
      options.stderr === undefined &&
      options.env === undefined && !this.#hasHostEnv &&
      (options.pty === undefined || options.pty === false) &&
      roundTripMs === 0 && spareChannels !== true;
  }

  async #execPlain(
    script: CommandResult,
    options: ConnectionExecOptions,
  ): Promise<ExecResult<string | Uint8Array>> {
    const channels = this.#channels;
    options.signal?.throwIfAborted();
    if (!channels.tryTake()) await channels.refuse();
    try {
      await TURN;
      if (this.isClosed) throw channels.lost();
      options.signal?.throwIfAborted();
      const ready = options.onOpen?.();
      if (ready instanceof Promise) await abortable(ready, options.signal);
      if (this.isClosed) throw channels.lost();
      options.signal?.throwIfAborted();
      return resultOf(script, options, this.#name);
    } finally {
      channels.give();
    }
  }

  #execOnSession(
    request: MemoryRequest,
    options: ConnectionExecOptions,
  ): Promise<ExecResult<string | Uint8Array>> {
    return runCommand(
      this.#name,
      options,
      (listener) =>
        new MemorySession(this.#channels, request, options, listener),
    );
  }

  #start(
    request: MemoryRequest,
    options: SessionOptions,
  ): Promise<RemoteProcess> {
    if (this.isClosed) throw this.#channels.closed();
    return startProcess(
      { host: this.#name, options, pty: request.pty, stallMs: STALL_MS },
      (listener) =>
        new MemorySession(this.#channels, request, options, listener),
    );
  }

  #forward(): MemoryForwards {
    if (this.isClosed) throw this.#channels.closed();
    return this.#forwards ??= new MemoryForwards(
      this.#channels,
      this.#parts.server,
    );
  }

  async #close(): Promise<void> {
    if (this.isClosed) return;
    this.#cut("it was closed on this side");
    try {
      const { onClose } = this.#parts.options;
      await pass(onClose?.(this), new AbortController().signal);
    } catch {
      // The treaty: close() never rejects.
    }
    this.#ended({ kind: "local" });
    this.#parts.reports.connectionEnded(this);
  }

  #finish(reason: Exclude<ClosedReason, { kind: "local" }>): void {
    if (this.isClosed) return;
    this.#cut(reason.message);
    this.#ended(reason);
    this.#parts.reports.connectionEnded(this);
  }

  /** Fails all that is in flight, and stops every timer. */
  #cut(message: string): void {
    this.isClosed = true;
    this.#channels.end(message);
    this.#parts.connect.tunnel?.close();
  }
}
