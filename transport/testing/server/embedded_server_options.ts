/**
 * What an embedded server does: its script and its switches.
 *
 * @module
 */

import type { AuthMethod } from "../../host/host.ts";
import type { SftpRequest } from "../sftp_server/request.ts";
import type { CommandHandler, Commands } from "../scripts/command_script.ts";
import type { MemoryFiles } from "../files/memory_files.ts";
import type { Outcome } from "../scripts/outcome.ts";

/** The user that is let in, unless the options name another. */
export const SERVER_USER = "ops";

/**
 * Options for {@linkcode EmbeddedServer.start}, each of which can be changed
 * later, through {@linkcode EmbeddedServer.options}. Where sshd_config has an
 * option for it, this one has its name.
 */
export interface EmbeddedServerOptions {
  /**
   * The user that is let in.
   *
   * @default {"ops"}
   */
  user?: string;
  /** A password that lets the user in. Default: the method is not offered. */
  password?: string;
  /** Public keys that let the user in, beside the generated one. */
  publicKeys?: readonly (string | Uint8Array)[];
  /** Questions whose answers let the user in. Default: not offered. */
  keyboardInteractive?: {
    readonly questions: readonly {
      readonly prompt: string;
      readonly answer: string;
      readonly echo?: boolean;
    }[];
  };
  /** Methods that are all needed, in this order. Default: any one will do. */
  requireMethods?: readonly AuthMethod[];
  /** Host keys, as private keys. Default: one that is made once per process. */
  hostKeys?: readonly string[];
  /** Algorithms to offer, best first. Default: those of ssh2. */
  algorithms?: {
    readonly kex?: readonly string[];
    readonly cipher?: readonly string[];
    readonly mac?: readonly string[];
  };
  /** What the commands do. */
  commands?: Commands;
  /**
   * What the login shell does. Its `command` is empty, and its terminal is in
   * the context if the client asked for one; `false` refuses shells. Default:
   * it runs each line that it reads as a command of `commands`, up to `exit`; it
   * prints no prompt.
   */
  shell?: CommandHandler | false;
  /**
   * The files of SFTP sessions, which all of them share; `false` refuses SFTP.
   * Default: an empty {@linkcode MemoryFiles}, which is
   * {@linkcode EmbeddedServer.files}.
   */
  files?: MemoryFiles | false;
  /**
   * Asked before each request of an SFTP session, in their order. An error is
   * the answer (a {@linkcode FileError} says with which status), and what waits
   * holds up all behind it.
   */
  onSftpRequest?: (request: SftpRequest) => Outcome;
  /**
   * Names of the environment variables that are accepted, as sshd's AcceptEnv
   * has them: `*` and `?` are wildcards. Others are refused.
   *
   * @default {["*"]}
   */
  acceptEnv?: readonly string[];
  /**
   * Sessions allowed on one connection. Beyond them the server refuses with
   * reason 2, and it frees one only when it has seen the client's CLOSE, both
   * as OpenSSH does.
   *
   * @default {Infinity}
   */
  maxSessions?: number;
  /** Wait this long before answering a new TCP connection, in milliseconds. */
  delayDialsMs?: number;
  /** Close each new connection before the banner, as sshd does beyond MaxStartups. */
  dropBeforeBanner?: boolean;
  /** Close each new connection after the banner. */
  dropAfterBanner?: boolean;
  /** Accept connections and never say a word. */
  neverBanner?: boolean;
  /** Refuse every session, with reason 2. */
  refuseSessions?: boolean;
  /** Never answer a request for a session. */
  neverOpen?: boolean;
  /** Wait this long before answering a request for a session, in milliseconds. */
  delayOpenMs?: number;
  /** Open sessions, but refuse the commands and shells on them. */
  refuseExec?: boolean;
  /** Close channels without an exit status. */
  exitWithoutStatus?: boolean;
  /**
   * Refuse each channel of a forward with reason 2, as if its target did, and to
   * listen. Else the server connects to any target, and listens, on
   * loopback addresses alone, as sshd does without `GatewayPorts`.
   */
  refuseForwards?: boolean;
}
