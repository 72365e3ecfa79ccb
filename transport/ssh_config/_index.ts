/**
 * Finds the blocks of a file that may apply to a name, without a look at the
 * others. In a file with ten thousand hosts few blocks are left.
 *
 * @module
 */

import { hasWildcard } from "../host/pattern.ts";
import type { Block, ParsedFile } from "./_parser.ts";

const NONE: readonly number[] = [];

/** The index of one file. */
export class FileIndex {
  /** Whether a keyword that OpenSSH does not know is in it, or is included. */
  readonly hasUnknown: boolean;
  readonly #blocks: readonly Block[];
  /** Blocks by the plain names in their `Host` line. */
  readonly #exact = new Map<string, number[]>();
  /** Blocks to look at for every name. */
  readonly #always: number[] = [];

  /** Use {@linkcode indexOf}. */
  constructor(file: ParsedFile) {
    this.#blocks = file.blocks;
    let unknown = false;
    for (const [at, block] of file.blocks.entries()) {
      const odd = blockHasUnknown(block);
      unknown ||= odd;
      const names = odd ? undefined : plainNames(block);
      if (names === undefined) this.#always.push(at);
      else for (const name of names) this.#add(name, at);
    }
    this.hasUnknown = unknown;
  }

  #add(name: string, at: number): void {
    const list = this.#exact.get(name);
    if (list === undefined) this.#exact.set(name, [at]);
    else list.push(at);
  }

  /** Gives the blocks that may apply to a name, in the order of the file. */
  *candidates(name: string): Generator<Block> {
    const exact = this.#exact.get(name) ?? NONE;
    let e = 0;
    for (const at of this.#always) {
      while (e < exact.length && exact[e]! < at) {
        yield this.#blocks[exact[e++]!]!;
      }
      yield this.#blocks[at]!;
    }
    while (e < exact.length) yield this.#blocks[exact[e++]!]!;
  }
}

const indexes = new WeakMap<ParsedFile, FileIndex>();

/** Gives the index of a file, made when it is first asked for. */
export function indexOf(file: ParsedFile): FileIndex {
  let index = indexes.get(file);
  if (index === undefined) {
    index = new FileIndex(file);
    indexes.set(file, index);
  }
  return index;
}

// Unknown keywords are an error wherever they stand, but for those that
// IgnoreUnknown names, which may depend on the host: such blocks are always
// looked at.
function blockHasUnknown(block: Block): boolean {
  return block.directives.some((d) =>
    d.kind === "unknown" ||
    (d.kind === "include" && d.files.some((file) => indexOf(file).hasUnknown))
  );
}

/**
 * Returns the names that a block can apply to; `undefined` if it has a
 * wildcard.
 */
function plainNames(block: Block): Set<string> | undefined {
  if (block.condition.kind !== "host") return undefined;
  const names = new Set<string>();
  for (const { text, negated } of block.condition.patterns) {
    if (negated) continue;
    if (hasWildcard(text)) return undefined;
    names.add(text);
  }
  return names;
}
