/**
 * The caller's own line in the stack of an error.
 *
 * Most errors are made in a callback of a socket or a timer, and their stack
 * ends there. V8 can still tell which async functions await a promise, so the
 * stack is completed when a call fails. A call that succeeds pays nothing.
 *
 * @module
 */

import { SshError } from "../../transport/errors.ts";

/** The stacks of errors as they were made. */
const originals = new WeakMap<SshError, string>();

/**
 * Adds the async functions that await the current one to the stack of an error.
 * Call it in an async function, after its `await`.
 *
 * Callers may share an error, such as that of one dial for all of them: its
 * stack then shows the caller that got it last.
 *
 * @param error What was caught. Only errors of this library are changed.
 * @returns The error.
 */
export function withCallerStack(error: unknown): unknown {
  const canChange = error instanceof SshError && Object.isExtensible(error) &&
    "captureStackTrace" in Error;
  if (!canChange) return error;
  const original = originals.get(error) ?? error.stack;
  if (original === undefined) return error;
  originals.set(error, original);
  // On the error itself: for an uncaught error Deno prints the frames that were
  // captured, not the text of `stack`.
  Error.captureStackTrace(error, withCallerStack);
  const callers = (error.stack ?? "").split("\n")
    .filter((line) => /^\s*at async /.test(line) && !original.includes(line));
  error.stack = [original, ...callers].join("\n");
  return error;
}
