/**
 * Patterns that stand for many names: globs, and lines as in a `.gitignore`.
 *
 * @module
 */

import { expandBraces } from "../names/braces.ts";
import { Descent } from "../names/descent.ts";
import { PathPattern, type Progress } from "../names/path_pattern.ts";
import { ignoreRules } from "./_ignore.ts";
import type { EntryFilter } from "./options.ts";

/** Says whether an entry is taken, by its path below the top. */
export type FilterFunction = (path: string) => boolean;

/**
 * Makes a function of a filter.
 *
 * @param filter A function, or patterns of what is left out.
 */
export function filterOf(
  filter: EntryFilter | undefined,
): FilterFunction | undefined {
  if (filter === undefined || typeof filter === "function") return filter;
  return ignoreRules(typeof filter === "string" ? [filter] : filter);
}

/** A character, or the start of a group, that stands for others. */
const MAGIC = /[*?[{]|[@+!]\(/;

/** Text in which escaped characters stand for nothing. */
function bare(text: string): string {
  return text.replace(/\\./g, "x");
}

/** How many characters a pattern may have. */
const MAX_LENGTH = 4_096;

/** What one pattern without braces stands for. */
interface Branch {
  readonly onlyFolders: boolean;
  /** Whether all is meant that is in a folder that matches. */
  readonly takesAll: boolean;
  readonly pattern: PathPattern;
}

/** How far each branch has been read for a path. */
interface Reading {
  /** How many names the path has. */
  readonly depth: number;
  readonly progress: readonly Progress[];
}

/** A path with `*`, `?`, `[...]`, `{a,b}`, `**` or `@(...)` in it. */
export class Glob {
  /** The folder that all paths are in; empty if that is the current one. */
  readonly base: string;
  readonly #branches: readonly Branch[];
  readonly #folders: Descent<Reading>;
  /** What was read last: it is asked more than one thing. */
  #last: { readonly below: string; readonly reading: Reading };

  private constructor(base: string, rest: readonly string[], dot: boolean) {
    this.base = base;
    this.#branches = rest.flatMap((it) => branchesOf(it, dot));
    const reading = {
      depth: 0,
      progress: this.#branches.map(({ pattern }) => pattern.start),
    };
    this.#folders = new Descent<Reading>(
      reading,
      (above, name) => this.#step(above, name),
    );
    this.#last = { below: "", reading };
  }

  /**
   * Reads a pattern.
   *
   * @param pattern The path.
   * @param dot Whether `*`, `?` and `**` stand for a dot at the start of a name.
   * @returns `undefined` if it stands for one path.
   * @throws {RangeError} If it is too long, too deep, or stands for too many.
   * @throws {TypeError} If it stands for paths of the root and for others.
   */
  static of(pattern: string, dot = false): Glob | undefined {
    const segments = pattern.split("/");
    const first = segments.findIndex((it) => MAGIC.test(bare(it)));
    if (first === -1) return undefined;
    if (pattern.length > MAX_LENGTH) {
      throw new RangeError(
        `Cannot read a pattern of ${pattern.length} characters: ` +
          `at most ${MAX_LENGTH} are allowed`,
      );
    }
    const base = segments.slice(0, first).join("/").replace(/\\(.)/g, "$1");
    const isRoot = base === "" && first > 0;
    const rest = expandBraces(segments.slice(first).join("/"));
    if (first === 0 && rest.some((it) => it.startsWith("/"))) {
      throw new TypeError(
        `Cannot read the pattern ${JSON.stringify(pattern)}: what is in its ` +
          'braces begins with "/", which must stand before them',
      );
    }
    return new Glob(isRoot ? "/" : base, rest, dot);
  }

  /** Whether an entry is meant, by its path below the base. */
  matches(below: string, isFolder: boolean): boolean {
    return this.#isWhole(below, ({ onlyFolders }) => isFolder || !onlyFolders);
  }

  /** Whether all is meant that is in a folder. */
  takesAll(below: string): boolean {
    return this.#isWhole(below, ({ takesAll }) => takesAll);
  }

  /**
   * Whether a folder may have entries that are meant.
   *
   * @returns `"named"` if the pattern names it, so that it may be a link.
   */
  mayHave(below: string): "no" | "named" | "yes" {
    const { depth, progress } = this.#read(below);
    const found = this.#branches.map(({ pattern }, index) =>
      pattern.mayGoOn(progress[index]!, depth)
    );
    if (found.includes("named")) return "named";
    return found.includes("yes") ? "yes" : "no";
  }

  #isWhole(below: string, counts: (branch: Branch) => boolean): boolean {
    const { progress } = this.#read(below);
    return this.#branches.some((branch, index) =>
      counts(branch) && branch.pattern.isWhole(progress[index]!)
    );
  }

  #read(below: string): Reading {
    if (this.#last.below !== below) {
      const start = below.lastIndexOf("/") + 1;
      const above = this.#folders.at(below.slice(0, start));
      this.#last = { below, reading: this.#step(above, below.slice(start)) };
    }
    return this.#last.reading;
  }

  #step({ depth, progress }: Reading, name: string): Reading {
    return {
      depth: depth + 1,
      progress: this.#branches.map(({ pattern }, index) =>
        pattern.step(progress[index]!, name)
      ),
    };
  }
}

/** Reads a pattern without braces. */
function branchesOf(path: string, dot: boolean): Branch[] {
  const segments = path.split("/");
  const onlyFolders = segments.at(-1) === "";
  const names = segments.filter((name) => name !== "");
  const of = (names: readonly string[], more: Omit<Branch, "pattern">) => ({
    ...more,
    pattern: new PathPattern(names, { dot, groups: true }),
  });
  if (names.at(-1) !== "**") {
    return [of(names, { onlyFolders, takesAll: true })];
  }
  // `a/**` is the folder, and all that is in it, but no file `a`.
  return [
    of(names, { onlyFolders: true, takesAll: false }),
    of([...names, "*"], { onlyFolders, takesAll: false }),
  ];
}
