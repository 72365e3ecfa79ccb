/**
 * The treaty between the pool and the transports: a {@linkcode Connector} has
 * one verb, and what it gives is a {@linkcode Connection}.
 *
 * @module
 */

import type { Command } from "./command/command.ts";
import type { ResolvedHost } from "./host/host.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
} from "./process.ts";
import type { Sftp } from "./sftp/sftp.ts";
import type { ForwardTarget } from "./host/target.ts";

/**
 * Makes connections. The pool never knows which adapter it talks to, so every
 * adapter keeps this treaty:
 *
 * - `connect` settles within `timeoutMs`, whatever the peer does, with an
 *   authenticated connection or a `DialError` that names the phase.
 * - `signal` covers the whole dial: on abort the promise rejects with the
 *   signal's reason and the socket is destroyed, not left to a timeout. After
 *   `connect` has resolved the signal means nothing.
 * - A failed dial leaves nothing behind: no socket, no timer, no listener, and
 *   no unhandled rejection, also when the peer's errors keep coming.
 * - An adapter does not retry, does not pool, and does not limit channels.
 *   Those are the pool's to decide.
 */
export interface Connector {
  /**
   * Whether `host.alias` decides how a host is reached, and is no mere label.
   * Then hosts that differ in it do not share connections.
   *
   * @default {false}
   */
  readonly usesAlias?: boolean;
  /**
   * Opens one connection.
   *
   * @param host Where to and as whom, with nothing left to look up.
   * @param options The signal, the deadline, and the tunnel if there is one.
   * @returns The connection, authenticated.
   */
  connect(host: ResolvedHost, options?: ConnectOptions): Promise<Connection>;
}

/** Options for {@linkcode Connector.connect}. */
export interface ConnectOptions {
  /** Aborts the dial and destroys its socket. No effect once connected. */
  readonly signal?: AbortSignal;
  /**
   * The deadline of the whole dial, in milliseconds.
   *
   * @default {20_000}
   */
  readonly timeoutMs?: number;
  /**
   * Time between keepalive probes, in milliseconds; 0 for none.
   *
   * @default {15_000}
   */
  readonly keepaliveIntervalMs?: number;
  /**
   * Unanswered probes before the connection counts as lost, which is then
   * after `(keepaliveCountMax + 1) * keepaliveIntervalMs` at the latest.
   *
   * @default {3}
   */
  readonly keepaliveCountMax?: number;
  /**
   * How long the server may take to answer the request for a channel, in
   * milliseconds; 0 for ever. Then the call rejects with a
   * `ConnectionLostError`, nothing has run, and {@linkcode Connection.isFailing}
   * is true. On a slow link that other channels keep busy the answer waits
   * behind their data: give it more time there.
   *
   * @default {20_000}
   */
  readonly channelOpenTimeoutMs?: number;
  /**
   * A byte stream to use instead of a TCP connection: a forward of a hop. The
   * connection owns it from here on, and closes it also when the dial fails.
   */
  readonly tunnel?: Tunnel;
  /**
   * Opens another tunnel to the same host, for an adapter that has to dial
   * again: a pinned host key may be of another type than the one that the
   * server has shown. It keeps to the deadline and the signal of the dial.
   */
  readonly openTunnel?: () => Promise<Tunnel>;
  /** Called with what is worth a line in a log and fails nothing. Must not throw. */
  readonly onNotice?: (notice: Notice) => void;
}

/** Something worth a line in a log that fails nothing. Holds no secret. */
export interface Notice {
  /** A stable identifier, such as `"host-key-accepted"` or `"insecure-host-key"`. */
  readonly code: string;
  /** One sentence for a person. */
  readonly message: string;
}

/** Why a connection is closed. */
export type ClosedReason =
  /** `close()` was called on this side. */
  | { readonly kind: "local" }
  /** The peer ended it in an orderly way. */
  | { readonly kind: "remote"; readonly message: string }
  /** The link failed: a reset, a keepalive unanswered, a protocol error. */
  | { readonly kind: "lost"; readonly message: string; readonly cause?: Error };

/** The algorithms of a connection, by the names that SSH gives them. */
export interface ConnectionAlgorithms {
  /** The key exchange, such as `"curve25519-sha256"`. */
  readonly kex: string;
  /** The type of the host key, such as `"ssh-ed25519"`. */
  readonly hostKey: string;
  /** The cipher to the server, such as `"aes128-gcm@openssh.com"`. */
  readonly cipher: string;
  /**
   * The code that authenticates each packet; `"<implicit>"`, as OpenSSH says,
   * if the cipher does that itself.
   */
  readonly mac: string;
}

/**
 * One authenticated SSH transport, which carries many channels.
 *
 * Every promise it gives settles: with a result, or, when the connection ends
 * first, with a `ConnectionLostError`, in the channel-open phase too.
 */
export interface Connection extends AsyncDisposable {
  /** The host it leads to. */
  readonly host: ResolvedHost;
  /**
   * Whether it has ended. Synchronous and true from the moment the end is
   * known: the pool reads it on the warm path.
   */
  readonly isClosed: boolean;
  /**
   * Whether the server has stopped to answer requests for channels, although
   * the link is up. Nothing new should be opened on it; what runs may run on.
   * The connection ends, as lost, when the last of its channels has ended.
   * Absent where an adapter does not watch for that.
   */
  readonly isFailing?: boolean;
  /** Resolves when the connection has ended, with why. Never rejects. */
  readonly closed: Promise<ClosedReason>;
  /**
   * How the server calls itself, as `OpenSSH_9.2p1 Debian-2`; absent where the
   * adapter does not know. It is what a stranger says: show it, trust nothing
   * to it.
   */
  readonly serverSoftware?: string | undefined;
  /**
   * What the first key exchange agreed on; absent where the adapter does not
   * know.
   */
  readonly algorithms?: ConnectionAlgorithms | undefined;
  /**
   * Session channels that are open or being opened, spare ones included.
   * Forwards do not count.
   */
  readonly openChannels: number;
  /**
   * How many sessions the server can serve at once, where it is known from the
   * first; absent where nothing is known. Some versions of dropbear lose
   * sessions that overlap: it is 1 for them.
   */
  readonly maxSessions?: number;
  /**
   * Session channels that are opened ahead of need; absent where the adapter
   * cannot, or the server does not keep them.
   */
  readonly spares?: SpareChannels | undefined;
  /**
   * Runs a command and collects its output.
   *
   * @throws {ChannelOpenError} If the server refuses the channel; nothing ran.
   * @throws {ConnectionLostError} If the connection ends first.
   * @throws {ExecTimeoutError} If `timeoutMs` runs out.
   * @throws {OutputLimitError} If the output outgrows `maxOutputBytes`.
   */
  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    options?: ConnectionExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>>;
  /**
   * Starts a command and gives its streams.
   *
   * @throws {ChannelOpenError} If the server refuses the channel; nothing ran.
   * @throws {ConnectionLostError} If the connection ends first.
   */
  spawn(
    command: Command,
    options?: ConnectionSpawnOptions,
  ): Promise<RemoteProcess>;
  /**
   * Starts the login shell of the user in a terminal. Absent where the adapter
   * cannot.
   *
   * @throws {ChannelOpenError} If the server refuses the channel or the terminal.
   * @throws {ConnectionLostError} If the connection ends first.
   */
  shell?(options?: ConnectionShellOptions): Promise<RemoteProcess>;
  /**
   * Opens a connection from the host to a target, as `ssh -W` does: to a TCP
   * port or to a unix socket of the host. Absent where the adapter cannot.
   *
   * @throws {ChannelOpenError} If the server refuses.
   * @throws {ConnectionLostError} If the connection ends first.
   */
  forwardOut?(
    target: ForwardTarget,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel>;
  /**
   * Starts an SFTP session on a session channel of its own. Absent where the
   * adapter cannot. The session ends with the connection.
   *
   * @throws {ChannelOpenError} If the server refuses the channel or SFTP.
   * @throws {SftpError} If the server does not speak SFTP version 3.
   * @throws {ConnectionLostError} If the connection ends first.
   */
  sftp?(options?: { readonly signal?: AbortSignal }): Promise<Sftp>;
  /**
   * Starts a subsystem of the server, such as `"sftp"`, on a session channel of
   * its own, and gives its bytes. What it writes to standard error is dropped.
   * A pool serves SFTP over it where {@linkcode Connection.sftp} is absent.
   * Absent where the adapter cannot.
   *
   * @param name Its name, as the server knows it.
   * @param options The signal, up to when it has started.
   * @returns Its bytes; the channel is open until they are closed.
   * @throws {ChannelOpenError} If the server refuses the channel or the name.
   * @throws {ConnectionLostError} If the connection ends first.
   */
  subsystem?(
    name: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Tunnel>;
  /**
   * Lets the host listen, as `ssh -R` does, and gives a tunnel for each
   * connection that it takes. The host listens until the listener is closed
   * or the connection ends. Absent where the adapter cannot.
   *
   * `onConnection` owns the tunnels; if it throws, the tunnel is closed. An
   * adapter may leave a tunnel unopened until one of its streams is asked for,
   * so that the host sends nothing before there is somebody to take it.
   *
   * @throws {ForwardError} If the server refuses, or does not answer in time.
   * @throws {ConnectionLostError} If the connection ends first.
   */
  forwardIn?(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    options?: { readonly signal?: AbortSignal },
  ): Promise<RemoteListener>;
  /**
   * Ends the connection: what is in flight on it is lost. Idempotent; settles
   * in bounded time and never rejects.
   */
  close(): Promise<void>;
}

/**
 * Session channels that are open and unused. The next command, shell or SFTP
 * session of the connection uses one of them if there is one, and so saves
 * a round trip; which one is decided when it begins, in the same turn.
 */
export interface SpareChannels {
  /** How many are open and unused. The next session channel takes one. */
  readonly count: number;
  /**
   * Opens one.
   *
   * @returns Settles when the server has answered.
   * @throws {ChannelOpenError} If the server refuses.
   * @throws {ConnectionLostError} If the connection ends first.
   */
  open(): Promise<void>;
  /**
   * Closes one that is unused, if there is one.
   *
   * @returns Settles when the server has closed it too: its session is free then.
   */
  close(): Promise<void>;
}

/** A listener on a host, made by {@linkcode Connection.forwardIn}. */
export interface RemoteListener {
  /** Where it listens, with the port that the server chose if 0 was asked for. */
  readonly address: ForwardTarget;
  /** Resolves when it has ended: closed, or its connection ended. Never rejects. */
  readonly closed: Promise<void>;
  /**
   * Stops listening; tunnels that are open stay open. Idempotent, never
   * rejects, and settles in bounded time.
   */
  close(): Promise<void>;
}

/** A two-way byte stream: to a target through a hop, or to a subsystem. */
export interface Tunnel {
  /** What the target sends. Ends when the target or the hop ends. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What is sent to the target. */
  readonly writable: WritableStream<Uint8Array>;
  /** Resolves when the tunnel has ended, from whichever side. Never rejects. */
  readonly closed: Promise<void>;
  /** Ends it, in both directions. Idempotent, never throws. */
  close(): void;
}
