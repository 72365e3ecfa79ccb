/** The bytes of a file in memory. */

const PAGE_BYTES = 64 * 1024;

/**
 * Bytes in pages of one size. A page that was never written is not there and
 * reads as zeros, so a file with holes takes the memory of what is in it, and
 * one that grows is not copied.
 */
export class FileContent {
  readonly #pages = new Map<number, Uint8Array>();
  /** How many bytes there are, holes included. */
  size = 0;

  /** Reads up to `length` bytes; none at the end. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const count = Math.max(0, Math.min(length, this.size - offset));
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const { page, from, most } = placeOf(offset + at);
      const data = this.#pages.get(page);
      const end = Math.min(from + count - at, PAGE_BYTES);
      if (data !== undefined) bytes.set(data.subarray(from, end), at);
      at += most;
    }
    return bytes;
  }

  /** Writes all of it; what lies between the old end and it is zeros. */
  write(offset: number, data: Uint8Array): void {
    for (let at = 0; at < data.length;) {
      const { page, from, most } = placeOf(offset + at);
      const bytes = this.#pages.get(page) ?? new Uint8Array(PAGE_BYTES);
      this.#pages.set(page, bytes);
      bytes.set(data.subarray(at, at + most), from);
      at += most;
    }
    if (data.length > 0) this.size = Math.max(this.size, offset + data.length);
  }

  /** Cuts it, or adds zeros. */
  resize(size: number): void {
    const { page: last, from } = placeOf(size);
    for (const page of size < this.size ? this.#pages.keys() : []) {
      // What is behind the end must not come back when it grows.
      if (page > last) this.#pages.delete(page);
      else if (page === last) this.#pages.get(page)?.fill(0, from);
    }
    this.size = size;
  }
}

/** The page of a byte, where it lies there, and how much of the page is left. */
function placeOf(offset: number) {
  const from = offset % PAGE_BYTES;
  return {
    page: Math.floor(offset / PAGE_BYTES),
    from,
    most: PAGE_BYTES - from,
  };
}
