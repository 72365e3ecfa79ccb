/**
 * Small pieces of what is unread, put together.
 *
 * @module
 */

/** A piece has a price of its own: what is smaller than this is not worth it. */
const SMALL_BYTES = 512;
/** So many of them become one. */
const JOINED_BYTES = 4096;

/**
 * Holds small pieces back while older ones wait for their reader. A server that
 * sends byte by byte would otherwise fill a window of 2 MiB with as many
 * objects, which take several hundred times that.
 */
export class SmallPieces {
  #bytes: Uint8Array | undefined;
  #length = 0;

  /** How many bytes are held back. */
  get length(): number {
    return this.#length;
  }

  /** Returns whether there is room for a piece, and it is a small one. */
  takes(piece: Uint8Array): boolean {
    return piece.length < SMALL_BYTES &&
      this.#length + piece.length <= JOINED_BYTES;
  }

  /** Holds a copy of a piece back, which {@linkcode SmallPieces.takes}. */
  add(piece: Uint8Array): void {
    this.#bytes ??= new Uint8Array(JOINED_BYTES);
    this.#bytes.set(piece, this.#length);
    this.#length += piece.length;
  }

  /** Gives all that is held back, as one piece; `undefined` if nothing is. */
  take(): Uint8Array | undefined {
    if (this.#length === 0) return undefined;
    const all = this.#bytes?.slice(0, this.#length);
    this.#length = 0;
    return all;
  }
}

/** What comes before somebody reads, its small pieces put together. */
export class EarlyPieces {
  readonly #small = new SmallPieces();
  #pieces: Uint8Array[] = [];

  /** Keeps a copy of a piece. */
  add(piece: Uint8Array): void {
    if (!this.#small.takes(piece)) this.#flush();
    if (this.#small.takes(piece)) this.#small.add(piece);
    else this.#pieces.push(new Uint8Array(piece));
  }

  /** Gives all of it, and keeps nothing. */
  take(): Uint8Array[] {
    this.#flush();
    return this.#pieces.splice(0);
  }

  #flush(): void {
    const held = this.#small.take();
    if (held !== undefined) this.#pieces.push(held);
  }
}
