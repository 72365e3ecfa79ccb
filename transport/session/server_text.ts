/**
 * Text that a server chose, made safe to print.
 *
 * @module
 */

import { SshError } from "../errors.ts";

/** C0 and C1 controls, DEL, line separators, and what reorders text on a screen. */
const UNPRINTABLE =
  // deno-lint-ignore no-control-regex
  /[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Escapes what a terminal or a log would act on, and shortens the rest: a
 * server may be hostile, and its text enters messages that people print.
 *
 * @param text What the server said.
 * @param maxLength The most characters to keep, before escaping.
 * @returns The text, safe for a message.
 */
export function serverText(text: string, maxLength = 200): string {
  const kept = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return kept.replace(UNPRINTABLE, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length <= 2
      ? `\\x${code.padStart(2, "0")}`
      : `\\u${code.padStart(4, "0")}`;
  });
}

/**
 * Makes the message of an error safe to print, also where its stack repeats
 * it: errors of ssh2 hold what the server said.
 *
 * @param error The error, which is changed unless it is one of this library.
 * @param maxLength The most characters to keep, before escaping.
 * @returns The error.
 */
export function serverError<E extends Error>(error: E, maxLength = 500): E {
  if (error instanceof SshError) return error; // Made safe by its maker.
  const { message, stack } = error;
  const text = serverText(message, maxLength);
  if (text === message) return error;
  error.message = text;
  if (stack !== undefined) error.stack = stack.replace(message, () => text);
  return error;
}
