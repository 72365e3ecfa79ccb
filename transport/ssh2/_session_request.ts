/**
 * What is asked of the server on a session channel.
 *
 * @module
 */

import { type Command, commandLine } from "../command.ts";
import type { PtyOptions, ShellOptions, SpawnOptions } from "../process.ts";

/** A command or a shell, its variables and its terminal, as they are sent. */
export interface SessionRequest {
  /** The command line; `undefined` for the login shell of the user. */
  readonly line: string | undefined;
  /** The variables that the server must set; those of the host come beside them. */
  readonly env: Readonly<Record<string, string>>;
  /** The terminal, if it gets one. */
  readonly pty: PtyOptions | undefined;
}

const NO_ENV = Object.freeze({});

/**
 * Makes the request of a command.
 *
 * @param command The command.
 * @param options Its options.
 * @throws {TypeError} If the command is none.
 */
export function commandRequest(
  command: Command,
  { pty = false, env = NO_ENV }: SpawnOptions,
): SessionRequest {
  return {
    line: commandLine(command),
    env,
    pty: typeof pty === "boolean" ? pty ? {} : undefined : pty,
  };
}

/** Makes the request of a shell. */
export function shellRequest(
  { env = NO_ENV, ...pty }: ShellOptions,
): SessionRequest {
  return { line: undefined, env, pty };
}
