/**
 * Names against the patterns of known_hosts, in time linear in each pattern
 * but for the length of the name.
 *
 * @module
 */

/** Longer patterns make OpenSSH ignore the whole list; so they do here. */
export const MAX_PATTERN_LENGTH = 1022;

/** Lower-cases ASCII alone, as C does: the text is bytes, not characters. */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (part) => part.toLowerCase());
}

/**
 * Matches a name against a list such as `*.example.com,!bad.example.com`: a
 * negated pattern that matches excludes the name, wherever it stands.
 */
export function matchesList(
  name: string,
  patterns: readonly string[],
): boolean {
  let positive = false;
  for (const pattern of patterns) {
    const negated = pattern.startsWith("!");
    if (!matchesGlob(name, negated ? pattern.slice(1) : pattern)) continue;
    if (negated) return false;
    positive = true;
  }
  return positive;
}

/**
 * Matches a name against one pattern with `*` and `?`. On a mismatch only the
 * last `*` takes one more character: earlier ones can stay where they are, so
 * no input costs more than the product of both lengths. (Recursion, or a
 * translated regular expression, is exponential in the number of stars.)
 */
export function matchesGlob(name: string, pattern: string): boolean {
  let at = 0, next = 0, star = -1, resume = 0;
  while (at < name.length) {
    const wanted = pattern[next];
    if (wanted === "*") {
      star = next++;
      resume = at;
    } else if (wanted === "?" || wanted === name[at]) {
      next++;
      at++;
    } else if (star >= 0) {
      next = star + 1;
      at = ++resume;
    } else return false;
  }
  while (pattern[next] === "*") next++;
  return next === pattern.length;
}
