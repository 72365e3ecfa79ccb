/** A terminal of a scripted command, and what it does to the output. */

import { abortable } from "../../abort.ts";
import type { PtyOptions } from "../../process.ts";
import type { CommandTerminal } from "./command_script.ts";
import { Gate } from "./outcome.ts";

/** Whose size the client changes. */
export class Terminal implements CommandTerminal {
  readonly term: string;
  columns: number;
  rows: number;
  readonly #signal: AbortSignal;
  readonly #change = new Gate();
  /** Whether it has changed since the last wait. */
  #hasChanged = false;

  /**
   * @param options Its type and size.
   * @param signal Ends the waits for another size.
   */
  constructor(options: PtyOptions, signal: AbortSignal) {
    const { term = "xterm-256color", columns = 80, rows = 24 } = options;
    this.term = term;
    this.columns = columns;
    this.rows = rows;
    this.#signal = signal;
  }

  async resized(): Promise<void> {
    if (this.#hasChanged) this.#hasChanged = false;
    else await abortable(this.#change.wait(), this.#signal);
  }

  /** The client has changed the size. */
  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
    this.#hasChanged = !this.#change.open();
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
