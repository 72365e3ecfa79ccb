/** A terminal of a scripted command, and what it does to the output. */

import { abortable } from "../../abort.ts";
import type { PtyOptions } from "../../process.ts";
import type { CommandTerminal } from "./command_script.ts";

/** Whose size the client changes. */
export class Terminal implements CommandTerminal {
  readonly term: string;
  readonly #signal: AbortSignal;
  #columns: number;
  #rows: number;
  /** Whether it has changed since the last wait. */
  #hasChanged = false;
  #waiting: (() => void)[] = [];

  /**
   * @param options Its type and size.
   * @param signal Ends the waits for another size.
   */
  constructor(options: PtyOptions, signal: AbortSignal) {
    const { term = "xterm-256color", columns = 80, rows = 24 } = options;
    this.term = term;
    this.#columns = columns;
    this.#rows = rows;
    this.#signal = signal;
  }

  get columns(): number {
    return this.#columns;
  }

  get rows(): number {
    return this.#rows;
  }

  resized(): Promise<void> {
    if (this.#hasChanged) {
      this.#hasChanged = false;
      return Promise.resolve();
    }
    const change = new Promise<void>((resolve) => this.#waiting.push(resolve));
    return abortable(change, this.#signal);
  }

  /** The client has changed the size. */
  resize(columns: number, rows: number): void {
    this.#columns = columns;
    this.#rows = rows;
    this.#hasChanged = this.#waiting.length === 0;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const LINE_END = 0x0a;

/** Output as it leaves a terminal: each line ends with `\r\n`. */
export function throughTerminal(bytes: Uint8Array): Uint8Array {
  let ends = 0;
  for (const byte of bytes) if (byte === LINE_END) ends++;
  if (ends === 0) return bytes;
  const out = new Uint8Array(bytes.length + ends);
  let at = 0;
  for (const byte of bytes) {
    if (byte === LINE_END) out[at++] = 0x0d;
    out[at++] = byte;
  }
  return out;
}
