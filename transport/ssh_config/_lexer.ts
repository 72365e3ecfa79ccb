/**
 * Splits lines into words. OpenSSH has two ways to do it: one for the keyword
 * and the criteria of `Match`, and one for the arguments.
 *
 * @module
 */

import { asciiLowerCase } from "../host/pattern.ts";

/** A word, and what stands behind it. */
interface Word {
  readonly word: string;
  /** `undefined` when the end was reached. */
  readonly rest: string | undefined;
}

/** A line with a keyword. */
export interface Line {
  /** The keyword, in lower case. */
  readonly keyword: string;
  /** All that follows the keyword, comment included. */
  readonly rest: string;
}

const DELIMITER = /[ \t\r\n"=]/;
// Nearly every line is written like this. Others take the slow way, with the
// same result.
const PLAIN = /^[ \t]*([A-Za-z0-9]+)[ \t]+([!-<>-~](?:[^\0]*[!-~])?)$/;
const LEADING = /^[ \t\r\n]*/;

function skipSpace(text: string): string {
  return text.slice(LEADING.exec(text)![0].length);
}

/**
 * Takes a word that ends at white space or at one `=`. Quotes may stand around
 * it, or around its end.
 *
 * @returns The word; `undefined` after an opening quote without a closing one.
 */
export function takeWord(text: string): Word | undefined {
  const at = text.search(DELIMITER);
  if (at < 0) return { word: text, rest: undefined };
  if (text[at] === '"') {
    const end = text.indexOf('"', at + 1);
    if (end < 0) return undefined;
    return {
      word: text.slice(0, at) + text.slice(at + 1, end),
      rest: skipSpace(text.slice(end + 1)),
    };
  }
  let rest = skipSpace(text.slice(at + 1));
  // "User =x", "User= x" and "User = x": one "=" is skipped, not two.
  if (text[at] !== "=" && rest.startsWith("=")) rest = skipSpace(rest.slice(1));
  return { word: text.slice(0, at), rest };
}

/**
 * Takes the keyword of a line.
 *
 * @returns `undefined` for an empty line, a comment, and a keyword with an
 * unclosed quote, which OpenSSH passes over in silence.
 */
export function takeKeyword(line: string): Line | undefined {
  const plain = PLAIN.exec(line);
  if (plain !== null) {
    return { keyword: plain[1]!.toLowerCase(), rest: plain[2]! };
  }
  // A line ends at a NUL as the strings of C do.
  const nul = line.indexOf("\0");
  const text = trimEnd(nul < 0 ? line : line.slice(0, nul));
  if (text === "") return undefined;
  let taken = takeWord(text);
  if (taken?.word === "" && taken.rest !== undefined) {
    taken = takeWord(taken.rest);
  }
  if (taken === undefined || taken.word === "" || taken.word[0] === "#") {
    return undefined;
  }
  return {
    keyword: asciiLowerCase(taken.word),
    rest: skipSpace(taken.rest ?? ""),
  };
}

// A loop, because /\s+$/ takes quadratic time on a line of inner white space.
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && " \t\r\n\f".includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/**
 * Splits arguments at spaces and tabs. Single and double quotes hold them
 * together, a backslash escapes a quote, a backslash, and outside of quotes a
 * space. A `#` at the start of a word starts a comment.
 *
 * @returns The arguments; `undefined` if a quote is not closed.
 */
export function splitArguments(text: string): string[] | undefined {
  if (!/["'\\#]/.test(text)) {
    return text.split(/[ \t]+/).filter((w) => w !== "");
  }
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === " " || char === "\t") at++;
    else if (char === "#") break;
    else {
      const taken = takeArgument(text, at);
      if (taken === undefined) return undefined;
      words.push(taken.word);
      at = taken.end;
    }
  }
  return words;
}

function takeArgument(
  text: string,
  start: number,
): { word: string; end: number } | undefined {
  let word = "";
  let quote = "";
  let at = start;
  for (; at < text.length; at++) {
    const char = text[at]!;
    if (char === "\\") {
      const next = text[at + 1] ?? "";
      const escapes = next === "'" || next === '"' || next === "\\" ||
        (next === " " && quote === "");
      if (escapes) at++;
      word += escapes ? next : char;
    } else if (quote === "" && (char === " " || char === "\t")) break;
    else if (quote === "" && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = "";
    else word += char;
  }
  return quote === "" ? { word, end: at } : undefined;
}
