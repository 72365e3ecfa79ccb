/** The errors of memory connections, worded as those of real ones. */

import {
  ChannelOpenError,
  ConnectionLostError,
  SshError,
} from "../../errors.ts";
import { ForwardError } from "../../forward/errors.ts";
import { EnvironmentRefusedError } from "../../session/errors.ts";
import { type Outcome, pass } from "../scripts/outcome.ts";

/** Puts what failed before why, unless the message says what failed itself. */
export function explain(what: string, message: string): string {
  return /^(Cannot|Lost) /.test(message) ? message : `${what}: ${message}`;
}

/** The server has no session left. */
export function refused(host: string): ChannelOpenError {
  return new ChannelOpenError(
    `Cannot open a session channel on "${host}": open failed`,
    { reason: 2, host },
  );
}

/** The server does not have a subsystem. */
export function noSubsystem(
  host: string,
  name: string,
  what: string,
): ChannelOpenError {
  const shown = JSON.stringify(name);
  return new ChannelOpenError(
    `Cannot start ${what} on "${host}": the server refused the subsystem ${shown}`,
    { reason: 0, host },
  );
}

/** Nothing listens at the target of a forward. */
export function unreachable(
  host: string,
  target: string,
  why: string,
): ChannelOpenError {
  return new ChannelOpenError(
    `Cannot open a forward to "${target}" on "${host}": connect failed${why}`,
    { reason: 2, host },
  );
}

/** The server does not listen. */
export function notListening(
  host: string,
  listen: string,
  cause?: unknown,
): ForwardError {
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  return new ForwardError(
    `Cannot listen on "${listen}" of "${host}": the server refused${why}`,
    { host, cause },
  );
}

/** The server does not let the caller set these variables. */
export function envRefused(
  host: string,
  names: readonly string[],
): EnvironmentRefusedError {
  const shown = names.map((it) => JSON.stringify(it)).join(", ");
  return new EnvironmentRefusedError(
    `Cannot run the command on "${host}": the server refuses to set ${shown}`,
    {
      host,
      names,
      hint: "a real server needs them in AcceptEnv of its sshd_config: then " +
        "add them to acceptEnv of MemoryConnector; or set envMode to " +
        '"inline"',
    },
  );
}

/** The steps that a script can stop, and the reasons that a server gives. */
export const STEPS = {
  open: { what: "Cannot open a session channel", reason: 1 },
  exec: { what: "Cannot run the command", reason: 0 },
  forward: { what: "Cannot open a forward", reason: 1 },
} as const;

/**
 * Lets a step go on when its outcome says so.
 *
 * @throws {ChannelOpenError} If the script says no.
 */
export async function passOrRefuse(
  outcome: Outcome,
  signal: AbortSignal,
  host: string,
  step: { readonly what: string; readonly reason: number },
): Promise<void> {
  try {
    await pass(outcome, signal);
  } catch (error) {
    if (signal.aborted || error instanceof SshError) throw error;
    const { what, reason } = step;
    const cause = error as Error;
    const message = explain(`${what} on "${host}"`, cause.message);
    throw new ChannelOpenError(message, { reason, host, cause });
  }
}

/** The connection has ended. */
export function lost(
  host: string,
  message: string,
  details: Pick<
    NonNullable<ConstructorParameters<typeof ConnectionLostError>[1]>,
    "mayHaveRun" | "output"
  > = {},
): ConnectionLostError {
  return new ConnectionLostError(
    explain(`Lost the connection to "${host}"`, message),
    { host, ...details },
  );
}
