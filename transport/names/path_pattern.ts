/**
 * Patterns of paths: one of a name for each name, and `**` for any number.
 *
 * @module
 */

import { NamePattern, type NamePatternOptions } from "./name_pattern.ts";

/**
 * How far a pattern has been read for the names so far: a mark for each of its
 * own names that may be next.
 */
export type Progress = readonly boolean[];

/** A pattern of a path, which is read name by name. */
export class PathPattern {
  /** How far it is before the first name. */
  readonly start: Progress;
  /** `undefined` is any number of names. */
  readonly #names: readonly (NamePattern | undefined)[];
  readonly #hasAny: boolean;
  readonly #dot: boolean;

  /**
   * Reads a pattern.
   *
   * @param names What stands between its slashes.
   * @throws {RangeError} If one of them cannot be read.
   */
  constructor(names: readonly string[], options: NamePatternOptions) {
    this.#names = names.map((name) =>
      name === "**" ? undefined : new NamePattern(name, options)
    );
    this.#hasAny = this.#names.includes(undefined);
    this.#dot = options.dot;
    this.start = this.#skip([true, ...names.map(() => false)]);
  }

  /** How far it is after one name more. */
  step(progress: Progress, name: string): Progress {
    const next: boolean[] = [false];
    for (let at = 0; at < this.#names.length; at++) {
      const pattern = this.#names[at];
      const isHere = progress[at]!;
      next.push(isHere && pattern !== undefined && pattern.matches(name));
      if (isHere && pattern === undefined) {
        next[at] = this.#dot || !name.startsWith(".") || next[at]!;
      }
    }
    return this.#skip(next);
  }

  /** Whether the names so far are all that is meant. */
  isWhole(progress: Progress): boolean {
    return progress[this.#names.length]!;
  }

  /**
   * Whether more names may follow.
   *
   * @param depth How many there have been.
   * @returns `"named"` if no `**` stands for the last one.
   */
  mayGoOn(progress: Progress, depth: number): "no" | "named" | "yes" {
    const end = this.#names.length;
    if (!progress.some((isHere, at) => isHere && at < end)) return "no";
    const any = this.#names.indexOf(undefined);
    const isNamed = depth < end && progress[depth]! &&
      (any === -1 || depth <= any);
    return isNamed ? "named" : "yes";
  }

  /** `**` may stand for no name at all. */
  #skip(progress: boolean[]): Progress {
    if (!this.#hasAny) return progress;
    for (let at = 0; at < this.#names.length; at++) {
      if (this.#names[at] === undefined && progress[at]) {
        progress[at + 1] = true;
      }
    }
    return progress;
  }
}
