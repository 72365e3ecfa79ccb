/**
 * A connection whose host is dialled by a worker: a route to that worker.
 *
 * @module
 */

import { onAbort } from "../abort.ts";
import {
  checkShellOptions,
  checkSpawn,
  terminalOf,
} from "../command/call_options.ts";
import type { Command } from "../command/command.ts";
import { checkSubsystem, SIGNAL_OPTIONS } from "../connect_options.ts";
import type {
  ClosedReason,
  Connection,
  RemoteListener,
  Tunnel,
} from "../connector.ts";
import { ConnectionLostError, DialError } from "../errors.ts";
import type { ResolvedHost } from "../host/host.ts";
import { redacted } from "../host/redacted.ts";
import { checkTarget, type ForwardTarget, targetName } from "../host/target.ts";
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
import { serverText } from "../session/server_text.ts";
import { startSftpSoon } from "../sftp/over_tunnel.ts";
import type { Sftp } from "../sftp/sftp.ts";
import { sftpTransport, type StreamBytes, tunnelOf } from "./_bytes.ts";
import { listenThere, openBytes } from "./_client_bytes.ts";
import { dialFailureOf } from "./_failure.ts";
import { deferred, Frame, parseObject, Violation } from "./_frames.ts";
import type { Peer } from "./_peer.ts";
import {
  collectRequest,
  loginRequest,
  runRequest,
  type StreamRequest,
} from "./_requests.ts";
import {
  type ConnectionPart,
  FleetSession,
  type SessionOwner,
} from "./_session.ts";
import { Stream } from "./_stream.ts";

/** How long the reader of a full output has, once its process was sent a signal. */
const STALL_MS = 1_000;

const CLOSED_HERE = "the connection was closed on this side";

/** What a connection is made of. */
export interface FleetConnectionParts {
  readonly peer: Peer;
  readonly host: ResolvedHost;
  /** What the client calls the host. */
  readonly name: string;
  /** The subject of the worker. */
  readonly worker: string;
  readonly ticket: string;
  /** Whether a password for `sudo` may go over the bus. */
  readonly sendsPasswords: boolean;
  /** Gives what a tracer wants to send along. */
  readonly trace: () => unknown;
}

/** A connection over the bus. */
export class FleetConnection implements Connection, SessionOwner {
  readonly host: ResolvedHost;
  readonly closed: Promise<ClosedReason>;
  readonly peer: Peer;
  readonly worker: string;
  isClosed = false;
  isFailing = false;
  isCrowded = false;
  openChannels = 0;
  serverSoftware?: string;
  readonly #parts: FleetConnectionParts;
  readonly #name: string;
  readonly #stream: Stream;
  readonly #open = new Set<ConnectionPart>();
  readonly #ready = deferred<void>();
  /** What was opened so far. */
  #opens = 0;
  #reason: ClosedReason | undefined;
  #tellClosed!: (reason: ClosedReason) => void;

  constructor(parts: FleetConnectionParts) {
    this.#parts = parts;
    this.host = redacted(parts.host);
    this.peer = parts.peer;
    this.worker = parts.worker;
    this.#name = parts.name;
    this.closed = new Promise((resolve) => this.#tellClosed = resolve);
    this.#ready.promise.catch(() => {});
    this.#stream = new Stream(parts.peer, parts.worker, parts.ticket, {
      frame: (type, payload) => this.#frame(type, payload),
      lost: ({ message }) => this.#onLost(message),
    }, true);
    this.#stream.sendJson(Frame.open, { kind: "connection" });
  }

  /**
   * Waits for the dial of the worker.
   *
   * @throws {SshError} What the worker says.
   * @throws The reason of the signal.
   */
  async dialled(signal: AbortSignal): Promise<this> {
    // Who waits for a dial hears as soon that its worker is gone as who waits for
    // a command.
    const leave = this.peer.attend(this.worker);
    const stop = onAbort(signal, () => this.#ready.reject(signal.reason));
    if (signal.aborted) this.#ready.reject(signal.reason);
    try {
      await this.#ready.promise;
      return this;
    } catch (error) {
      void this.close();
      throw error;
    } finally {
      leave();
      stop();
    }
  }

  /** Says why it will not be dialled. */
  refuse(error: DialError): void {
    this.#ready.reject(error);
  }

  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    given?: ConnectionExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return execCommand(this.#name, command, given, (call, listener) => {
      this.#check("run the command");
      const { command: line, options } = call;
      const { sendsPasswords } = this.#parts;
      const request = collectRequest(line, options, sendsPasswords);
      return new FleetSession(this, request, options, listener);
    });
  }

  async spawn(
    command: Command,
    given?: ConnectionSpawnOptions,
  ): Promise<RemoteProcess> {
    const { command: line, options } = checkSpawn(command, given);
    this.#check("run the command");
    const request = runRequest(line, options, this.#parts.sendsPasswords);
    return await this.#start(request, options, terminalOf(options.pty));
  }

  async shell(given?: ConnectionShellOptions): Promise<RemoteProcess> {
    const { options } = checkShellOptions(given);
    this.#check("start the shell");
    return await this.#start(loginRequest(options), options, options);
  }

  async sftp(options: { readonly signal?: AbortSignal } = {}): Promise<Sftp> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    this.#check("start SFTP");
    const bytes = await this.#subsystem("sftp", "use an SFTP session", signal);
    const host = this.#name;
    return await startSftpSoon(sftpTransport(bytes), { host, signal });
  }

  async subsystem(
    name: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    checkSubsystem(name);
    const doing = `use the subsystem ${JSON.stringify(name)}`;
    this.#check(doing);
    return tunnelOf(await this.#subsystem(name, doing, signal));
  }

  async forwardOut(
    target: ForwardTarget,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Tunnel> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    const request = { kind: "forward", target: checkTarget(target) };
    const doing = `open a tunnel to ${JSON.stringify(targetName(target))}`;
    this.#check(doing);
    return tunnelOf(await openBytes(this, request, doing, { signal }));
  }

  async forwardIn(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<RemoteListener> {
    const { signal } = SIGNAL_OPTIONS.check(options);
    const doing = `listen on ${JSON.stringify(targetName(listen))}`;
    this.#check(doing);
    return await listenThere(this, listen, onConnection, doing, signal);
  }

  close(): Promise<void> {
    if (!this.isClosed) {
      this.#stream.send(Frame.stop);
      this.#finish({ kind: "local" });
    }
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  add(part: ConnectionPart, isSession: boolean): void {
    this.#open.add(part);
    if (isSession) this.openChannels++;
  }

  remove(part: ConnectionPart, isSession: boolean): void {
    if (!this.#open.delete(part)) return;
    if (isSession) this.openChannels--;
    this.#endIfDrained();
  }

  /** Sends the frame that opens something on this connection. */
  sendOpen(stream: Stream, request: StreamRequest): void {
    const trace = this.#parts.trace();
    stream.sendJson(Frame.open, {
      connection: this.#parts.ticket,
      ...request,
      nth: ++this.#opens,
      ...trace !== undefined && { trace },
    });
  }

  lost(
    doing: string,
    why: string,
    details: Parameters<SessionOwner["lost"]>[2] = {},
  ): ConnectionLostError {
    return new ConnectionLostError(
      `Cannot ${doing} on ${JSON.stringify(this.#name)}: ${why}`,
      { host: this.#name, ...details },
    );
  }

  #check(doing: string): void {
    const reason = this.#reason;
    if (reason === undefined) return;
    const why = reason.kind === "local"
      ? CLOSED_HERE
      : `the connection has ended: ${reason.message}`;
    throw this.lost(doing, why);
  }

  #subsystem(
    name: string,
    doing: string,
    signal: AbortSignal | undefined,
  ): Promise<StreamBytes> {
    const request = { kind: "subsystem", name };
    return openBytes(this, request, doing, { signal, isSession: true });
  }

  #start(
    request: StreamRequest,
    options: SessionOptions,
    pty: ConnectionShellOptions | undefined,
  ): Promise<RemoteProcess> {
    return startProcess(
      { host: this.#name, options, pty, stallMs: STALL_MS },
      (listener) => new FleetSession(this, request, options, listener),
    );
  }

  #frame(type: number, payload: Uint8Array): void {
    switch (type) {
      case Frame.started: {
        const { software } = parseObject(payload);
        if (typeof software === "string" && software !== "") {
          this.serverSoftware = serverText(software, 255);
        }
        return this.#ready.resolve();
      }
      case Frame.fail:
        this.#ready.reject(dialFailureOf(payload, this.#name));
        return this.#finish({ kind: "remote", message: "the dial has failed" });
      case Frame.drain:
        this.isFailing = true;
        return this.#endIfDrained();
      case Frame.closed: {
        const { kind, message } = parseObject(payload);
        // What is open on it hears of its own end.
        return this.#finish({
          kind: kind === "lost" ? "lost" : "remote",
          message: typeof message === "string"
            ? serverText(message)
            : "the worker ended it",
        }, false);
      }
    }
    throw new Violation(`a frame of type ${type} for a connection`);
  }

  #onLost(message: string): void {
    this.#finish(
      { kind: "lost", message },
      true,
      `its worker was lost: ${message}`,
    );
  }

  #endIfDrained(): void {
    if (!this.isFailing || this.isClosed || this.#open.size > 0) return;
    this.#stream.send(Frame.stop);
    this.#finish({ kind: "remote", message: "its worker gives the host away" });
  }

  #finish(
    reason: ClosedReason,
    endsParts = true,
    why = "message" in reason ? reason.message : "it was closed",
  ): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#reason = reason;
    this.#stream.end();
    // Its worker may give the host away while it dials: another has it then.
    const host = this.#name;
    const failure = `Cannot connect to ${JSON.stringify(host)}: ${why}`;
    const details = { host, throttled: true };
    this.#ready.reject(new DialError("tcp", failure, details));
    if (endsParts) {
      const message = reason.kind === "local" ? CLOSED_HERE : reason.message;
      for (const part of [...this.#open]) {
        if (reason.kind === "lost" && part.isJustOpened) continue;
        part.lost({ message, isUndelivered: false });
      }
    }
    this.#tellClosed(reason);
  }
}
