/**
 * What is asked of the server on a session channel.
 *
 * @module
 */

import {
  type CheckedCall,
  shellTerminal,
  terminalOf,
} from "../command/call_options.ts";
import { checkLength } from "../command/line_length.ts";
import { remoteCommand } from "../command/remote_command.ts";
import { loginShellLine } from "../command/shell_line.ts";
import type { SudoCommand } from "../command/sudo_command.ts";
import type {
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  PtyOptions,
} from "../process.ts";

/** A command or a shell, its variables and its terminal, as they are sent. */
export interface SessionRequest {
  /** What it is, for messages. */
  readonly what: "command" | "shell";
  /** The command line; `undefined` for the login shell of the user. */
  readonly line: string | undefined;
  /** The variables that the server must set; those of the host come beside them. */
  readonly env: Readonly<Record<string, string>>;
  /** The terminal, if it gets one. */
  readonly pty: PtyOptions | undefined;
  /** How to talk with `sudo`, if the command runs with it. */
  readonly sudo: SudoCommand | undefined;
}

const NO_ENV = Object.freeze({});

/**
 * The longest line that dropbear takes, in bytes; and the longest variable: it
 * ends the connection at a message of more than 35,000.
 */
const DROPBEAR = { line: 9000, variable: 30_000 };

/**
 * Makes the request of a command.
 *
 * @param call The command and its options, checked.
 * @param server How the server calls itself.
 * @throws {RangeError} If it is longer than this server takes.
 */
export function commandRequest(
  { command, options }: CheckedCall<ConnectionSpawnOptions>,
  server: string,
): SessionRequest {
  const request: SessionRequest = {
    what: "command",
    ...remoteCommand(command, options),
    pty: terminalOf(options.pty),
  };
  if (server.startsWith("dropbear")) {
    checkLength(request.line ?? "", DROPBEAR.line);
    for (const [name, value] of Object.entries(request.env)) {
      checkLength(name + value, DROPBEAR.variable, "a variable");
    }
  }
  return request;
}

/**
 * Makes the request of a shell.
 *
 * @param options Its options, checked.
 */
export function shellRequest(options: ConnectionShellOptions): SessionRequest {
  const { env = NO_ENV, envMode } = options;
  const isInline = envMode === "inline" && Object.keys(env).length > 0;
  return {
    what: "shell",
    // A shell that is asked for as such takes no variables along.
    line: isInline ? loginShellLine(env) : undefined,
    env: isInline ? NO_ENV : env,
    pty: shellTerminal(options),
    sudo: undefined,
  };
}
