/**
 * The script of a `MemoryConnector`: what its hosts do, and what it records.
 *
 * @module
 */

import type { Connection } from "../../connector.ts";
import type { ResolvedHost } from "../../host/host.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
} from "../../process.ts";
import type { SftpRequest } from "../sftp_server/request.ts";
import type { ForwardTarget } from "../../host/target.ts";
import type { CommandHandler, Commands } from "../scripts/command_script.ts";
import type { MemoryFiles } from "../files/memory_files.ts";
import type { Outcome } from "../scripts/outcome.ts";

/** A connection in memory, as a script sees it: it can be broken. */
export interface ScriptedConnection extends Connection {
  /** Session channels that were asked for so far. */
  readonly channelsAsked: number;
  /** The forwards that were opened through it, as `hostname:port` or a path. */
  readonly forwards: readonly string[];
  /** Ends it as if the link had failed. */
  drop(message?: string): void;
  /** Ends it as if the server had said goodbye. */
  dropByServer(message?: string): void;
  /** Makes it a black hole: no answer to anything. */
  freeze(): void;
  /** Ends a freeze; what hung goes on. */
  thaw(): void;
}

/** The far end of a forward: what a scripted target has of it. */
export interface TargetContext {
  /** The host that the forward goes through, as `user@host:port`. */
  readonly host: string;
  /** The target, as `hostname:port` or a path. */
  readonly target: string;
  /** What the client sends; ends at its end of file. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What is sent to the client. */
  readonly writable: WritableStream<Uint8Array>;
  /** Aborts when the forward has ended. */
  readonly signal: AbortSignal;
}

/**
 * What listens at the far end of a forward, called for each connection. The
 * forward ends when it returns; if it throws, the client's end breaks off.
 */
export type TargetHandler = (context: TargetContext) => void | Promise<void>;

/**
 * What forwards can reach: a table by `hostname:port` or by the path of a unix
 * socket, where `"*"` stands for all others, or a function that is asked for
 * each. What is not there is refused, as a closed port is.
 */
export type Targets =
  | Readonly<Record<string, TargetHandler>>
  | ((target: string, host: string) => TargetHandler | undefined);

/** Options for `MemoryConnector`: the script of its hosts. */
export interface MemoryConnectorOptions {
  /**
   * How long a dial takes, in milliseconds; 0 sets no timer.
   *
   * @default {0}
   */
  dialMs?: number | ((host: ResolvedHost, attempt: number) => number);
  /**
   * How long the network takes from here to the hosts and back, in
   * milliseconds; 0 sets no timer. A dial takes 5 round trips beside `dialMs`,
   * as over ssh2; a channel, a command, a forward and an SFTP request take one
   * each, and a command on a spare channel saves that of the channel. What goes
   * over streams that are open takes no time.
   *
   * @default {0}
   */
  roundTripMs?: number;
  /**
   * Sessions that the server allows on one connection. Beyond them it refuses
   * with reason 2, "open failed", as OpenSSH does.
   *
   * @default {Infinity}
   */
  maxSessions?: number | ((host: ResolvedHost) => number);
  /**
   * How long after a channel's end its session still counts against
   * `maxSessions`, in milliseconds: sshd frees it when it has seen our CLOSE.
   *
   * @default {0}
   */
  reapMs?: number;
  /**
   * The same in turns of the microtask queue, which needs no timer.
   *
   * @default {0}
   */
  reapTurns?: number;
  /**
   * Whether connections can open session channels ahead of need, as over ssh2
   * to OpenSSH. A busy pool then asks for more channels than it has commands.
   *
   * @default {false}
   */
  spareChannels?: boolean;
  /**
   * What the commands do. A command is looked up as the caller gave it: `cwd`,
   * `login` and `sudo` do nothing here, and are in `MemoryConnector.calls`.
   */
  commands?: Commands;
  /**
   * What the login shell does. Its terminal is in the context, and its
   * `command` is empty. Default: it runs each line that it reads as a command
   * of `commands`, up to `exit`; it prints no prompt.
   */
  shell?: CommandHandler;
  /**
   * Names of the environment variables that the server lets a client set: `*`
   * and `?` are wildcards. Others are refused, as with a `request` over SSH: a
   * call that has them rejects with an `EnvironmentRefusedError`. The default is
   * what Linux distributions configure.
   *
   * @default {["LANG", "LC_*"]}
   */
  acceptEnv?: readonly string[];
  /**
   * The files of SFTP sessions: the same for all hosts, or those of each;
   * `false` refuses SFTP. Default: each host and user has its own, with a home
   * and a `/tmp`, which `MemoryConnector.files()` gives.
   */
  files?:
    | MemoryFiles
    | false
    | ((host: ResolvedHost) => MemoryFiles | false | undefined);
  /**
   * What forwards can reach. Default: everything, and it sends back what it
   * gets. What a remote forward listens on can be reached in any case, through
   * the same host.
   */
  targets?: Targets;
  /** Asked at each dial; `attempt` counts the dials of this host from 1. */
  onDial?: (host: ResolvedHost, attempt: number) => Outcome;
  /** Asked at each session channel; `n` counts those of the connection from 1. */
  onOpen?: (connection: ScriptedConnection, n: number) => Outcome;
  /** Asked when a command's request is sent; the command of a shell is empty. */
  onExec?: (command: string, connection: ScriptedConnection) => Outcome;
  /** Asked when a command has ended, before its channel closes. */
  onChannelClose?: (
    command: string,
    connection: ScriptedConnection,
  ) => Outcome;
  /**
   * Asked before each request of an SFTP session, in their order. An error is
   * the answer (a `FileError` says with which status), and what waits holds up
   * all behind it.
   */
  onSftpRequest?: (
    request: SftpRequest,
    connection: ScriptedConnection,
  ) => Outcome;
  /** Asked at each forward. */
  onForward?: (
    connection: ScriptedConnection,
    target: ForwardTarget,
  ) => Outcome;
  /** Asked when the host is to listen, for a remote forward. */
  onListen?: (
    connection: ScriptedConnection,
    listen: ForwardTarget,
  ) => Outcome;
  /**
   * Asked when `close()` is called. An error is swallowed; `"never"` breaks
   * the treaty, to show what a caller of a broken adapter does.
   */
  onClose?: (connection: ScriptedConnection) => Outcome;
}

/** One call of a connection, for assertions. */
export interface MemoryCall {
  /** The method that was called. */
  readonly kind:
    | "exec"
    | "spawn"
    | "shell"
    | "sftp"
    | "subsystem"
    | "forwardOut"
    | "forwardIn";
  /** The host, as `user@host:port`. */
  readonly host: string;
  /** The command line, or the name of the subsystem; empty where there is none. */
  readonly command: string;
  /** Of a forward: where it leads to, or where the host listens. */
  readonly target?: string;
  /** The options of the call. */
  readonly options:
    | ConnectionExecOptions
    | ConnectionSpawnOptions
    | ConnectionShellOptions;
}

/** What a memory connection reports to its connector. */
export interface MemoryReports {
  called(call: MemoryCall): void;
  channelOpened(openChannels: number): void;
  connectionEnded(connection: ScriptedConnection): void;
}
