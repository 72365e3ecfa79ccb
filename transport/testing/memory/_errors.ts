/** The errors of memory connections, worded as those of real ones. */

import {
  ChannelOpenError,
  ConnectionLostError,
  SshError,
} from "../../errors.ts";
import { ForwardError } from "../../forward/errors.ts";
import { EnvironmentRefusedError } from "../../session/errors.ts";
import { type Outcome, pass } from "../scripts/outcome.ts";
import { ScriptFault } from "../scripts/script_fault.ts";

/** Puts what failed before why, unless the message says what failed itself. */
export function explain(what: string, message: string): string {
  return /^(Cannot|Lost) /.test(message) ? message : `${what}: ${message}`;
}

/** What was asked for, and the reason that a server gives when it refuses. */
export interface Step {
  readonly what: string;
  readonly reason: number;
}

/** The steps that a script can stop. */
export const STEPS = {
  open: { what: "Cannot open a session channel", reason: 1 },
  exec: { what: "Cannot run the command", reason: 0 },
  forward: { what: "Cannot open a forward", reason: 1 },
} as const;

/** The server refuses a channel, or what was asked for on it. */
export function refused(
  host: string,
  { what, reason }: Step,
  why: string,
): ChannelOpenError {
  return new ChannelOpenError(`${what} on "${host}": ${why}`, { reason, host });
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

/**
 * Lets a step go on when its outcome says so.
 *
 * @throws {ChannelOpenError} If the script says no.
 */
export async function passOrRefuse(
  outcome: Outcome,
  signal: AbortSignal,
  host: string,
  { what, reason }: Step,
): Promise<void> {
  try {
    await pass(outcome, signal);
  } catch (error) {
    if (signal.aborted || error instanceof SshError) throw error;
    if (error instanceof ScriptFault) throw error;
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
