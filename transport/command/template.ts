/**
 * Command lines from templates, with quoted values.
 *
 * @module
 */

import { inSingleQuotes, quoted } from "./_any_shell.ts";
import { isPlainName } from "./command.ts";
import { ShellScan } from "./_shell_scan.ts";
import { showType } from "../options/show_value.ts";

/** A word of a command line that needs no quotes. */
export type ShellWord = string | number | bigint | boolean;

/** A value of a template: a word, an array of words, or text from `sh.raw()`. */
export type ShellValue = ShellWord | readonly ShellWord[] | RawShellText;

/**
 * Text that goes into a command line as it is; made by `sh.raw()`.
 *
 * @example A redirection beside quoted values
 * ```ts
 * import { sh } from "@sshpool/sshpool";
 * import { assertEquals } from "@std/assert";
 *
 * const quiet = sh.raw("2>/dev/null");
 * assertEquals(sh`ls ${"a b"} ${quiet}`, "ls 'a b' 2>/dev/null");
 * ```
 */
export class RawShellText {
  /** The text. */
  readonly text: string;

  /**
   * Marks the text.
   *
   * @param text The text, which is shell syntax.
   */
  constructor(text: string) {
    if (typeof text !== "string") {
      throw new TypeError(
        `Cannot take the text as it is: it is ${
          showType(text)
        }, must be a string`,
      );
    }
    this.text = text;
  }
}

/** The type of {@linkcode sh}. */
export interface ShellTag {
  /**
   * Makes a command line of a template.
   *
   * @throws {TypeError} If a value cannot stand where it stands.
   */
  (strings: TemplateStringsArray, ...values: readonly ShellValue[]): string;
  /**
   * Lets text through as it is: the author of the text decides what runs.
   *
   * @param text Shell syntax, such as `"2>&1"`.
   * @returns A value for a template.
   * @throws {TypeError} If it is no string.
   */
  raw(text: string): RawShellText;
}

/**
 * Makes a command line of a template, in which each value means itself: a file
 * with spaces is one file, and `$(reboot)` is a name. The text is for a POSIX
 * shell; values are quoted in a spelling that fish and tcsh read alike, but for
 * a line feed in a value, which tcsh cannot take: it says "Unmatched".
 *
 * An array becomes as many words as it has items, none if it is empty. A value
 * next to text is one word with it, and one within quotes stays within them.
 * `undefined`, `null` and objects are errors, and so is a value where a shell
 * has no safe way to write it: in backticks, in `${...}`, in a here-document. So
 * is one anywhere behind `\"` in double quotes or `\'` in single ones: shells
 * disagree on where such quotes end. Make the whole of such a word a value.
 *
 * The text is taken as it is written: a backslash is one of the shell. Only
 * the two that JavaScript asks for, before a backtick and before `${`, go.
 *
 * @param strings The text.
 * @param values The values.
 * @returns The command line.
 * @throws {TypeError} If a value cannot stand where it stands.
 *
 * @example Usage
 * ```ts
 * import { sh } from "@sshpool/sshpool";
 * import { assertEquals } from "@std/assert";
 *
 * const files = ["a b.txt", "c.txt"];
 * assertEquals(sh`rm -f ${files}`, "rm -f 'a b.txt' c.txt");
 * assertEquals(sh`grep ${"it's"} log | wc -l`, `grep 'it'\\''s' log | wc -l`);
 * assertEquals(sh`ls --color=${"$x"}`, "ls --color='$x'");
 * ```
 */
export const sh: ShellTag = Object.assign(compose, {
  raw: (text: string) => new RawShellText(text),
});

function compose(
  strings: TemplateStringsArray,
  ...values: readonly ShellValue[]
): string {
  if (!Array.isArray(strings?.raw)) {
    fail("sh is the tag of a template, write sh`...` without brackets");
  }
  const texts = strings.raw.map(withoutJsEscapes);
  const scan = new ShellScan();
  let line = "";
  texts.forEach((text, i) => {
    scan.read(text);
    line += text;
    if (i === values.length) return;
    const isLast = i + 1 === values.length;
    // What follows directly is the text, or the next value.
    const next = texts[i + 1]![0] ?? (isLast ? "" : "x");
    line += put(values[i], { name: `value ${i + 1}`, scan, next });
  });
  return line;
}

/** Takes away the backslashes that only JavaScript has asked for. */
function withoutJsEscapes(raw: string): string {
  return raw.replaceAll(
    /\\(?:(`|\$(?=\{))|[^])/g,
    (pair, escaped: string | undefined) => escaped ?? pair,
  );
}

/** A place in the line. */
interface Slot {
  /** How messages call the value. */
  readonly name: string;
  readonly scan: ShellScan;
  /** The character after it; empty at the end. */
  readonly next: string;
}

/** Writes one value. */
function put(value: unknown, slot: Slot): string {
  const { name, scan, next } = slot;
  if (value instanceof RawShellText) {
    scan.read(value.text);
    return value.text;
  }
  const isAlone = isBoundary(scan.last) && isBoundary(next);
  const where = scan.place;
  if (Array.isArray(value)) {
    if (where !== "a word" || !isAlone) {
      fail(`${name} is an array, must stand between spaces and not in quotes`);
    }
    if (scan.isDuplicated) fail(`${name} is an array, and follows >& or <&`);
    const words = Array.from(value, (item, i) => word(item, `${name}[${i}]`));
    if (words.length > 0) scan.readValue();
    return words.map(asWord).join(" ");
  }
  const text = word(value, name);
  if (scan.last === "$" && (where === "a word" || where === "double quotes")) {
    fail(`${name} follows a $, which would take it for a variable`);
  }
  if (scan.isDuplicated && !/^\d+$/.test(text)) {
    fail(`${name} follows >& or <&, where it must be a number`);
  }
  scan.readValue();
  switch (where) {
    case "a word":
      // Next to text it might become a redirection, an assignment or a home.
      return isAlone ? asWord(text) : quoted(text);
    case "double quotes":
      // No shell agrees with another on backslashes in them.
      return `"${quoted(text)}"`;
    case "single quotes":
      return inSingleQuotes(text);
    case "arithmetic":
      if (typeof value === "number" || typeof value === "bigint") return text;
      return fail(`${name} is in arithmetic, where it must be a number`);
    default:
      return fail(`${name} is in ${where}, where no value can be quoted`);
  }
}

/** Returns whether a word ends at the character. */
function isBoundary(c: string): boolean {
  return c === "" || /[\s;|&()]/.test(c);
}

function asWord(text: string): string {
  return isPlainName(text) ? text : quoted(text);
}

/** Returns the text of a value. */
function word(value: unknown, name: string): string {
  const isWord = typeof value === "string" || typeof value === "boolean" ||
    typeof value === "bigint" ||
    (typeof value === "number" && Number.isFinite(value));
  if (!isWord) {
    const found = typeof value === "number" ? value : showType(value);
    fail(
      `${name} is ${found}, must be a string, a finite number, a boolean ` +
        "or an array of these",
    );
  }
  const text = String(value);
  if (text.includes("\0")) {
    fail(`${name} has a NUL character, which no shell accepts`);
  }
  return text;
}

function fail(why: string): never {
  throw new TypeError(`Cannot make a command line: ${why}`);
}
