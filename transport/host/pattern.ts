/**
 * Patterns with `*` and `?`, as OpenSSH has them in ssh_config and known_hosts.
 *
 * @module
 */

/** One element of a pattern: a character, `*`, `?`, or a test of a character. */
export type PatternElement = string | ((char: string) => boolean);

/** A longer pattern in a list makes OpenSSH give up the whole list. */
export const MAX_PATTERN_LENGTH = 1022;

/**
 * Returns whether a pattern fits a whole text: `*` is any run of characters, `?`
 * is one character. Upper and lower case differ.
 *
 * After a mismatch only the last `*` takes one more character, because earlier
 * ones can stay where they are. So the time is at most the product of the
 * lengths. A regular expression would take exponential time on `*a*a*a*b`.
 *
 * @param text The text, as a string or as its characters.
 * @param pattern The pattern, as a string or as its elements.
 * @returns Whether it fits.
 */
export function matchPattern(
  text: ArrayLike<string>,
  pattern: ArrayLike<PatternElement>,
): boolean {
  let t = 0;
  let p = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    const wanted = pattern[p];
    if (wanted === "*") {
      star = p++;
      resume = t;
    } else if (wanted !== undefined && matchesChar(text[t]!, wanted)) {
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

function matchesChar(char: string, wanted: PatternElement): boolean {
  if (typeof wanted === "string") return wanted === "?" || wanted === char;
  return wanted(char);
}

/**
 * Returns whether a text fits a list such as `*.example.com,!bad.example.com`: it
 * fits one of the patterns, and none that has `!` before it.
 *
 * @param text The text.
 * @param patterns The patterns.
 * @returns Whether it fits.
 */
export function matchPatterns(
  text: string,
  patterns: readonly string[],
): boolean {
  let found = false;
  for (const item of patterns) {
    const negated = item.startsWith("!");
    const pattern = negated ? item.slice(1) : item;
    if (pattern.length > MAX_PATTERN_LENGTH) return false;
    if (!matchPattern(text, pattern)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/**
 * Returns whether a pattern has a wildcard in it.
 *
 * @param pattern The pattern.
 * @returns Whether it has one.
 */
export function hasWildcard(pattern: string): boolean {
  return pattern.includes("*") || pattern.includes("?");
}

/**
 * Turns A to Z into lower case and nothing else, as OpenSSH does in the C
 * locale: there a text is bytes, not characters.
 *
 * @param text The text.
 * @returns The text in lower case.
 */
export function asciiLowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (part) => part.toLowerCase());
}
