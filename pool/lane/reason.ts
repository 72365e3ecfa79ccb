/**
 * What an error adds to a message of the pool.
 *
 * @module
 */

import { SshError } from "../../transport/errors.ts";

/**
 * The message of an error, for use in another message that has already said
 * which connection failed.
 *
 * @param error What was thrown.
 * @returns The message without `Cannot connect to "...": `.
 */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^(?:Cannot connect to "[^"]*": )+/, "");
}

/** The hint of an error, for the error that wraps it. */
export function hintOf(error: unknown): string | undefined {
  return error instanceof SshError ? error.hint : undefined;
}
