/** The bytes of a file in memory. */

const PAGE_BYTES = 64 * 1024;

/**
 * Bytes in pages of one size. A page that was never written is not there and
 * reads as zeros, so a file with holes takes the memory of what is in it, and
 * one that grows is not copied.
 */
export class Content {
  readonly #pages = new Map<number, Uint8Array>();
  #size = 0;

  /** How many bytes there are, holes included. */
  get size(): number {
    return this.#size;
  }

  /** Reads up to `length` bytes; none at the end. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const count = Math.max(0, Math.min(length, this.#size - offset));
    const bytes = new Uint8Array(count);
    for (const part of partsOf(offset, count)) {
      const page = this.#pages.get(part.page);
      if (page === undefined) continue;
      bytes.set(page.subarray(part.from, part.from + part.length), part.at);
    }
    return bytes;
  }

  /** Writes all of it; what lies between the old end and it is zeros. */
  write(offset: number, data: Uint8Array): void {
    for (const { page, from, at, length } of partsOf(offset, data.length)) {
      let bytes = this.#pages.get(page);
      if (bytes === undefined) {
        bytes = new Uint8Array(PAGE_BYTES);
        this.#pages.set(page, bytes);
      }
      bytes.set(data.subarray(at, at + length), from);
    }
    if (data.length > 0) {
      this.#size = Math.max(this.#size, offset + data.length);
    }
  }

  /** Cuts it, or adds zeros. */
  resize(size: number): void {
    if (size < this.#size) {
      for (const page of [...this.#pages.keys()]) {
        if (page * PAGE_BYTES >= size) this.#pages.delete(page);
      }
      // What is behind the end must not come back when it grows.
      const last = Math.floor(size / PAGE_BYTES);
      this.#pages.get(last)?.fill(0, size % PAGE_BYTES);
    }
    this.#size = size;
  }
}

interface Part {
  readonly page: number;
  /** Where it begins in the page. */
  readonly from: number;
  /** Where it begins in the range. */
  readonly at: number;
  readonly length: number;
}

/** Cuts a range at the borders of pages. */
function* partsOf(offset: number, count: number): Generator<Part> {
  let at = 0;
  while (at < count) {
    const page = Math.floor((offset + at) / PAGE_BYTES);
    const from = (offset + at) % PAGE_BYTES;
    const length = Math.min(PAGE_BYTES - from, count - at);
    yield { page, from, at, length };
    at += length;
  }
}
