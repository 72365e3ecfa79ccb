/**
 * Patterns that stand for many names: globs, and lines as in a `.gitignore`.
 *
 * @module
 */

import { expandBraces } from "../names/braces.ts";
import { PathPattern } from "../names/path_pattern.ts";
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

/** What one pattern without braces stands for. */
interface Branch {
  readonly onlyFolders: boolean;
  readonly pattern: PathPattern;
}

/** A path with `*`, `?`, `[...]`, `{a,b}`, `**` or `@(...)` in it. */
export class Glob {
  /** The folder that all paths are in; empty if that is the current one. */
  readonly base: string;
  /** Whether all is meant that is in a folder that matches. */
  readonly takesAll: boolean;
  readonly #branches: readonly Branch[];

  private constructor(base: string, rest: string, dot: boolean) {
    const branches = expandBraces(rest).map((it) => {
      const names = it.split("/");
      const onlyFolders = names.at(-1) === "";
      return { onlyFolders, names: names.filter((name) => name !== "") };
    });
    const endsInAny = ({ names }: (typeof branches)[number]) =>
      names.at(-1) === "**";
    this.base = base;
    this.takesAll = !branches.some(endsInAny);
    this.#branches = branches.flatMap(({ onlyFolders, names }) => {
      const of = (names: readonly string[], onlyFolders: boolean) => ({
        onlyFolders,
        pattern: new PathPattern(names, { dot, groups: true }),
      });
      // `a/**` is the folder, and all that is in it, but no file `a`.
      return names.at(-1) === "**"
        ? [of(names, true), of([...names, "*"], onlyFolders)]
        : [of(names, onlyFolders)];
    });
  }

  /**
   * Reads a pattern.
   *
   * @param pattern The path.
   * @param dot Whether `*`, `?` and `**` stand for a dot at the start of a name.
   * @returns `undefined` if it stands for one path.
   * @throws {RangeError} If it is too long, too deep, or stands for too many.
   */
  static of(pattern: string, dot = false): Glob | undefined {
    const segments = pattern.split("/");
    const first = segments.findIndex((it) => MAGIC.test(bare(it)));
    if (first === -1) return undefined;
    const base = segments.slice(0, first).join("/").replace(/\\(.)/g, "$1");
    const isRoot = base === "" && first > 0;
    return new Glob(isRoot ? "/" : base, segments.slice(first).join("/"), dot);
  }

  /** Whether an entry is meant, by its path below the base. */
  matches(below: string, isFolder: boolean): boolean {
    const names = below.split("/");
    return this.#branches.some(({ onlyFolders, pattern }) =>
      (isFolder || !onlyFolders) && pattern.isWhole(pattern.read(names))
    );
  }

  /**
   * Whether a folder may have entries that are meant.
   *
   * @returns `"named"` if the pattern names it, so that it may be a link.
   */
  mayHave(below: string): "no" | "named" | "yes" {
    const names = below.split("/");
    const found = this.#branches.map(({ pattern }) =>
      pattern.mayGoOn(pattern.read(names), names.length)
    );
    if (found.includes("named")) return "named";
    return found.includes("yes") ? "yes" : "no";
  }
}
