/**
 * What is asked of the server on a session channel.
 *
 * @module
 */

import { type Command, commandLine } from "../command.ts";
import type { PtyOptions, SpawnOptions } from "../process.ts";

/** A command, its variables and its terminal, as they are sent. */
export interface SessionRequest {
  /** The command line. */
  readonly line: string;
  /** The variables that the server is asked to set. */
  readonly env: Readonly<Record<string, string>>;
  /** The terminal, if it gets one. */
  readonly pty?: PtyOptions | undefined;
}

/** Variables of every session of a host, or of none. */
type HostEnv = Readonly<Record<string, string>> | undefined;

/**
 * Makes the request of a command.
 *
 * @param command The command.
 * @param options Its options.
 * @param hostEnv Variables of every session of the host.
 * @throws {TypeError} If the command is none.
 */
export function commandRequest(
  command: Command,
  options: SpawnOptions,
  hostEnv: HostEnv,
): SessionRequest {
  const { pty, env } = options;
  return {
    line: commandLine(command),
    env: together(hostEnv, env),
    pty: typeof pty === "boolean" ? pty ? {} : undefined : pty,
  };
}

const NO_ENV = {};

function together(hostEnv: HostEnv, env: HostEnv): SessionRequest["env"] {
  if (hostEnv === undefined) return env ?? NO_ENV;
  return env === undefined ? hostEnv : { ...hostEnv, ...env };
}
