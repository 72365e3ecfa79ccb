/**
 * The output of a command, collected up to a limit.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { PartialOutput } from "../errors.ts";
import { joinBytes } from "../bytes.ts";

/** Options of an {@linkcode OutputCollector}. */
export interface OutputCollectorOptions {
  /** How much is collected, both streams together, in bytes. */
  readonly maxBytes: number;
  /** Whether it is text: no character is cut in two then. */
  readonly isText: boolean;
  /** Whether the middle of each stream is left out beyond the limit. */
  readonly truncates: boolean;
  /** Whether both streams are collected as one too. */
  readonly all?: boolean | undefined;
}

/** What was collected. */
export interface CollectedOutput {
  readonly stdout: string | Uint8Array;
  readonly stderr: string | Uint8Array;
  /** Both, in order of arrival, if that was asked for. */
  readonly all?: string | Uint8Array;
}

/** Collects both outputs of a command. */
export class OutputCollector {
  /** How much is collected, both streams together, in bytes. */
  readonly maxBytes: number;
  readonly #truncates: boolean;
  readonly #out: CollectedStream;
  readonly #err: CollectedStream;
  readonly #all: CollectedStream | undefined;
  #size = 0;

  /** @param options The limit, and what happens beyond it. */
  constructor({ maxBytes, isText, truncates, all }: OutputCollectorOptions) {
    this.maxBytes = maxBytes;
    this.#truncates = truncates;
    this.#out = new CollectedStream(isText);
    this.#err = new CollectedStream(isText);
    if (all === true) this.#all = new CollectedStream(isText);
  }

  /** Takes standard output; `false` if it is too much, and is not taken. */
  stdout(chunk: Uint8Array): boolean {
    return this.#add(this.#out, chunk);
  }

  /** Takes standard error; `false` if it is too much, and is not taken. */
  stderr(chunk: Uint8Array): boolean {
    return this.#add(this.#err, chunk);
  }

  /** Returns what was collected. */
  bytes(): PartialOutput {
    return { stdout: this.#out.bytes(), stderr: this.#err.bytes() };
  }

  /** Returns what was collected, as text if it is text. */
  result(): CollectedOutput {
    const all = this.#all?.result();
    return {
      stdout: this.#out.result(),
      stderr: this.#err.result(),
      ...all !== undefined && { all },
    };
  }

  #add(stream: CollectedStream, chunk: Uint8Array): boolean {
    const wasWithin = this.#size <= this.maxBytes;
    this.#size += chunk.length;
    if (this.#size > this.maxBytes) {
      if (!this.#truncates) return false;
      if (wasWithin) {
        const edge = Math.floor(this.maxBytes / 4);
        this.#out.truncate(edge);
        this.#err.truncate(edge);
        this.#all?.truncate(2 * edge);
      }
    }
    stream.add(chunk);
    this.#all?.add(chunk);
    return true;
  }
}

/**
 * One output: whole, or, once it was too much, its first and last bytes.
 *
 * ```text
 * | head: edge bytes | left out ... | tail: edge bytes |
 * ```
 */
class CollectedStream {
  readonly #isText: boolean;
  #head = new Pieces();
  #tail = new Pieces();
  #size = 0;
  #edge = Infinity;

  constructor(isText: boolean) {
    this.#isText = isText;
  }

  add(chunk: Uint8Array): void {
    this.#size += chunk.length;
    const room = this.#edge - this.#head.size;
    if (chunk.length <= room) return this.#head.add(chunk);
    if (room > 0) this.#head.add(chunk.subarray(0, room));
    this.#tail.add(chunk.subarray(room));
    this.#tail.keepLast(this.#edge);
  }

  /** From here on only so many bytes of each end are kept. */
  truncate(edge: number): void {
    this.#edge = edge;
    const whole = this.#head.join();
    if (whole.length <= edge) return;
    const tailAt = Math.max(edge, whole.length - edge);
    this.#head = new Pieces();
    // Copied: a view would keep all of it in memory.
    this.#head.add(Buffer.from(whole.subarray(0, edge)));
    this.#tail.add(Buffer.from(whole.subarray(tailAt)));
  }

  result(): string | Uint8Array {
    if (!this.#isText) return this.bytes();
    return this.#isWhole ? this.#head.text() : decode(this.bytes());
  }

  get #isWhole(): boolean {
    return this.#tail.size === 0 && this.#size === this.#head.size;
  }

  bytes(): Uint8Array {
    const head = this.#head.join();
    if (this.#isWhole) return head;
    const tail = this.#tail.join(this.#edge);
    if (head.length + tail.length === this.#size) {
      return joinBytes([head, tail]);
    }
    const first = this.#isText ? withoutBrokenEnd(head) : head;
    const last = this.#isText ? withoutBrokenStart(tail) : tail;
    const missing = this.#size - first.length - last.length;
    const line = `[... ${missing} bytes are left out ...]\n`;
    const isLineStart = first.length === 0 || first.at(-1) === NEWLINE;
    return joinBytes([
      first,
      Buffer.from(isLineStart ? line : `\n${line}`),
      last,
    ]);
  }
}

/** A byte order mark at the start is a part of the output. */
const AS_IT_IS = { ignoreBOM: true };
const NOTHING = new Uint8Array(0);
const decoder = new TextDecoder("utf-8", AS_IT_IS);

/** Decodes all at once. */
function decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

const NEWLINE = 0x0a;
/** A chunk below this is copied: it may be a small view of a large packet. */
const SMALL_BYTES = 4096;
const MIN_BLOCK_BYTES = 512;
const MAX_BLOCK_BYTES = 64 * 1024;
/** So much is decoded at once. */
const TEXT_BLOCK_BYTES = 1024 * 1024;

/** Bytes in pieces; small ones are put together into blocks. */
class Pieces {
  /** Those before `#first` are gone, and empty. */
  #pieces: Uint8Array[] = [];
  #first = 0;
  #block: Buffer | undefined;
  #used = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#size += chunk.length;
    if (chunk.length < SMALL_BYTES) return this.#copy(chunk);
    this.#endBlock();
    this.#pieces.push(chunk);
  }

  /** Drops pieces at the front that are not among the last bytes. */
  keepLast(bytes: number): void {
    for (;;) {
      const piece = this.#pieces[this.#first];
      if (piece === undefined || this.#size - piece.length < bytes) break;
      this.#size -= piece.length;
      this.#pieces[this.#first++] = NOTHING;
    }
    // Not each time: that would move all the rest each time.
    if (this.#first < 1024 && this.#first < this.#pieces.length) return;
    this.#pieces.splice(0, this.#first);
    this.#first = 0;
  }

  /**
   * Decodes all, without putting it together first: it may be large. In blocks,
   * since what is as small as the pieces is copied again by the collector, and
   * each in one go, which is faster than a decoder that keeps a state.
   */
  text(): string {
    const pieces = this.#list();
    if (pieces.length === 1) return decode(pieces[0]!);
    const block = new Uint8Array(Math.min(this.#size, TEXT_BLOCK_BYTES));
    let [text, used] = ["", 0];
    for (const piece of pieces) {
      for (let at = 0; at < piece.length;) {
        const part = piece.subarray(at, at + block.length - used);
        block.set(part, used);
        at += part.length;
        used += part.length;
        if (used < block.length) continue;
        const whole = withoutBrokenEnd(block);
        text += decode(whole);
        block.copyWithin(0, whole.length);
        used -= whole.length;
      }
    }
    return used === 0 ? text : text + decode(block.subarray(0, used));
  }

  #list(): Uint8Array[] {
    const pieces = this.#pieces.slice(this.#first);
    if (this.#block !== undefined) {
      pieces.push(this.#block.subarray(0, this.#used));
    }
    return pieces;
  }

  /** Puts the last bytes together, as a copy. */
  join(bytes = Infinity): Uint8Array {
    const whole = joinBytes(this.#list());
    return whole.length <= bytes ? whole : whole.slice(whole.length - bytes);
  }

  #copy(chunk: Uint8Array): void {
    const room = (this.#block?.length ?? 0) - this.#used;
    if (chunk.length > room) this.#startBlock(chunk.length);
    this.#block!.set(chunk, this.#used);
    this.#used += chunk.length;
  }

  #startBlock(bytes: number): void {
    const size = Math.max(this.#block?.length ?? 0, MIN_BLOCK_BYTES / 2) * 2;
    this.#endBlock();
    // A small one is a part of what Node shares out: in Deno memory of its own
    // costs more than all else that is done with the output of a short command.
    this.#block = Buffer.allocUnsafe(
      Math.max(bytes, Math.min(size, MAX_BLOCK_BYTES)),
    );
  }

  #endBlock(): void {
    if (this.#block === undefined) return;
    this.#pieces.push(this.#block.subarray(0, this.#used));
    this.#block = undefined;
    this.#used = 0;
  }
}

const isContinuation = (byte: number) => (byte & 0xc0) === 0x80;

/** Without the first bytes of a character whose last bytes are left out. */
function withoutBrokenEnd(bytes: Uint8Array): Uint8Array {
  let start = bytes.length - 1;
  while (start > bytes.length - 4 && isContinuation(bytes[start] ?? 0)) start--;
  const lead = bytes[start] ?? 0;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return start + length > bytes.length ? bytes.subarray(0, start) : bytes;
}

/** Without the last bytes of a character whose first bytes are left out. */
function withoutBrokenStart(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start] ?? 0)) start++;
  return bytes.subarray(start);
}
