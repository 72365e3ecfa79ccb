/**
 * Commands, as one string for the remote shell or as an array of arguments.
 *
 * @module
 */

/**
 * What to run: a string goes to the remote user's shell as it is; the items of
 * an array are each quoted for a POSIX shell and joined by spaces. The first
 * item is always the name of a program, also where it looks like shell syntax
 * (`A=1`, `if`, `-x`).
 */
export type Command = string | readonly string[];

const SAFE = /^[\w@%+=:,./-]+$/;
/** What needs no quotes as the name of a command, unless it is reserved. */
const SAFE_NAME = /^[\w./][\w@+:,./-]*$/;
/** Words that a shell reads as its own syntax, of POSIX and of common shells. */
const RESERVED = new Set(
  ("case coproc do done elif else end esac fi for foreach function if in " +
    "namespace repeat select switch then time until while").split(" "),
);

/**
 * Turns a command into the one string that SSH sends.
 *
 * @param command The command.
 * @returns The string for the remote shell.
 * @throws {TypeError} If the command is empty, has a NUL character, or is
 *   neither a string nor an array of strings.
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
  const line = typeof command === "string" ? command : quoteAll(command);
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

function quoteAll(items: readonly string[]): string {
  if (!Array.isArray(items)) {
    throw new TypeError(
      `Cannot run the command: it is ${typeName(items)}, must be a string or ` +
        "an array of strings",
    );
  }
  // Not map(): it leaves out what an array has holes for.
  return Array.from(items, (item: unknown, index) => {
    if (typeof item === "string" && (item !== "" || index > 0)) {
      return quote(item, index === 0);
    }
    const found = item === "" ? "empty" : typeName(item);
    throw new TypeError(
      `Cannot run the command: item ${index} is ${found}, must be a string` +
        (item === "" ? " with the name of a program" : ""),
    );
  }).join(" ");
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function quote(argument: string, isName: boolean): string {
  const isPlain = isName ? isPlainName(argument) : SAFE.test(argument);
  return isPlain ? argument : quoted(argument);
}

/**
 * Whether a word means itself wherever it stands in a command line.
 *
 * @param word The word.
 */
export function isPlainName(word: string): boolean {
  return SAFE_NAME.test(word) && !RESERVED.has(word);
}

/**
 * Puts text in quotes for a POSIX shell.
 *
 * @param text The text, without a NUL character.
 * @returns One word, or a part of one.
 */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
