/**
 * The connections of a {@linkcode MemoryConnector}.
 *
 * @module
 */

import { checkExec, checkSpawn } from "../call_options.ts";
import type { Command } from "../command.ts";
import type {
  ClosedReason,
  Connection,
  ConnectOptions,
  Tunnel,
} from "../connector.ts";
import type {
  ExecOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
  SpawnOptions,
} from "../process.ts";
import { discreet } from "../discreet.ts";
import { hostName, type ResolvedHost } from "../host.ts";
import type { CommandResult, CommandScript } from "./command_script.ts";
import { requireScript } from "./commands.ts";
import { Freeze } from "./_freeze.ts";
import { pass } from "./_gate.ts";
import {
  lost,
  passOrRefuse,
  refused,
  STEPS,
  timedOut,
  tooLong,
} from "./_memory_errors.ts";
import { ServerSessions } from "./_server_sessions.ts";
import { MemoryChannel, resultOf, statusOf } from "./_memory_channel.ts";
import { MemoryTunnel } from "./_memory_tunnel.ts";
import type { MemoryConnectorOptions } from "./memory_connector.ts";

/** What a memory connection reports to its connector. */
type Reports = ConstructorParameters<typeof MemoryConnection>[1]["reports"];

/**
 * A server answers in the order in which it was asked. What it confirms takes
 * up to this many turns of the microtask queue, so what it refuses waits as long.
 */
const REFUSAL_TURNS = 10;
/** The default of `maxOutputBytes`, as over SSH. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const TURN = Promise.resolve();

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
export class MemoryConnection implements Connection {
  /** The host it leads to. */
  readonly host: ResolvedHost;
  /** Resolves when it has ended, with why. */
  readonly closed: Promise<ClosedReason>;
  /** Whether it has ended, or is ending. */
  isClosed = false;
  /** Session channels that are open or being opened. */
  openChannels = 0;
  /** The most session channels that were ever open at once. */
  peakChannels = 0;
  /** Session channels that were asked for so far. */
  channelsAsked = 0;
  /** The forwards that were opened through it, as `hostname:port`. */
  readonly forwards: string[] = [];
  readonly #options: MemoryConnectorOptions;
  readonly #reports: Reports;
  readonly #name: string;
  readonly #connect: ConnectOptions;
  readonly #channels: Set<MemoryChannel> = new Set();
  readonly #tunnels: Set<MemoryTunnel> = new Set();
  readonly #sessions = new ServerSessions();
  readonly #freeze: Freeze;
  readonly #end: AbortController = new AbortController();
  #ended!: (reason: ClosedReason) => void;
  #closing: Promise<void> | undefined;

  /** Made by {@linkcode MemoryConnector.connect}. */
  constructor(
    host: ResolvedHost,
    parts: {
      options: MemoryConnectorOptions;
      reports: {
        called: (host: string, command: string, options: SpawnOptions) => void;
        channelOpened: (connection: MemoryConnection) => void;
        connectionEnded: (connection: MemoryConnection) => void;
      };
      connect: ConnectOptions;
    },
  ) {
    this.host = discreet(host);
    this.#options = parts.options;
    this.#name = hostName(host);
    this.#reports = parts.reports;
    this.#connect = parts.connect;
    this.closed = new Promise((resolve) => this.#ended = resolve);
    this.#freeze = new Freeze(
      parts.connect,
      () => this.drop("keepalive probes were not answered"),
    );
  }

  /** Runs a scripted command and collects its output. */
  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    given?: ExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    try {
      const { command: line, options } = checkExec(command, given);
      this.#reports.called(this.#name, line, options);
      const script = this.#isPlain(options)
        ? requireScript(line, this.#options.commands, this.#name)
        : undefined;
      // Without gates a command takes one turn of the microtask queue, so that
      // a bench over this connection measures the pool.
      const result = typeof script === "object"
        ? this.#execPlain(script, options)
        : this.#execGated(line, options);
      // It is what `encoding` says.
      return result as Promise<ExecResult<Output<Encoding>>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Starts a scripted command and gives its streams. */
  async spawn(
    command: Command,
    given?: SpawnOptions,
  ): Promise<RemoteProcess> {
    const { command: line, options } = checkSpawn(command, given);
    this.#reports.called(this.#name, line, options);
    options.signal?.throwIfAborted();
    const channel = this.#open(line) ?? await this.#refuse();
    const stop = () => channel.fail(options.signal?.reason);
    options.signal?.addEventListener("abort", stop, { once: true });
    const forget = () => options.signal?.removeEventListener("abort", stop);
    channel.status.then(forget, forget);
    await this.#start(channel, options);
    return channel;
  }

  /**
   * Opens a forward, which echoes what is written to it. A connection that is
   * made over it (`options.tunnel`) lives as long as this one.
   */
  async forwardOut(
    target: { readonly hostname: string; readonly port: number },
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    options.signal?.throwIfAborted();
    if (this.isClosed) throw lost(this.#name, "it is closed");
    const ends = [this.#end.signal];
    if (options.signal !== undefined) ends.push(options.signal);
    const signal = AbortSignal.any(ends);
    if (this.#freeze.isFrozen) await this.#freeze.wait(signal);
    const gate = this.#options.onForward?.(this, target);
    if (gate !== undefined) {
      await passOrRefuse(gate, signal, this.#name, STEPS.forward);
    }
    return this.#tunnel(`${target.hostname}:${target.port}`);
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
    if (!this.isClosed) this.#freeze.begin();
  }

  /** Ends a freeze; what hung goes on. */
  thaw(): void {
    this.#freeze.end();
  }

  /** Closes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #isPlain(options: ExecOptions): boolean {
    const { onOpen, onExec, onChannelClose } = this.#options;
    return onOpen === undefined && onExec === undefined &&
      onChannelClose === undefined && !this.#freeze.isFrozen &&
      options.stdin === undefined && options.maxOutputBytes === undefined;
  }

  async #execPlain(
    script: CommandResult,
    options: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>> {
    options.signal?.throwIfAborted();
    if (!this.#take()) await this.#refuse();
    try {
      await TURN;
      if (this.isClosed) throw this.#end.signal.reason;
      options.signal?.throwIfAborted();
      options.onOpen?.();
      options.signal?.throwIfAborted();
      return resultOf(statusOf(script), script, options, this.#name);
    } finally {
      this.#give();
    }
  }

  async #execGated(
    line: string,
    options: ExecOptions,
  ): Promise<ExecResult<string | Uint8Array>> {
    const { signal, timeoutMs, maxOutputBytes = MAX_OUTPUT_BYTES } = options;
    signal?.throwIfAborted();
    const channel = this.#open(line) ?? await this.#refuse();
    const stop = () => channel.fail(signal?.reason);
    signal?.addEventListener("abort", stop, { once: true });
    const timer = timeoutMs === undefined ? undefined : setTimeout(
      () => channel.fail(timedOut(channel, this.#name, timeoutMs)),
      timeoutMs,
    );
    let bytes = 0;
    try {
      await this.#start(channel, options);
      const result = await channel.collect(options.stdin, (more) => {
        bytes += more;
        if (bytes > maxOutputBytes) {
          channel.fail(tooLong(this.#name, maxOutputBytes));
        }
      });
      return resultOf(result, result, options, this.#name);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Sends the open request, then the command: a gate before each. */
  async #start(channel: MemoryChannel, options: SpawnOptions): Promise<void> {
    const { onOpen, onExec, onChannelClose, commands } = this.#options;
    const signal = channel.signal;
    let script: CommandScript;
    try {
      if (this.#freeze.isFrozen) await this.#freeze.wait(signal);
      const n = this.channelsAsked;
      const open = onOpen?.(this, n);
      await passOrRefuse(open, signal, this.#name, STEPS.open);
      options.onOpen?.();
      signal.throwIfAborted();
      channel.sent = true;
      const exec = onExec?.(channel.line, this);
      await passOrRefuse(exec, signal, this.#name, STEPS.exec);
      script = requireScript(channel.line, commands, this.#name);
    } catch (error) {
      channel.fail(error);
      throw error;
    }
    const env = { ...this.host.env, ...options.env };
    channel.run(script, { env, host: this.#name }, async () => {
      if (this.#freeze.isFrozen) await this.#freeze.wait(signal);
      await pass(onChannelClose?.(channel.line, this), signal);
    });
  }

  #open(line: string): MemoryChannel | undefined {
    if (!this.#take()) return undefined;
    const channel = new MemoryChannel(line, {
      release: (ended) => {
        this.#channels.delete(ended);
        this.#give();
      },
    });
    this.#channels.add(channel);
    return channel;
  }

  /** Looks and takes in one go, as the server does when the request arrives. */
  #take(): boolean {
    if (this.isClosed) throw lost(this.#name, "it is closed");
    this.channelsAsked++;
    const { maxSessions = Infinity } = this.#options;
    const limit = typeof maxSessions === "function"
      ? maxSessions(this.host)
      : maxSessions;
    if (!this.#sessions.tryTake(limit)) return false;
    this.openChannels++;
    this.peakChannels = Math.max(this.peakChannels, this.openChannels);
    this.#reports.channelOpened(this);
    return true;
  }

  async #refuse(): Promise<never> {
    for (let i = 0; i < REFUSAL_TURNS; i++) await TURN;
    throw refused(this.#name);
  }

  #give(): void {
    this.openChannels--;
    if (!this.isClosed) this.#sessions.give(this.#options);
  }

  #tunnel(target: string): Tunnel {
    const tunnel = new MemoryTunnel(target);
    this.forwards.push(target);
    this.#tunnels.add(tunnel);
    tunnel.closed.then(() => this.#tunnels.delete(tunnel));
    return tunnel;
  }

  async #close(): Promise<void> {
    if (this.isClosed) return;
    this.#cut("it was closed on this side");
    try {
      await pass(this.#options.onClose?.(this), new AbortController().signal);
    } catch {
      // The treaty: close() never rejects.
    }
    this.#ended({ kind: "local" });
    this.#reports.connectionEnded(this);
  }

  #finish(reason: Exclude<ClosedReason, { kind: "local" }>): void {
    if (this.isClosed) return;
    this.#cut(reason.message);
    this.#ended(reason);
    this.#reports.connectionEnded(this);
  }

  /** Fails all that is in flight, and stops every timer. */
  #cut(message: string): void {
    this.isClosed = true;
    this.#end.abort(lost(this.#name, message));
    for (const channel of [...this.#channels]) {
      channel.fail(lost(this.#name, message, channel));
    }
    for (const tunnel of this.#tunnels) tunnel.close();
    this.#sessions.end();
    this.#freeze.stop();
    this.#connect.tunnel?.close();
  }
}
