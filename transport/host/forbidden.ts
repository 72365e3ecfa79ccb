/**
 * What a runtime does not permit, and the flags that it takes.
 *
 * @module
 */

/**
 * Returns whether the runtime, not the operating system, refused: a flag would
 * help.
 *
 * @param error What was thrown.
 */
export function isForbidden(error: unknown): boolean {
  return (error as Error).name === "NotCapable" || isOfNode(error);
}

/**
 * Returns the flags that a refusal asks for, as its runtime calls them.
 *
 * @param error The refusal.
 * @param right What was refused.
 * @param path The file, or the program.
 */
export function flagsFor(
  error: unknown,
  right: "read" | "write" | "run",
  path: string,
): string {
  if (right === "run") {
    return isOfNode(error)
      ? "--allow-child-process"
      : `--allow-run=${path} --allow-env`;
  }
  return `--allow-${isOfNode(error) ? "fs-" : ""}${right}=${path}`;
}

function isOfNode(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ERR_ACCESS_DENIED";
}
