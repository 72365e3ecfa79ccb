/** The errors of memory connections, worded as those of real ones. */

import {
  ChannelOpenError,
  ConnectionLostError,
  ExecTimeoutError,
  OutputLimitError,
} from "../errors.ts";
import type { MemoryChannel } from "./_memory_channel.ts";

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

/** The script said no. */
export function scripted(
  what: string,
  host: string,
  reason: number,
  cause: Error,
): ChannelOpenError {
  const message = explain(`${what} on "${host}"`, cause.message);
  return new ChannelOpenError(message, { reason, host, cause });
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
