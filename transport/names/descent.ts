/** How many folders are remembered. */
const MAX_FOLDERS = 1_000;

/**
 * What is known of each folder of a tree, which follows from what is known of
 * the one above it. So an entry of a deep tree costs no more than another one.
 */
export class Descent<T> {
  readonly #top: T;
  readonly #step: (above: T, name: string) => T;
  readonly #known = new Map<string, T>();
  /** A folder's entries come one after another. */
  #last: { readonly path: string; readonly known: T };

  /**
   * Knows the top alone.
   *
   * @param step Goes down by one name.
   */
  constructor(top: T, step: (above: T, name: string) => T) {
    this.#top = top;
    this.#step = step;
    this.#last = { path: "", known: top };
  }

  /** What is known of a folder; `path` ends with a slash, or is empty. */
  at(path: string): T {
    if (this.#last.path === path) return this.#last.known;
    const names: string[] = [];
    let above = path;
    let known: T | undefined;
    while (above !== "" && (known = this.#recall(above)) === undefined) {
      const start = above.lastIndexOf("/", above.length - 2) + 1;
      names.push(above.slice(start, -1));
      above = above.slice(0, start);
    }
    let now = known ?? this.#top;
    for (const name of names.reverse()) {
      now = this.#step(now, name);
      above += `${name}/`;
      for (const oldest of this.#known.keys()) {
        if (this.#known.size < MAX_FOLDERS) break;
        this.#known.delete(oldest);
      }
      this.#known.set(above, now);
    }
    this.#last = { path, known: now };
    return now;
  }

  /** What was asked for last is forgotten last. */
  #recall(path: string): T | undefined {
    const known = this.#known.get(path);
    if (known === undefined) return undefined;
    this.#known.delete(path);
    this.#known.set(path, known);
    return known;
  }
}
