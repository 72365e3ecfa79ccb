/**
 * What a client asks a worker for: what of a call crosses the bus.
 *
 * @module
 */

import type { Command } from "../command/command.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  OutputEncoding,
} from "../process.ts";

/** What opens a stream, as JSON; the worker checks it. */
export type StreamRequest = Readonly<Record<string, unknown>>;

/**
 * Asks to run a command. The signal, the callbacks and the input stay here.
 *
 * @param line The command.
 * @param options How to run it, checked.
 * @param sendsPassword Whether a password for `sudo` may go over the bus.
 * @throws {TypeError} If it may not, and there is one; or if `sudo` has
 *   `prompts`.
 */
export function runRequest(
  line: Command,
  options: ConnectionSpawnOptions,
  sendsPassword: boolean,
): StreamRequest {
  const { env, envMode, pty, cwd, login, sudo } = options;
  const hasPassword = typeof sudo === "object" && sudo.password !== undefined;
  if (hasPassword && !sendsPassword) {
    throw new TypeError(
      "Cannot run the command: sudo.password must be left out, since the " +
        "worker has it; sendSudoPasswords of the connector sends it over the bus",
    );
  }
  if (typeof sudo === "object" && sudo.prompts !== undefined) {
    throw new TypeError(
      "Cannot run the command: sudo.prompts must be left out, since the worker " +
        "cannot call it",
    );
  }
  const sent = { env, envMode, pty, cwd, login, sudo };
  return { kind: "command", line, options: sent };
}

/** As `runRequest()`, for a command whose output is collected here. */
export function collectRequest(
  line: Command,
  options: ConnectionExecOptions<OutputEncoding>,
  sendsPassword: boolean,
): StreamRequest {
  return {
    ...runRequest(line, options, sendsPassword),
    collects: true,
    ...options.stdin === undefined && { noInput: true },
  };
}

/** Asks to start the shell of the user. */
export function loginRequest(options: ConnectionShellOptions): StreamRequest {
  const { signal: _signal, onOpen: _onOpen, ...sent } = options;
  return { kind: "shell", options: sent };
}
