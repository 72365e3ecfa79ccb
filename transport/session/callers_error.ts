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

/** Calls a callback of the caller's, and notes what it throws or rejects with. */
export function callBack<T>(callback: () => T): T {
  try {
    const result = callback();
    // Before anybody else hears of it, who gets the same promise.
    if (result instanceof Promise) result.catch(callersError);
    return result;
  } catch (error) {
    throw callersError(error);
  }
}

/** Whether it was noted. */
export function isCallersError(error: unknown): boolean {
  return typeof error === "object" && error !== null && known.has(error);
}
