/**
 * Patterns with `*` and `?`, and lists of them with negation.
 *
 * @module
 */

import { asciiLowerCase } from "./_lexer.ts";

/**
 * Whether a pattern fits a whole text: `*` is any run of characters, `?` is
 * one. Case-sensitive.
 *
 * A failed attempt goes back to the last `*` only, since an earlier one can
 * never do better: the time is bounded by the product of the lengths, where a
 * regular expression would take exponential time on `*a*a*a*b`.
 */
export function matchPattern(text: string, pattern: string): boolean {
  let t = 0;
  let p = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    const wanted = pattern[p];
    if (wanted === "*") {
      star = p++;
      resume = t;
    } else if (wanted === "?" || (wanted !== undefined && wanted === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

// OpenSSH has a fixed buffer: a longer pattern in a list ends the search.
const MAX_SUBPATTERN = 1023;

/** Options for {@linkcode matchPatternList}. */
export interface MatchListOptions {
  /** Turn the patterns, not the text, to lower case. */
  readonly lowerCase?: boolean;
}

/**
 * Whether a text fits a list of patterns with commas between: it fits one of
 * them, and none that has `!` before it.
 */
export function matchPatternList(
  text: string,
  list: string,
  options: MatchListOptions = {},
): boolean {
  let found = false;
  const patterns = options.lowerCase ? asciiLowerCase(list) : list;
  for (const item of patterns.split(",")) {
    const negated = item.startsWith("!");
    const pattern = negated ? item.slice(1) : item;
    if (pattern.length >= MAX_SUBPATTERN) return false;
    if (!matchPattern(text, pattern)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/** Whether a text has a wildcard in it. */
export function hasWildcard(pattern: string): boolean {
  return pattern.includes("*") || pattern.includes("?");
}
