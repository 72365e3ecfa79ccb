/**
 * Lines as in a `.gitignore`, which say what is left out.
 *
 * @module
 */

import { PathPattern, type Progress } from "../names/path_pattern.ts";

interface Rule {
  /** Whether what it means is taken all the same. */
  readonly isTaken: boolean;
  readonly onlyFolders: boolean;
  readonly pattern: PathPattern;
}

/** What is known of a folder. */
interface Known {
  readonly path: string;
  readonly isLeftOut: boolean;
  readonly progress: readonly Progress[];
}

/**
 * Makes a function of rules, which says whether an entry is taken.
 *
 * @param lines One string may hold many.
 */
export function ignoreRules(
  lines: readonly string[],
): (path: string) => boolean {
  const rules = lines.flatMap((it) => it.replace(/^\ufeff/, "").split(/\r?\n/))
    .flatMap((it) => ruleOf(it) ?? []);
  const top: Known = {
    path: "",
    isLeftOut: false,
    progress: rules.map(({ pattern }) => pattern.start),
  };
  // A folder's entries come one after another.
  let last = top;
  const below = (folder: Known, name: string, isFolder: boolean): Known => {
    const progress = rules.map(({ pattern }, index) =>
      pattern.step(folder.progress[index]!, name)
    );
    // The last one counts.
    const rule = rules.findLast(({ pattern, onlyFolders }, index) =>
      (isFolder || !onlyFolders) && pattern.isWhole(progress[index]!)
    );
    return {
      path: `${folder.path}${name}/`,
      isLeftOut: folder.isLeftOut || (rule !== undefined && !rule.isTaken),
      progress,
    };
  };
  return (path) => {
    const isFolder = path.endsWith("/");
    const whole = isFolder ? path.slice(0, -1) : path;
    const above = whole.slice(0, whole.lastIndexOf("/") + 1);
    if (last.path !== above) {
      last = above.split("/").slice(0, -1)
        .reduce((folder, name) => below(folder, name, true), top);
    }
    return !below(last, whole.slice(above.length), isFolder).isLeftOut;
  };
}

/** Reads a line; `undefined` if it says nothing. */
function ruleOf(line: string): Rule | undefined {
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
