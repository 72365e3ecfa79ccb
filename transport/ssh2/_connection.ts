/**
 * A connection over ssh2: what is true of it, and how it ends.
 *
 * @module
 */

import type { Duplex } from "node:stream";
// @ts-types="@types/ssh2"
import type { Client } from "ssh2";
import {
  checkExec,
  checkShellOptions,
  checkSpawn,
} from "../command/call_options.ts";
import type { Command } from "../command/command.ts";
import type {
  ClosedReason,
  Connection,
  Notice,
  RemoteListener,
  SpareChannels,
  Tunnel,
} from "../connector.ts";
import type {
  ExecOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
  SessionOptions,
  ShellOptions,
  SpawnOptions,
} from "../process.ts";
import { runCommand } from "../session/exec.ts";
import { startProcess } from "../session/process.ts";
import { discreet } from "../host/redacted.ts";
import { ConnectionLostError } from "../errors.ts";
import { serverError } from "../session/server_text.ts";
import type { Sftp } from "../sftp/sftp.ts";
import { hostName, type ResolvedHost } from "../host/host.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";
import type { LostDetails } from "./_channel.ts";
import { ChannelTable } from "./_channel_table.ts";
import type { CommandContext } from "./_command.ts";
import { internalsOf } from "./fence/version_check.ts";
import { type KeepaliveOptions, startKeepalive } from "./_keepalive.ts";
import { Session } from "./_session.ts";
import {
  commandRequest,
  type SessionRequest,
  shellRequest,
} from "./_session_request.ts";
import { openSftp } from "./_sftp.ts";
import { ProcessHold } from "./_process_hold.ts";
import { PromptAcks } from "./_prompt_acks.ts";
import { RemoteForwards } from "./_remote_forward.ts";
import { TIMES, type Times } from "./_times.ts";
import { openTunnel } from "./_tunnel.ts";

/** How long the farewell may take to be sent. */
const CLOSE_MS = 1000;

/** What a connection is made of. */
export interface ConnectionParts {
  readonly host: ResolvedHost;
  readonly client: Client;
  readonly socket: Duplex;
  readonly keepalive: KeepaliveOptions;
  /** How long to wait for what. */
  readonly times?: Times | undefined;
  readonly onNotice?: ((notice: Notice) => void) | undefined;
}

/** Old dropbear ends a session channel that is left unused. */
const KEEPS_SPARES = /^OpenSSH_/;

/**
 * Versions of dropbear that lose sessions which overlap on one connection: the
 * command runs, and its output and status never come.
 */
const ONE_SESSION = /^dropbear_(2022\.8[2-9]|2023\.|2024\.8[0-5])/;

/** An authenticated connection over ssh2. */
export class Ssh2Connection implements Connection {
  readonly host: ResolvedHost;
  readonly closed: Promise<ClosedReason>;
  readonly #name: string;
  /** How the server calls itself. */
  readonly #server: string;
  readonly #client: Client;
  readonly #socket: Duplex;
  readonly #context: CommandContext;
  readonly maxSessions?: number;
  readonly #channels: ChannelTable;
  readonly #hold: ProcessHold;
  #reason: ClosedReason | undefined;
  #tellClosed!: (reason: ClosedReason) => void;
  #lastError: (Error & { code?: unknown; level?: string }) | undefined;
  #closing: Promise<void> | undefined;
  #remoteForwards: RemoteForwards | undefined;

  constructor(parts: ConnectionParts) {
    this.host = discreet(parts.host);
    this.#name = hostName(parts.host);
    this.#client = parts.client;
    this.#socket = parts.socket;
    this.closed = new Promise((resolve) => this.#tellClosed = resolve);
    this.#hold = new ProcessHold(parts.socket);
    const raw = internalsOf(parts.client);
    this.#channels = new ChannelTable(raw, {
      host: this.#name,
      hold: this.#hold,
      acks: new PromptAcks(raw, parts.socket),
      timeouts: parts.times ?? TIMES,
      hasSpares: KEEPS_SPARES.test(raw._remoteVer ?? ""),
      lost: (doing, details) => this.#lost(doing, details),
      onBroken: (error) => this.#onBroken(error),
    });
    this.#server = raw._remoteVer ?? "";
    if (ONE_SESSION.test(this.#server)) this.maxSessions = 1;
    this.#context = this.#makeContext(parts);
    this.#watch();
    startKeepalive(raw, parts.socket, parts.keepalive, (error) => {
      this.#lastError ??= error;
      parts.socket.destroy();
    });
  }

  get isClosed(): boolean {
    return this.#reason !== undefined;
  }

  get isFailing(): boolean {
    return this.#channels.isFailing;
  }

  get spares(): SpareChannels | undefined {
    return this.#channels.spares;
  }

  get openChannels(): number {
    return this.#channels.sessions;
  }

  // Not async: this is the warm path, and each turn of the loop counts.
  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    options?: ExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    if (this.isClosed) return Promise.reject(this.#lost("run the command"));
    try {
      const call = checkExec(command, options);
      const request = commandRequest(call, this.#server);
      return runCommand(
        this.#name,
        call.options,
        (listener) =>
          new Session(this.#context, request, call.options, listener),
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async spawn(
    command: Command,
    options?: SpawnOptions,
  ): Promise<RemoteProcess> {
    if (this.isClosed) throw this.#lost("run the command");
    const call = checkSpawn(command, options);
    const request = commandRequest(call, this.#server);
    return await this.#start(request, call.options);
  }

  async shell(given?: ShellOptions): Promise<RemoteProcess> {
    if (this.isClosed) throw this.#lost("start the shell");
    const { options } = checkShellOptions(given);
    return await this.#start(shellRequest(options), options);
  }

  forwardOut(
    target: ForwardTarget,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    if (this.isClosed) return Promise.reject(this.#lost("open a tunnel"));
    return openTunnel(this.#channels, target, {
      host: this.#name,
      lost: (doing) => this.#lost(doing),
      signal: options.signal,
    });
  }

  sftp(options: { readonly signal?: AbortSignal } = {}): Promise<Sftp> {
    if (this.isClosed) return Promise.reject(this.#lost("start SFTP"));
    return openSftp(this.#context, options.signal);
  }

  forwardIn(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<RemoteListener> {
    const doing = `listen on ${JSON.stringify(targetName(listen))}`;
    if (this.isClosed) return Promise.reject(this.#lost(doing));
    this.#remoteForwards ??= new RemoteForwards({
      client: this.#client,
      table: this.#channels,
      host: this.#name,
      lost: (doing) => this.#lost(doing),
      closed: this.closed,
    });
    return this.#remoteForwards.listen(listen, onConnection, options.signal);
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #start(
    request: SessionRequest,
    options: SessionOptions,
  ): Promise<RemoteProcess> {
    const { signal } = options;
    const { stallMs } = this.#context;
    return startProcess(
      { signal, pty: request.pty, stallMs },
      (listener) => new Session(this.#context, request, options, listener),
    );
  }

  #makeContext(
    { onNotice, times = TIMES }: ConnectionParts,
  ): CommandContext {
    return {
      table: this.#channels,
      name: this.#name,
      env: this.host.env ?? {},
      acceptedEnv: new Map(),
      onEnvRefused: (name) =>
        onNotice?.({
          code: "env-refused",
          message: `The server refuses to set the variable ${
            JSON.stringify(name)
          } of the host: it is not in AcceptEnv of its sshd_config`,
        }),
      socket: this.#socket,
      stallMs: times.stallMs,
      lost: (doing, details) => this.#lost(doing, details),
    };
  }

  #watch(): void {
    // Both listeners stay for good: an error that nobody listens to would end
    // the process, and errors do come late.
    this.#client.on("error", (error) => this.#onError(error));
    this.#socket.on("error", (error) => this.#onError(error));
    // Any of these is the end. "finish" is ssh2 hanging up, after a message
    // that it could not read or a farewell; the peer may never answer that.
    for (const event of ["end", "finish", "close"]) {
      this.#socket.on(event, () => this.#end(this.#endReason()));
    }
  }

  #onError(error: Error): void {
    this.#lastError ??= serverError(error);
    // ssh2 emits before it ends or destroys the socket; and some errors it
    // survives. What it did to the socket says which.
    queueMicrotask(() => {
      if (this.#socket.writableEnded || this.#socket.destroyed) {
        this.#end(this.#endReason());
      }
    });
  }

  #onBroken(error: unknown): void {
    this.#lastError ??= error instanceof Error
      ? error
      : new Error(String(error));
    // Not in this turn: whoever just asked for a channel does not hold it yet.
    queueMicrotask(() => this.#end(this.#endReason()));
  }

  #endReason(): ClosedReason {
    const error = this.#lastError;
    if (error === undefined) {
      return { kind: "remote", message: "the server closed the connection" };
    }
    // The number is the reason code of the server's DISCONNECT.
    if (error.level === undefined && typeof error.code === "number") {
      return {
        kind: "remote",
        message: `the server disconnected: ${error.message}`,
      };
    }
    return { kind: "lost", message: error.message, cause: error };
  }

  #end(reason: ClosedReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    if (reason.kind !== "local") this.#socket.destroy();
    this.#channels.end();
    this.#tellClosed(reason);
  }

  #lost(
    doing: string,
    { why: given, ...details }: LostDetails = {},
  ): ConnectionLostError {
    const reason = this.#reason;
    const why = given !== undefined && reason === undefined
      ? given
      : reason === undefined || reason.kind === "local"
      ? "the connection was closed on this side"
      : reason.kind === "remote"
      ? reason.message
      : `the connection was lost: ${reason.message}`;
    return new ConnectionLostError(
      `Cannot ${doing} on ${JSON.stringify(this.#name)}: ${why}`,
      {
        ...details,
        host: this.#name,
        ...reason?.kind === "lost" ? { cause: reason.cause } : {},
      },
    );
  }

  async #close(): Promise<void> {
    const socket = this.#socket;
    const isOver = this.isClosed;
    // The caller waits for the end of the stream.
    this.#hold.take();
    this.#end({ kind: "local" });
    if (!isOver) {
      try {
        this.#client.end();
        await settles(socket, "finish", CLOSE_MS);
      } catch {
        // It could not say farewell. It is closed all the same.
      }
    }
    // ssh2's own destroy() does nothing after its end().
    socket.destroy();
    await settles(socket, "close", CLOSE_MS);
  }
}

function settles(
  socket: Duplex,
  event: "finish" | "close",
  withinMs: number,
): Promise<void> {
  const isDone = () =>
    socket.closed || (event === "finish" && socket.writableFinished);
  if (isDone()) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.off(event, done);
      socket.off("close", done);
      resolve();
    };
    const timer = setTimeout(done, withinMs);
    socket.once(event, done);
    socket.once("close", done);
  });
}
