/**
 * What is sent for a command: its line, its variables, and what `sudo` needs.
 *
 * @module
 */

import type { ConnectionSpawnOptions } from "../process.ts";
import { type Command, sentLine } from "./command.ts";
import { shellLine } from "./shell_line.ts";
import { type SudoCommand, sudoCommand } from "./sudo_command.ts";

/** What is sent for a command. */
export interface RemoteCommand {
  /** The line for the shell of the user who logs in. */
  readonly line: string;
  /** The variables that the server is asked to set. */
  readonly env: Readonly<Record<string, string>>;
  /** How to talk with `sudo`, if the command runs with it. */
  readonly sudo: SudoCommand | undefined;
}

const NONE: Readonly<Record<string, string>> = Object.freeze({});

/**
 * Says what is to be sent for a command.
 *
 * @param command The command, checked.
 * @param options Its options, which were checked.
 */
export function remoteCommand(
  command: Command,
  options: ConnectionSpawnOptions,
): RemoteCommand {
  const own = sentLine(command);
  const { cwd, env = NONE, envMode, login, sudo } = options;
  if (sudo !== undefined && sudo !== false) {
    // sudo drops the variables of the session: they take another way.
    const talk = sudoCommand(own, options);
    return { line: talk.line, env: NONE, sudo: talk };
  }
  const isInline = envMode === "inline";
  const line = shellLine(own, {
    cwd,
    login,
    env: isInline ? env : undefined,
  });
  return { line, env: isInline ? NONE : env, sudo: undefined };
}
