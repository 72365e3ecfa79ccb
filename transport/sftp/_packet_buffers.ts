/** Packets up to this size get a buffer of their own. */
const SMALL_BYTES = 16 * 1024;
/** Buffers come in multiples of this, so that packets of about a size share. */
const GRAIN_BYTES = 16 * 1024;

/**
 * Memory for large packets that is used again. A file of a gigabyte in packets
 * of 256 KiB would leave as much garbage behind, which the collector sees late.
 *
 * There is a store only while somebody reads who gives buffers back.
 */
export class PacketBuffers {
  readonly #free: ArrayBuffer[] = [];
  /** What is out and may come back. */
  readonly #lent = new WeakSet<ArrayBufferLike>();
  #users = 0;

  /** Gives memory for a packet; what is in it is of no meaning. */
  take(length: number): Uint8Array {
    if (this.#users === 0 || length <= SMALL_BYTES) {
      return new Uint8Array(length);
    }
    const free = this.#free.pop();
    const buffer = free !== undefined && free.byteLength >= length
      ? free
      : new ArrayBuffer(Math.ceil(length / GRAIN_BYTES) * GRAIN_BYTES);
    this.#lent.add(buffer);
    return new Uint8Array(buffer, 0, length);
  }

  /**
   * Takes back the memory that a view is of. Nobody may look at it from now on.
   * A view of other memory is ignored.
   */
  giveBack({ buffer }: Uint8Array): void {
    if (!this.#lent.delete(buffer) || this.#users === 0) return;
    this.#free.push(buffer as ArrayBuffer);
  }

  /** Somebody begins to read who will give back. */
  enter(): void {
    this.#users++;
  }

  /** And ends: with the last one the store goes. */
  leave(): void {
    this.#users--;
    if (this.#users === 0) this.#free.length = 0;
  }
}
