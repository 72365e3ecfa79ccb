/** The errors of memory connections, worded as those of real ones. */

import {
  ChannelOpenError,
  ConnectionLostError,
  ExecTimeoutError,
  OutputLimitError,
  SshError,
} from "../errors.ts";
import { pass } from "./_gate.ts";
import type { MemoryChannel } from "./_memory_channel.ts";
import type { Outcome } from "./outcome.ts";

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

/** A command took too long. */
export function timedOut(
  channel: MemoryChannel,
  host: string,
  timeoutMs: number,
): ExecTimeoutError {
  return new ExecTimeoutError(
    `Cannot finish the command on "${host}" in ${timeoutMs} ms`,
    { timeoutMs, host, mayHaveRun: channel.sent, output: channel.collected },
  );
}

/** A command wrote too much. */
export function tooLong(host: string, bytes: number): OutputLimitError {
  return new OutputLimitError(
    `Cannot collect the output on "${host}": it is longer than ${bytes} ` +
      "bytes, the limit that maxOutputBytes sets",
    { host },
  );
}

/** The connection has ended. */
export function lost(
  host: string,
  message: string,
  channel?: MemoryChannel,
): ConnectionLostError {
  return new ConnectionLostError(
    explain(`Lost the connection to "${host}"`, message),
    {
      host,
      mayHaveRun: channel?.sent ?? false,
      output: channel?.sent ? channel.collected : undefined,
    },
  );
}
