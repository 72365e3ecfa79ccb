import { MAX_PACKET_BYTES, protocolError } from "./packets.ts";
import { joinBytes } from "../bytes.ts";
import { SftpError } from "./errors.ts";

/** Text came where the first packet should be. */
export class TextError extends SftpError {
  /** What has come so far. */
  readonly bytes: Uint8Array;

  /** @param bytes What has come so far. */
  constructor(bytes: Uint8Array) {
    const { code, message } = protocolError(
      "it sent text instead of a packet",
    );
    super(code, message);
    this.bytes = bytes;
  }
}

/**
 * Cuts the bytes of a server into packets.
 *
 * Each is put together in a buffer of its own: chunks are not kept, and memory
 * is at most one packet.
 */
export class PacketSplitter {
  readonly #onPacket: (packet: Uint8Array) => void;
  readonly #buffers: PacketBuffers | undefined;
  readonly #header = new Uint8Array(4);
  #headerLength = 0;
  #packet: Uint8Array | undefined;
  #filled = 0;
  #isFirst = true;

  /**
   * Makes a splitter.
   *
   * @param onPacket Called with each packet, without its length field.
   * @param buffers Where the buffers come from. Default: a new one each time.
   */
  constructor(
    onPacket: (packet: Uint8Array) => void,
    buffers?: PacketBuffers,
  ) {
    this.#onPacket = onPacket;
    this.#buffers = buffers;
  }

  /**
   * Takes the next bytes.
   *
   * @throws {SftpError} If a length is not possible.
   * @throws {TextError} If what comes first is text.
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      at = this.#packet === undefined
        ? this.#begin(chunk, at)
        : this.#fill(this.#packet, chunk, at);
    }
  }

  /** Reads a length. */
  #begin(chunk: Uint8Array, at: number): number {
    while (this.#headerLength < 4 && at < chunk.length) {
      this.#header[this.#headerLength++] = chunk[at++] ?? 0;
    }
    if (this.#headerLength < 4) return at;
    const length = this.#checkedLength(chunk, at);
    this.#headerLength = 0;
    this.#isFirst = false;
    this.#packet = this.#buffers?.take(length) ?? new Uint8Array(length);
    this.#filled = 0;
    return at;
  }

  #fill(packet: Uint8Array, chunk: Uint8Array, at: number): number {
    const count = Math.min(packet.length - this.#filled, chunk.length - at);
    packet.set(chunk.subarray(at, at + count), this.#filled);
    this.#filled += count;
    if (this.#filled === packet.length) {
      this.#packet = undefined;
      this.#onPacket(packet);
    }
    return at + count;
  }

  #checkedLength(chunk: Uint8Array, at: number): number {
    const length = new DataView(this.#header.buffer).getUint32(0);
    if (length >= 1 && length <= MAX_PACKET_BYTES) return length;
    if (this.#isFirst && this.#header.every((byte) => byte >= 9)) {
      throw new TextError(joinBytes([this.#header, chunk.subarray(at)]));
    }
    throw protocolError(
      `a packet of ${length} bytes, allowed are 1 to ${MAX_PACKET_BYTES}`,
    );
  }
}

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
  /** What is out and may come back, in so many parts. */
  readonly #lent = new WeakMap<ArrayBufferLike, number>();
  #users = 0;

  /**
   * Returns memory for a packet; what is in it is of no meaning.
   *
   * @param parts How many views of it are to come back.
   */
  take(length: number, parts = 1): Uint8Array {
    if (this.#users === 0 || length <= SMALL_BYTES) {
      return new Uint8Array(length);
    }
    const free = this.#free.pop();
    const buffer = free !== undefined && free.byteLength >= length
      ? free
      : new ArrayBuffer(Math.ceil(length / GRAIN_BYTES) * GRAIN_BYTES);
    this.#lent.set(buffer, parts);
    return new Uint8Array(buffer, 0, length);
  }

  /**
   * Takes back a view, at which nobody may look from now on. Parts are counted:
   * each comes back once. A view of other memory is ignored.
   */
  giveBack({ buffer }: Uint8Array): void {
    const parts = this.#lent.get(buffer);
    if (parts === undefined) return;
    if (parts > 1) return void this.#lent.set(buffer, parts - 1);
    this.#lent.delete(buffer);
    if (this.#users > 0) this.#free.push(buffer as ArrayBuffer);
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
