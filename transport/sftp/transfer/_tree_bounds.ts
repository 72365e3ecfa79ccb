import { CHARACTERS_PER_ENTRY, MAX_DEPTH, MAX_PATH } from "../_entries.ts";
import type { SftpError } from "../errors.ts";
import { transferError } from "./_errors.ts";

/** A server may have no end of them, and all are kept until they are copied. */
export const MAX_ENTRIES = 250_000;

/** How large a tree may be that is kept until it is copied. */
export class TreeBounds {
  readonly #top: string;
  readonly #maxEntries: number;
  readonly #maxPath: number;
  readonly #mostEntries: number;
  #entries = 0;
  #characters = 0;

  /**
   * Takes what bounds it.
   *
   * @param top The path of the tree, for errors.
   * @param maxEntries How many entries it may have.
   * @param usual How many it may have unless the options say; the tree is the
   * caller's own if that is `Infinity`, and its paths have no bound then.
   */
  constructor(top: string, maxEntries: number, usual: number) {
    this.#top = top;
    this.#maxEntries = maxEntries;
    this.#maxPath = usual === Infinity ? Infinity : MAX_PATH;
    this.#mostEntries = Math.max(maxEntries, usual);
  }

  /** Counts an entry. */
  count(): void {
    if (++this.#entries <= this.#maxEntries) return;
    throw this.#refused(
      `it has more than ${this.#maxEntries} entries, which maxEntries allows`,
    );
  }

  /** Counts the characters of a path, which may be joined and not copied yet. */
  measure({ length }: string): void {
    if (length > this.#maxPath) {
      throw this.#refused(
        `it has a path of ${length} characters, allowed are ${this.#maxPath}`,
      );
    }
    const most = CHARACTERS_PER_ENTRY * this.#mostEntries;
    this.#characters += length;
    if (this.#characters <= most) return;
    throw this.#refused(
      `its paths have more than ${most} characters, ` +
        `${CHARACTERS_PER_ENTRY} for each of ${this.#mostEntries} entries`,
    );
  }

  /** Checks how many folders are in each other. */
  descend(depth: number): void {
    if (depth <= MAX_DEPTH) return;
    throw this.#refused(`it has more than ${MAX_DEPTH} folders in each other`);
  }

  #refused(why: string): SftpError {
    return transferError("SSH_SFTP_TRANSFER_REFUSED", this.#top, why);
  }
}
