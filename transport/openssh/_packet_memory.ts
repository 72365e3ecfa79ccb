/**
 * Memory of large packets, which is used again.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** Eight packets with 32 KiB of data, as many as a write of SFTP is sent in. */
const SLAB_BYTES = 8 * (32 * 1024 + 64);
/** How much of it is kept: 2 MiB, as a window of sshd. */
const MAX_SPARE = 8;

interface Slab {
  readonly memory: Buffer;
  /** Where the next packet goes. */
  used: number;
  /** Packets in it that are not written. */
  packets: number;
}

/** Packets that follow one another in memory, and are written in one piece. */
interface Run {
  readonly slab: Slab;
  readonly from: number;
  to: number;
  packets: number;
}

/** Writes bytes; calls back when their memory is no longer needed. */
type Write = (bytes: Uint8Array, written: () => void) => void;

/**
 * Lays packets end to end, and writes those that are sent in one turn in one
 * piece, without a copy:
 *
 * ```text
 * | packet | packet | packet |      |
 *          from              to    the end of a slab
 * ```
 *
 * A write costs a system call and a promise, and wakes `ssh`; a new packet each
 * time would be as much garbage as data.
 */
export class PacketMemory {
  readonly #write: Write;
  readonly #slabs = new WeakMap<ArrayBufferLike, Slab>();
  readonly #spare: Slab[] = [];
  #current: Slab | undefined;
  #run: Run | undefined;

  /** @param write Writes to the system. */
  constructor(write: Write) {
    this.#write = write;
  }

  /** Bytes that were sent and not given to the system. */
  get bytes(): number {
    return this.#run === undefined ? 0 : this.#run.to - this.#run.from;
  }

  /** Returns memory for a packet; `undefined` for one that is too large. */
  take(size: number): Buffer | undefined {
    if (size > SLAB_BYTES) return undefined;
    let slab = this.#current;
    if (slab === undefined || slab.used + size > SLAB_BYTES) {
      slab = this.#current = this.#spare.pop() ?? this.#newSlab();
    }
    const at = slab.used;
    slab.used += size;
    slab.packets++;
    return slab.memory.subarray(at, at + size);
  }

  #newSlab(): Slab {
    const memory = Buffer.allocUnsafeSlow(SLAB_BYTES);
    const slab = { memory, used: 0, packets: 0 };
    this.#slabs.set(memory.buffer, slab);
    return slab;
  }

  /** Whether the memory of a packet is from here. */
  owns({ buffer }: Buffer): boolean {
    return this.#slabs.has(buffer);
  }

  /** Sends a packet, at the latest when this turn is over. */
  send({ buffer, byteOffset, length }: Buffer): void {
    const slab = this.#slabs.get(buffer)!;
    const from = byteOffset - slab.memory.byteOffset;
    let run = this.#run;
    if (run?.slab !== slab || run.to !== from) {
      this.flush();
      run = this.#run = { slab, from, to: from, packets: 0 };
      queueMicrotask(() => this.#run === run && this.flush());
    }
    run.to += length;
    run.packets++;
  }

  /** Writes what was sent. */
  flush(): void {
    const run = this.#run;
    this.#run = undefined;
    if (run === undefined) return;
    const { slab, from, to, packets } = run;
    this.#write(slab.memory.subarray(from, to), () => {
      slab.packets -= packets;
      if (slab.packets === 0) this.#useAgain(slab);
    });
  }

  #useAgain(slab: Slab): void {
    slab.used = 0;
    if (slab === this.#current || this.#spare.length >= MAX_SPARE) return;
    this.#spare.push(slab);
  }

  /** Forgets what was sent and not written. */
  drop(): void {
    this.#run = undefined;
  }
}
