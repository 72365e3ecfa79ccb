/** A terminal of the embedded server: what it makes of the keys that are typed. */

// @ts-types="@types/ssh2"
import type { PseudoTtyInfo } from "ssh2";
import type { CommandInput } from "../scripts/input.ts";
import { Terminal, throughTerminal } from "../scripts/terminal.ts";

const LF = 10;
const CR = 13;
const TAB = 9;
const CONTROL_D = 4;
const CONTROL_U = 21;
const BACKSPACES = [8, 127];
const SIGNALS: Readonly<Record<number, string>> = { 3: "INT", 28: "QUIT" };
const ERASED = new TextEncoder().encode("\b \b");

/**
 * Echo, lines, Control-C and Control-D, as a Unix terminal has them with its
 * usual modes; others that a client asks for are passed over.
 */
export class ServerTerminal extends Terminal {
  /** Told of what is to be shown of what is typed. */
  onEcho: (bytes: Uint8Array) => void = () => {};
  /** What is typed of a line that is not complete. */
  #line: number[] = [];
  /** What is to be shown of what is typed. */
  #echoed: number[] = [];

  /**
   * @param info What the client asks for.
   * @param signal Ends the waits for another size.
   */
  constructor({ term, cols, rows }: PseudoTtyInfo, signal: AbortSignal) {
    super({ term, columns: cols, rows }, signal);
  }

  /**
   * Takes what is typed, and gives the lines that are complete.
   *
   * @returns A promise if the client is to wait.
   */
  type(bytes: Uint8Array, input: CommandInput): Promise<void> | undefined {
    let room: Promise<void> | undefined;
    // What is typed is shown before what a program answers to it.
    const give = (line: Uint8Array | undefined) => {
      this.#showEcho();
      room = input.push(line);
    };
    for (const byte of bytes) {
      const signal = SIGNALS[byte];
      if (signal !== undefined) {
        this.#line = [];
        input.flush();
        this.#echoed.push(...visible(byte));
        this.#showEcho();
        this.onSignal(signal);
      } else if (byte === CONTROL_D) {
        give(this.#line.length === 0 ? undefined : this.#takeLine());
      } else if (BACKSPACES.includes(byte)) {
        if (this.#line.pop() !== undefined) this.#echoed.push(...ERASED);
      } else if (byte === CONTROL_U) {
        for (const _ of this.#takeLine()) this.#echoed.push(...ERASED);
      } else {
        const key = byte === CR ? LF : byte;
        this.#line.push(key);
        this.#echoed.push(...throughTerminal(visible(key)));
        if (key === LF) give(this.#takeLine());
      }
    }
    this.#showEcho();
    return room;
  }

  #takeLine(): Uint8Array {
    const line = new Uint8Array(this.#line);
    this.#line = [];
    return line;
  }

  #showEcho(): void {
    if (this.#echoed.length === 0) return;
    this.onEcho(new Uint8Array(this.#echoed));
    this.#echoed = [];
  }
}

/** Control characters are shown as `^C` is. */
function visible(byte: number): Uint8Array {
  if (byte >= 32 || byte === LF || byte === TAB) return new Uint8Array([byte]);
  return new Uint8Array([0x5e, byte + 64]);
}
