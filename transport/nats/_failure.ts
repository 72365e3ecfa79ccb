/**
 * Failures that a worker tells its client of.
 *
 * @module
 */

import { errorFromJson } from "../error_json.ts";
import { DialError, RemoteError, SshError } from "../errors.ts";
import { parseObject } from "./_frames.ts";

/**
 * Makes the error that a worker sends. What is no error of this library is none
 * of the caller's, such as an abort.
 */
export function failureOf(payload: Uint8Array, mayHaveRun: boolean): Error {
  const said = errorFromJson(parseObject(payload));
  const isKnown = said instanceof SshError || said instanceof TypeError ||
    said instanceof RangeError;
  return isKnown ? said : new RemoteError(said.message, { mayHaveRun });
}

/** As `failureOf()`, of a dial: by that nothing of the caller's ran, or was wrong. */
export function dialFailureOf(payload: Uint8Array, host: string): Error {
  const said = errorFromJson(parseObject(payload));
  if (said instanceof SshError && !said.mayHaveRun) return said;
  const failure = `Cannot connect to ${JSON.stringify(host)}: ${said.message}`;
  return new DialError("tcp", failure, { host });
}
