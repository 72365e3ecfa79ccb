/**
 * Errors that end a command, and are the caller's own.
 *
 * @module
 */

const known = new WeakSet<object>();

/**
 * Notes that an error is one of the caller's: a callback threw it, or an input
 * failed with it. It says nothing of the command that it ends, even if it is an
 * error of this library: of another host, say.
 *
 * @returns The error.
 */
export function callersError(error: unknown): unknown {
  if (typeof error === "object" && error !== null) known.add(error);
  return error;
}

/** Whether it was noted. */
export function isCallersError(error: unknown): boolean {
  return typeof error === "object" && error !== null && known.has(error);
}
