import { isUnfinished } from "../_unfinished.ts";
import type { Keeps, Target } from "./_plan.ts";
import { TreeBounds } from "./_tree_bounds.ts";
import type { CheckedTransferOptions } from "./options.ts";

/**
 * What is kept in mind of a target: what the source has too, what earlier
 * copies have left, and with `delete` all. A server could have no end of it.
 */
export class TargetNames {
  readonly #limit: number;
  readonly #bounds: TreeBounds | undefined;
  #leftOver = 0;

  /**
   * Takes what bounds it.
   *
   * @param to The path of the target, for errors.
   */
  constructor(
    { maxEntries: usual }: Pick<Target, "maxEntries">,
    to: string,
    { maxEntries = 0, delete: removes = false }: CheckedTransferOptions,
  ) {
    this.#limit = Math.max(usual, maxEntries);
    if (removes) this.#bounds = new TreeBounds(to, this.#limit, usual);
  }

  /**
   * Returns what to keep of a folder.
   *
   * @param names What the source has there.
   */
  of(names: ReadonlySet<string>): Keeps {
    let others = 0;
    return (name) => {
      if (names.has(name)) return true;
      if (this.#bounds !== undefined) {
        this.#bounds.count();
        this.#bounds.measure(name);
        return true;
      }
      const isLeftOver = isUnfinished(name);
      if (isLeftOver) this.#leftOver++;
      if (++others > this.#limit || this.#leftOver > this.#limit) return;
      return isLeftOver;
    };
  }
}
