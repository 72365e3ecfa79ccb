/**
 * Commands, as one string for the remote shell or as an array of arguments.
 *
 * @module
 */

import { hasNoBytes } from "../sftp/names.ts";
import { posixLine, quoted } from "./_any_shell.ts";

/**
 * What to run: a string goes to the remote user's shell as it is; the items of
 * an array are each quoted and joined by spaces, in a spelling that means the
 * same to sh, bash, ksh, zsh, fish and tcsh. The first item is always the name
 * of a program, also where it looks like shell syntax (`A=1`, `if`, `-x`). A file
 * name that is not UTF-8 is sent as the bytes that SFTP has read it from.
 */
export type Command = string | readonly string[];

/** zsh expands a leading `=`, and some shells a `%`. */
const SAFE = /^[\w@+:,./-][\w@+=:,./-]*$/;
/** What needs no quotes as the name of a command, unless it is reserved. */
const SAFE_NAME = /^[\w./][\w@+:,./-]*$/;
/**
 * Words that a shell reads as its own syntax: of POSIX and of common shells.
 * fish does so even where they stand in quotes.
 */
const RESERVED = new Set(
  ("and begin case coproc do done elif else end esac fi for foreach function " +
    "if in namespace nocorrect noglob not or repeat select switch then time " +
    "until while").split(" "),
);

/**
 * Turns a command into one line for a shell.
 *
 * What SSH sends for an array may differ: csh has no spelling for a line feed
 * in a word, so an array with one is handed over by way of `/bin/sh`.
 *
 * @param command The command.
 * @returns The line; that of an array means the same to sh, bash, ksh, zsh and
 *   fish, and to tcsh too unless an item has a line feed.
 * @throws {TypeError} If the command is empty, has a NUL character or a lone
 *   surrogate that stands for no byte of a file name, or is neither a string
 *   nor an array of strings.
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
  if (hasNoBytes(line)) {
    throw new TypeError(
      "Cannot run the command: it has half of a character, a lone surrogate " +
        "that stands for no byte of a file name either",
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
 * Returns whether a word means itself wherever it stands in a command line.
 *
 * @param word The word.
 */
export function isPlainName(word: string): boolean {
  return SAFE_NAME.test(word) && !RESERVED.has(word);
}

/**
 * Returns the line that is sent for a command.
 *
 * @param command The command, checked by {@linkcode commandLine}.
 * @returns What any login shell takes: an array that has no common spelling is
 *   handed over by way of `/bin/sh`.
 */
export function sentLine(command: Command): string {
  if (typeof command === "string") return command;
  return hasCommonLine(command)
    ? commandLine(command)
    : posixLine('"$@"', command);
}

/**
 * Returns whether the line of an array means the same to every shell.
 *
 * @param items The array.
 */
export function hasCommonLine(items: readonly string[]): boolean {
  return isPlainName(items[0]!) && !items.some((item) => item.includes("\n"));
}
