/**
 * Patterns of paths: one of a name for each name, and `**` for any number.
 *
 * @module
 */

import { NamePattern, type NamePatternOptions } from "./name_pattern.ts";

/** How far a pattern has been read for the names so far: all that is possible. */
export type Progress = readonly number[];

/** A pattern of a path, which is read name by name. */
export class PathPattern {
  /** `undefined` is any number of names. */
  readonly #names: readonly (NamePattern | undefined)[];
  readonly #dot: boolean;

  /**
   * Reads a pattern.
   *
   * @param names What stands between its slashes.
   */
  constructor(names: readonly string[], options: NamePatternOptions) {
    this.#names = names.map((name) =>
      name === "**" ? undefined : new NamePattern(name, options)
    );
    this.#dot = options.dot;
  }

  /** How far it is before the first name. */
  get start(): Progress {
    return this.#withSkipped([0]);
  }

  /** How far it is after one name more; empty if it is not meant. */
  step(progress: Progress, name: string): Progress {
    const next: number[] = [];
    for (const at of progress) {
      const pattern = this.#names[at];
      if (pattern !== undefined) {
        if (pattern.matches(name)) next.push(at + 1);
      } else if (at < this.#names.length && this.#mayPass(name)) next.push(at);
    }
    return this.#withSkipped(next);
  }

  /** How far it is after all names of a path. */
  read(names: readonly string[]): Progress {
    return names.reduce<Progress>(
      (at, name) => this.step(at, name),
      this.start,
    );
  }

  /** Whether the names so far are all that is meant. */
  isWhole(progress: Progress): boolean {
    return progress.at(-1) === this.#names.length;
  }

  /**
   * Whether more names may follow.
   *
   * @returns `"named"` if no `**` stands for the last one.
   */
  mayGoOn(progress: Progress, depth: number): "no" | "named" | "yes" {
    const open = progress.filter((at) => at < this.#names.length);
    if (open.length === 0) return "no";
    const any = this.#names.indexOf(undefined);
    return open.includes(depth) && (any === -1 || depth <= any)
      ? "named"
      : "yes";
  }

  #mayPass(name: string): boolean {
    return this.#dot || !name.startsWith(".");
  }

  /** `**` may stand for no name at all. */
  #withSkipped(progress: readonly number[]): Progress {
    const found = new Set<number>();
    for (let at of progress) {
      found.add(at);
      while (at < this.#names.length && this.#names[at] === undefined) {
        found.add(++at);
      }
    }
    return [...found].sort((a, b) => a - b);
  }
}
