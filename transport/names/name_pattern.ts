/**
 * Patterns of names, as shells have them: `*`, `?`, `[a-z]` and `@(a|b)`.
 *
 * The names come from servers, so they are read in a time that is bounded by
 * the product of the lengths; what takes longer with `!(...)` is refused. A
 * regular expression made of `*a*a*a*b` takes minutes for one name.
 *
 * @module
 */

import { matchPattern, type PatternElement } from "../host/pattern.ts";
import { GroupPattern } from "./_group_pattern.ts";
import { elementAt } from "./_elements.ts";

/** How to read a pattern of names. */
export interface NamePatternOptions {
  /** Whether wildcards stand for a dot at the start of a name too. */
  readonly dot: boolean;
  /** Whether `?(...)`, `*(...)`, `+(...)`, `@(...)` and `!(...)` are known. */
  readonly groups: boolean;
}

/** How many characters a pattern may have. */
const MAX_LENGTH = 4_096;

/** A pattern of one name. */
export class NamePattern {
  readonly #dot: boolean;
  /** None with groups. */
  readonly #elements: readonly PatternElement[] = [];
  readonly #groups: GroupPattern | undefined;

  /**
   * Reads a pattern. What is no whole wildcard stands for itself: `[a`, `@(a`.
   *
   * @param pattern The pattern.
   * @throws {RangeError} If it is longer than 4,096 characters, or has more
   * than 100 groups in each other.
   */
  constructor(pattern: string, { dot, groups }: NamePatternOptions) {
    if (pattern.length > MAX_LENGTH) {
      throw new RangeError(
        `Cannot read a pattern of ${pattern.length} characters: ` +
          `at most ${MAX_LENGTH} are allowed`,
      );
    }
    this.#dot = dot;
    const chars = Array.from(pattern);
    if (groups && /[?*+@!]\(/.test(pattern)) {
      this.#groups = new GroupPattern(chars, dot);
      return;
    }
    const elements: PatternElement[] = [];
    for (let at = 0; at < chars.length;) {
      const { element, end } = elementAt(chars, at, chars.length);
      elements.push(element);
      at = end;
    }
    this.#elements = elements;
  }

  /**
   * Whether it stands for a name.
   *
   * @throws {RangeError} If a `!(...)` in it would take too long.
   */
  matches(name: string): boolean {
    // A character of two units is one.
    const chars = /[\ud800-\udfff]/.test(name) ? Array.from(name) : name;
    if (this.#groups !== undefined) return this.#groups.matches(chars);
    const mayBe = this.#dot || chars[0] !== "." || this.#elements[0] === ".";
    return mayBe && matchPattern(chars, this.#elements);
  }
}
