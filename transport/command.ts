/**
 * Commands, as one string for the remote shell or as an array of arguments.
 *
 * @module
 */

/**
 * What to run: a string goes to the remote user's shell as it is; the items of
 * an array are each quoted for a POSIX shell and joined by spaces.
 */
export type Command = string | readonly string[];

const SAFE = /^[\w@%+=:,./-]+$/;

/**
 * Turns a command into the one string that SSH sends.
 *
 * @param command The command.
 * @returns The string for the remote shell.
 * @throws {TypeError} If the command is empty or has a NUL character.
 *
 * @example Usage
 * ```ts
 * import { commandLine } from "@sshpool/sshpool";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(commandLine(["echo", "it's"]), `echo 'it'\\''s'`);
 * ```
 */
export function commandLine(command: Command): string {
  const line = typeof command === "string"
    ? command
    : command.map(quoteArgument).join(" ");
  if (line === "") {
    throw new TypeError(
      "Cannot run the command: it is empty, must have at least one character",
    );
  }
  if (line.includes("\0")) {
    throw new TypeError(
      "Cannot run the command: it has a NUL character, which no shell accepts",
    );
  }
  return line;
}

function quoteArgument(argument: string): string {
  if (SAFE.test(argument)) return argument;
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}
