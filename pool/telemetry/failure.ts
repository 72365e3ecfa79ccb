/**
 * What the pool makes of errors of others: their text within another message,
 * and the caller's own line in their stack.
 *
 * @module
 */

import { SshError } from "../../transport/errors.ts";

/**
 * Returns the message of an error, for use in another message that has already
 * said which connection failed.
 *
 * @param error What was thrown.
 * @returns The message without `Cannot connect to "...": `.
 */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^(?:Cannot connect to "[^"]*": )+/, "");
}

/** Returns the hint of an error, for the error that wraps it. */
export function hintOf(error: unknown): string | undefined {
  return error instanceof SshError ? error.hint : undefined;
}

/** The stacks of errors as they were made. */
const originals = new WeakMap<SshError, string>();

/**
 * Adds the async functions that await the current one to the stack of an error:
 * the caller's own line. Call it in an async function, after its `await`.
 *
 * Most errors are made in a callback of a socket or a timer, and their stack
 * ends there. V8 can still tell which async functions await a promise. A call
 * that succeeds pays nothing.
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
