/**
 * Patterns that stand for many names: globs, and lines as in a `.gitignore`.
 * Their libraries are loaded when the first pattern is used.
 *
 * @module
 */

import type { EntryFilter } from "./options.ts";

/** Says whether an entry is taken, by its path below the top. */
export type FilterFunction = (path: string) => boolean;

/**
 * Makes a function of a filter.
 *
 * @param filter A function, or patterns of what is left out.
 */
export async function filterOf(
  filter: EntryFilter | undefined,
): Promise<FilterFunction | undefined> {
  if (filter === undefined || typeof filter === "function") return filter;
  const { default: ignore } = await import("ignore");
  // Names of a server may be such as no path of Windows has.
  const options = { ignorecase: false, allowRelativePaths: true };
  const patterns = typeof filter === "string" ? filter : [...filter];
  return ignore(options).add(patterns).createFilter();
}

/** What of picomatch is used. */
type Picomatch = (
  glob: string,
  options: {
    readonly dot: boolean;
    readonly nonegate: true;
    readonly posix: true;
  },
) => (path: string) => boolean;

/** A character, or the start of a group, that stands for others. */
const MAGIC = /[*?[{]|[@+!]\(/;

/** Text in which escaped characters stand for nothing. */
function bare(text: string): string {
  return text.replace(/\\./g, "x");
}

/** Whether braces and brackets that a segment opens end in it. */
function isClosed(segment: string): boolean {
  const text = bare(segment);
  const count = (of: RegExp) => text.match(of)?.length ?? 0;
  return count(/\{/g) <= count(/\}/g) && count(/\(/g) <= count(/\)/g);
}

/** A path with `*`, `?`, `[...]`, `{a,b}`, `**` or `@(...)` in it. */
export class Glob {
  /** The folder that all paths are in; empty if that is the current one. */
  readonly base: string;
  /** Whether all is meant that is in a folder that matches. */
  readonly takesAll: boolean;
  readonly #onlyFolders: boolean;
  readonly #matches: (path: string) => boolean;
  /** One test for each folder on the way, as long as it says one name. */
  readonly #steps: readonly ((name: string) => boolean)[];
  /** How many names a path has; `Infinity` if any number. */
  readonly #depth: number;
  /** Whether a name with a dot before it can be meant. */
  readonly #takesHidden: boolean;

  private constructor(
    { base, rest }: { base: string; rest: readonly string[] },
    match: Picomatch,
    dot: boolean,
  ) {
    // `[!a]` and `[[:digit:]]` mean what they mean to a shell.
    const options = { dot, nonegate: true, posix: true } as const;
    const segments = rest.filter((it) => it !== "");
    this.base = base;
    this.#onlyFolders = rest.at(-1) === "";
    this.#matches = match(segments.join("/"), options);
    this.takesAll = segments.at(-1) !== "**";
    const open = segments.findIndex((it) => it.includes("**") || !isClosed(it));
    this.#depth = open === -1 ? segments.length : Infinity;
    const known = open === -1 ? segments : segments.slice(0, open);
    this.#steps = known.map((segment) => match(segment, options));
    // picomatch would take hidden names for `!(...)`, which shells do not.
    this.#takesHidden = dot || /(^|[/{,(|])\\?[.[]/.test(segments.join("/"));
  }

  /**
   * Reads a pattern.
   *
   * @param pattern The path.
   * @param dot Whether `*`, `?` and `**` stand for a dot at the start of a name.
   * @returns `undefined` if it stands for one path.
   */
  static async of(pattern: string, dot = false): Promise<Glob | undefined> {
    const segments = pattern.split("/");
    const first = segments.findIndex((it) => MAGIC.test(bare(it)));
    if (first === -1) return undefined;
    const base = segments.slice(0, first).join("/").replace(/\\(.)/g, "$1");
    const isRoot = base === "" && first > 0;
    const { default: picomatch } = await import("picomatch");
    return new Glob(
      { base: isRoot ? "/" : base, rest: segments.slice(first) },
      picomatch as Picomatch,
      dot,
    );
  }

  /** Whether an entry is meant, by its path below the base. */
  matches(below: string, isFolder: boolean): boolean {
    return (isFolder || !this.#onlyFolders) && this.#mayBeHidden(below) &&
      this.#matches(below);
  }

  /**
   * Whether a folder may have entries that are meant.
   *
   * @returns `"named"` if the pattern names it, so that it may be a link.
   */
  mayHave(below: string): "no" | "named" | "yes" {
    const names = below.split("/");
    const isOnWay = names.length < this.#depth && this.#mayBeHidden(below) &&
      names.every((name, index) => this.#steps[index]?.(name) ?? true);
    if (!isOnWay) return "no";
    return names.length <= this.#steps.length ? "named" : "yes";
  }

  #mayBeHidden(below: string): boolean {
    return this.#takesHidden || !/(^|\/)\./.test(below);
  }
}
