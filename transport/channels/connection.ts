/**
 * A connection over any transport: what is true of it, and how it ends.
 *
 * @module
 */

import { checkShellOptions, checkSpawn } from "../command/call_options.ts";
import type { Command } from "../command/command.ts";
import { checkSubsystem, SIGNAL_OPTIONS } from "../connect_options.ts";
import type {
  ClosedReason,
  Connection,
  ConnectionAlgorithms,
  Notice,
  RemoteListener,
  SpareChannels,
  Tunnel,
} from "../connector.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
  SessionOptions,
} from "../process.ts";
import { execCommand } from "../session/exec.ts";
import { startProcess } from "../session/process.ts";
import { redacted } from "../host/redacted.ts";
import { ConnectionLostError } from "../errors.ts";
import type { Sftp } from "../sftp/sftp.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";
import { checkTarget, type ForwardTarget, targetName } from "../host/target.ts";
import type { LostDetails } from "./_lost.ts";
import { ChannelTable } from "./_channel_table.ts";
import type { SessionContext } from "./_command.ts";
import { Session } from "./_session.ts";
import {
  commandRequest,
  type SessionRequest,
  shellRequest,
} from "./_session_request.ts";
import { openSftp } from "./_sftp.ts";
import { SocketRef } from "./_socket_ref.ts";
import { RemoteForwards } from "./_remote_forward.ts";
import { serverText } from "../session/server_text.ts";
import { type ForwardedAgent, serveAgent } from "./_agent_channels.ts";
import { Keepalive, type KeepaliveOptions } from "./_keepalive.ts";
import type { PacketTransport } from "./packet_transport.ts";
import { TIMES, type Times } from "./times.ts";
import { openSubsystem, openTunnel } from "./_tunnel.ts";

/** What a connection is made of. */
export interface ConnectionParts {
  readonly host: ResolvedHost;
  readonly transport: PacketTransport;
  readonly keepalive: KeepaliveOptions;
  /** The agent that is forwarded to the host, if one is. */
  readonly agent?: Pick<ForwardedAgent, "path"> | undefined;
  /** How long to wait for what. */
  readonly times?: Times | undefined;
  readonly onNotice?: ((notice: Notice) => void) | undefined;
}

/** The longest banner that RFC 4253 allows. */
const MAX_SOFTWARE_LENGTH = 255;

/**
 * Keeps a session channel that is left unused, which old dropbear ends, and
 * names the status of each command.
 */
const IS_OPENSSH = /^OpenSSH_/;

/** How soon after a channel its connection ends, for the same reason. */
const ENDS_TOO_MS = 100;

/**
 * Versions of dropbear that lose sessions which overlap on one connection: the
 * command runs, and its output and status never come.
 */
const ONE_SESSION = /^dropbear_(2022\.8[2-9]|2023\.|2024\.8[0-5])/;

/**
 * An authenticated connection. Made where nothing can arrive in between the
 * login and this, or with a transport that keeps what does.
 */
export class ChannelConnection implements Connection {
  readonly host: ResolvedHost;
  readonly closed: Promise<ClosedReason>;
  readonly #name: string;
  /** How the server calls itself. */
  readonly #server: string;
  readonly #transport: PacketTransport;
  readonly #context: SessionContext;
  readonly maxSessions?: number;
  readonly #channels: ChannelTable;
  readonly #socketRef: SocketRef;
  readonly #keepalive: Keepalive;
  #reason: ClosedReason | undefined;
  #tellClosed!: (reason: ClosedReason) => void;
  #closing: Promise<void> | undefined;
  #remoteForwards: RemoteForwards | undefined;

  constructor(parts: ConnectionParts) {
    this.host = redacted(parts.host);
    this.#name = hostLabel(parts.host);
    const transport = this.#transport = parts.transport;
    this.closed = new Promise((resolve) => this.#tellClosed = resolve);
    this.#socketRef = new SocketRef(transport);
    this.#server = transport.software;
    this.#channels = new ChannelTable(transport, {
      host: this.#name,
      socketRef: this.#socketRef,
      timeouts: parts.times ?? TIMES,
      hasSpares: IS_OPENSSH.test(this.#server),
      lost: this.#lost,
      onBroken: (error) => transport.destroy(error),
    });
    if (ONE_SESSION.test(this.#server)) this.maxSessions = 1;
    this.#context = this.#makeContext(parts);
    const { globals } = this.#channels;
    const keepalive = this.#keepalive = new Keepalive(
      // Where global requests do not pass, the transport has its own.
      transport.hasGlobalRequests
        ? parts.keepalive
        : { intervalMs: 0, countMax: 0 },
      () => globals.ask("keepalive@openssh.com", [], () => {}),
      (error) => transport.destroy(error),
    );
    transport.start({
      onPayload: (payload) => {
        keepalive.heard();
        this.#channels.onPayload(payload);
      },
      onData: (id, data) => {
        keepalive.heard();
        this.#channels.onData(id, data);
      },
      onDrain: () => this.#channels.onDrain(),
      onEnd: (reason) => this.#end(reason),
    });
  }

  get serverSoftware(): string | undefined {
    return serverText(this.#server, MAX_SOFTWARE_LENGTH) || undefined;
  }

  get algorithms(): ConnectionAlgorithms | undefined {
    return this.#transport.algorithms;
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
    options?: ConnectionExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return execCommand(this.#name, command, options, (call, listener) => {
      if (this.isClosed) throw this.#lost("run the command");
      const request = commandRequest(call, this.#server);
      return new Session(this.#context, request, call.options, listener);
    });
  }

  async spawn(
    command: Command,
    options?: ConnectionSpawnOptions,
  ): Promise<RemoteProcess> {
    if (this.isClosed) throw this.#lost("run the command");
    const call = checkSpawn(command, options);
    const request = commandRequest(call, this.#server);
    return await this.#start(request, call.options);
  }

  async shell(given?: ConnectionShellOptions): Promise<RemoteProcess> {
    if (this.isClosed) throw this.#lost("start the shell");
    const { options } = checkShellOptions(given);
    return await this.#start(shellRequest(options), options);
  }

  async forwardOut(
    target: ForwardTarget,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    const to = checkTarget(target);
    if (this.isClosed) throw this.#lost("open a tunnel");
    return await openTunnel(this.#channels, to, {
      host: this.#name,
      lost: this.#lost,
      signal,
    });
  }

  async sftp(
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Sftp> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    if (this.isClosed) throw this.#lost("start SFTP");
    return await openSftp(this.#context, signal);
  }

  async subsystem(
    name: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    checkSubsystem(name);
    if (this.isClosed) {
      throw this.#lost(`start the subsystem ${JSON.stringify(name)}`);
    }
    return await openSubsystem(this.#channels, name, {
      host: this.#name,
      lost: this.#lost,
      signal,
    });
  }

  async forwardIn(
    address: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<RemoteListener> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    const listen = checkTarget(address, "address to listen on");
    const doing = `listen on ${JSON.stringify(targetName(listen))}`;
    if (this.isClosed) throw this.#lost(doing);
    const { transport } = this.#channels;
    if (transport.listen !== undefined) {
      return await transport.listen(listen, onConnection, signal);
    }
    this.#remoteForwards ??= new RemoteForwards({
      table: this.#channels,
      host: this.#name,
      lost: this.#lost,
      closed: this.closed,
    });
    return await this.#remoteForwards.listen(listen, onConnection, signal);
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
    const { stallMs } = this.#context;
    return startProcess(
      { host: this.#name, options, pty: request.pty, stallMs },
      (listener) => new Session(this.#context, request, options, listener),
    );
  }

  #makeContext(
    { agent: given, onNotice, times = TIMES }: ConnectionParts,
  ): SessionContext {
    const agent = given && { ...given, isForwarded: false };
    if (agent !== undefined) serveAgent(this.#channels, agent, this.#lost);
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
      agent,
      stallMs: times.stallMs,
      lost: this.#lost,
      namesStatus: IS_OPENSSH.test(this.#server),
      endsToo: () => this.#endsToo(),
    };
  }

  #endsToo(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ENDS_TOO_MS);
      this.closed.then(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #end(reason: ClosedReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#keepalive.stop();
    this.#channels.end();
    this.#tellClosed(reason);
  }

  readonly #lost = (
    doing: string,
    { why: given, ...details }: LostDetails = {},
  ): ConnectionLostError => {
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
  };

  async #close(): Promise<void> {
    // The caller waits for the end of the stream.
    this.#socketRef.take();
    this.#end({ kind: "local" });
    await this.#transport.close();
  }
}
