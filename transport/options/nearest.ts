/**
 * "Did you mean": the known name that a mistyped name is most like.
 *
 * @module
 */

/** The longest name that is compared: the cost grows with its square. */
const MAX_LENGTH = 64;

/**
 * Finds the names that are most like a mistyped one.
 *
 * Letter case, `-` and `_` do not count. A name is near if at most a third of
 * its characters differ, or if one of the two begins with the other
 * (`timeout` and `timeoutMs`).
 *
 * @param name The name as it was given.
 * @param names The names that exist.
 * @param count The most names to return.
 * @returns The near names, the nearest first; often empty.
 */
export function nearestNames(
  name: string,
  names: Iterable<string>,
  count = 3,
): string[] {
  const given = plain(name);
  if (given === "" || given.length > MAX_LENGTH) return [];
  const found: { readonly known: string; readonly cost: number }[] = [];
  for (const known of new Set(names)) {
    if (known.length > MAX_LENGTH) continue;
    const cost = distance(given, plain(known));
    if (cost !== undefined) found.push({ known, cost });
  }
  return found.sort((a, b) => a.cost - b.cost).slice(0, count)
    .map(({ known }) => known);
}

/**
 * Finds the name that is most like a mistyped one, or else the only longer one
 * that has all of its words.
 *
 * @param name The name as it was given.
 * @param names The names that exist.
 * @returns The nearest name; `undefined` if none is near.
 */
export function nearest(
  name: string,
  names: Iterable<string>,
): string | undefined {
  const known = [...names];
  return nearestNames(name, known, 1)[0] ?? longerName(name, known);
}

/**
 * Finds the only name that has all words of another, two at least, in order:
 * `drainTimeoutMs` for `drainMs`.
 */
function longerName(
  name: string,
  names: readonly string[],
): string | undefined {
  const given = wordsOf(name);
  if (given.length < 2 || name.length > MAX_LENGTH) return undefined;
  const found = names.filter((known) => {
    let count = 0;
    for (const word of wordsOf(known)) if (word === given[count]) count++;
    return count === given.length;
  });
  return found.length === 1 ? found[0] : undefined;
}

/** The words of `oneName`, `one-name` or `one_name`, in lower case. */
function wordsOf(name: string): string[] {
  return name.split(/[-_]|(?<=[a-z0-9])(?=[A-Z])/)
    .map((word) => word.toLowerCase()).filter((word) => word !== "");
}

/**
 * Returns the end of an error message: `, did you mean "timeoutMs"?`.
 *
 * @param name The name as it was given.
 * @param names The names that exist.
 * @returns The text; empty if no name is near.
 */
export function didYouMean(name: string, names: Iterable<string>): string {
  const found = nearest(name, names);
  return found === undefined ? "" : `, did you mean ${JSON.stringify(found)}?`;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, "");
}

/** Returns how much two names differ; `undefined` if they are not near. */
function distance(given: string, known: string): number | undefined {
  const longest = Math.max(given.length, known.length);
  const shortest = Math.min(given.length, known.length);
  const edits = editDistance(given, known);
  if (edits <= Math.floor(longest / 3)) return edits;
  const isPrefix = shortest >= 3 &&
    (known.startsWith(given) || given.startsWith(known));
  return isPrefix ? longest - shortest : undefined;
}

/** Insertions, deletions, replacements and swaps of neighbours (one each). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        last[j]! + 1,
        row[j - 1]! + 1,
        last[j - 1]! + (same ? 0 : 1),
      );
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] &&
        a[i - 2] === b[j - 1];
      if (swapped) cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
