import { abortable } from "../abort.ts";

/**
 * The handles that a server has open for a session: which, so that none is
 * taken for two files, and how many files transfers may have open at once.
 */
export class OpenHandles {
  readonly #open = new Map<string, { readonly path: string; count: number }>();
  readonly #waiting: (() => void)[] = [];
  /** Whether the server has given out one for two files. */
  isFaulty = false;
  #limit = Infinity;
  #borrowed = 0;

  /**
   * Notes a handle that the server has given out.
   *
   * @returns `false` if it is that of another file: what is read or written
   * through it may then belong to either.
   */
  opened(handle: Uint8Array, path: string): boolean {
    const key = String.fromCharCode(...handle);
    const there = this.#open.get(key);
    if (there === undefined) this.#open.set(key, { path, count: 1 });
    else if (there.path === path) there.count++;
    else this.isFaulty = true;
    return !this.isFaulty;
  }

  /** Notes that a handle is being closed. */
  closing(handle: Uint8Array): void {
    const key = String.fromCharCode(...handle);
    const there = this.#open.get(key);
    if (there !== undefined && --there.count === 0) this.#open.delete(key);
  }

  /** Sets how many files transfers may have open; 1 at least. */
  allow(limit: number): void {
    this.#limit = Math.max(1, limit);
    this.#wake();
  }

  /**
   * Waits until one more file may be open.
   *
   * @throws The signal's reason on abort.
   */
  async borrow(signal: AbortSignal): Promise<void> {
    while (this.#borrowed >= this.#limit) {
      const room = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await abortable(room, signal);
    }
    this.#borrowed++;
  }

  /** Returns what `borrow()` gave. */
  giveBack(): void {
    this.#borrowed--;
    this.#wake();
  }

  /**
   * Allows fewer files, since one could not be opened.
   *
   * @returns Whether there were others open, so that it may have been that.
   */
  allowFewer(): boolean {
    if (this.#borrowed <= 1) return false;
    this.#limit = Math.min(this.#limit, this.#borrowed - 1);
    return true;
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
