/**
 * How much output is collected.
 *
 * @module
 */

import { OutputLimitError } from "../errors.ts";

/** What is collected by default, both outputs together, in bytes. */
export const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Makes the error of a command with more output than that. */
export function outputLimit(
  host: string,
  maxBytes: number,
  instead: string,
): OutputLimitError {
  return new OutputLimitError(
    `Cannot collect the output of the command on ${JSON.stringify(host)}: ` +
      `it has more than ${maxBytes} bytes (maxOutputBytes)`,
    { host, hint: `set maxOutputBytes higher, ${instead}` },
  );
}
