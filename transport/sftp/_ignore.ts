/**
 * Lines as in a `.gitignore`, which say what is left out.
 *
 * @module
 */

import { Descent } from "../names/descent.ts";
import { PathPattern, type Progress } from "../names/path_pattern.ts";

interface Rule {
  /** Whether what it means is taken all the same. */
  readonly isTaken: boolean;
  readonly onlyFolders: boolean;
  readonly pattern: PathPattern;
}

/** What is known of a folder, or of what is in one. */
interface Known {
  readonly isLeftOut: boolean;
  readonly progress: readonly Progress[];
}

/** How many characters a line may have. */
const MAX_LENGTH = 4_096;

/**
 * Makes a function of rules, which says whether an entry is taken.
 *
 * @param lines One string may hold many.
 * @throws {RangeError} If one is longer than 4,096 characters.
 */
export function ignoreRules(
  lines: readonly string[],
): (path: string) => boolean {
  const rules = lines.flatMap((it) => it.replace(/^\ufeff/, "").split("\n"))
    .flatMap((it) => ruleOf(it.replace(/\r$/, "")) ?? []);
  const below = (folder: Known, name: string, isFolder: boolean): Known => {
    const progress = rules.map(({ pattern }, index) =>
      pattern.step(folder.progress[index]!, name)
    );
    // The last one counts.
    const rule = rules.findLast(({ pattern, onlyFolders }, index) =>
      (isFolder || !onlyFolders) && pattern.isWhole(progress[index]!)
    );
    const isLeftOut = folder.isLeftOut || (rule?.isTaken === false);
    return { isLeftOut, progress };
  };
  const folders = new Descent<Known>(
    { isLeftOut: false, progress: rules.map(({ pattern }) => pattern.start) },
    (above, name) => below(above, name, true),
  );
  return (path) => {
    const isFolder = path.endsWith("/");
    const whole = isFolder ? path.slice(0, -1) : path;
    const start = whole.lastIndexOf("/") + 1;
    const above = folders.at(whole.slice(0, start));
    return !below(above, whole.slice(start), isFolder).isLeftOut;
  };
}

/** Reads a line; `undefined` if it says nothing. */
function ruleOf(line: string): Rule | undefined {
  if (line.length > MAX_LENGTH) {
    throw new RangeError(
      `Cannot read a line of ${line.length} characters as a filter: at most ` +
        `${MAX_LENGTH} are allowed`,
    );
  }
  const trimmed = line.replace(/ +$/, "");
  // Behind a backslash a space at the end counts.
  const isMeant = /(^|[^\\])(\\\\)*\\$/.test(trimmed);
  const text = trimmed + (isMeant ? line.slice(trimmed.length)[0] ?? "" : "");
  const isTaken = text.startsWith("!");
  const [, path = "", slash] = /^!?(.*?)(\/?)$/s.exec(text)!;
  if (path === "" || text.startsWith("#")) return undefined;
  const names = path.replace(/^\//, "").split("/");
  // Without a slash it is meant in every folder.
  if (!path.includes("/")) names.unshift("**");
  // What is in a folder, and not the folder.
  else if (names.at(-1) === "**") names.push("*");
  const pattern = new PathPattern(names, { dot: true, groups: false });
  return { isTaken, onlyFolders: slash !== "", pattern };
}
