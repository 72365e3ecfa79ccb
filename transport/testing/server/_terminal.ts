/** A terminal of the embedded server: what it makes of the bytes each way. */

// @ts-types="@types/ssh2"
import type { PseudoTtyInfo } from "ssh2";
import { abortable } from "../../abort.ts";
import type { CommandTerminal } from "../scripts/command_script.ts";
import { Terminal, throughTerminal } from "../scripts/terminal.ts";

/** Where what is typed goes. */
interface Typed {
  /** Told of a line, or of the end of file. */
  line(line: Uint8Array | undefined): void;
  /** Drops what nobody has read: a signal was typed. */
  flush(): void;
}

const LF = 10;
const CR = 13;
const TAB = 9;
const CONTROL_C = 3;
const CONTROL_D = 4;
const CONTROL_U = 21;
const CONTROL_BACKSLASH = 28;
const BACKSPACES = [8, 127];
const ERASED = new TextEncoder().encode("\b \b");

/**
 * Does what the line discipline of a Unix terminal does with its usual modes:
 * echo, lines, Control-C, Control-D, and line feeds that return.
 */
export class ServerTerminal extends Terminal {
  /** Told of the signals that are typed. */
  onSignal: (name: string) => void = () => {};
  /** Told of what is to be shown of what is typed. */
  onEcho: (bytes: Uint8Array) => void = () => {};
  readonly #modes: Readonly<Record<string, number | undefined>>;
  /** What is typed of a line that is not complete. */
  #line: number[] = [];
  /** What is to be shown of what is typed. */
  #echoed: number[] = [];

  /**
   * @param info What the client asks for.
   * @param signal Ends the waits for another size.
   */
  constructor({ term, cols, rows, modes }: PseudoTtyInfo, signal: AbortSignal) {
    super({ term, columns: cols, rows }, signal);
    this.#modes = { ...modes };
  }

  /** The terminal for a command of a shell, which ends with a signal of its own. */
  during(signal: AbortSignal): CommandTerminal {
    const size = (name: "columns" | "rows") => this[name];
    return {
      term: this.term,
      get columns() {
        return size("columns");
      },
      get rows() {
        return size("rows");
      },
      resized: () => abortable(this.resized(), signal),
    };
  }

  /** Takes what is typed, and gives the lines that are complete. */
  type(bytes: Uint8Array, typed: Typed): void {
    if (this.#isOff("ICANON")) {
      this.#echo(bytes);
      typed.line(bytes);
    } else {
      for (const byte of bytes) this.#typeByte(byte, typed);
    }
    this.#showEcho();
  }

  /** What is shown of what a program writes. */
  show(chunk: string | Uint8Array): string | Uint8Array {
    const isRaw = this.#isOff("OPOST") || this.#isOff("ONLCR");
    return isRaw ? chunk : throughTerminal(chunk);
  }

  #typeByte(given: number, typed: Typed): void {
    const byte = given === CR && !this.#isOff("ICRNL") ? LF : given;
    if (!this.#isOff("ISIG") && this.#typeSignal(byte, typed)) return;
    if (byte === CONTROL_D) {
      this.#give(this.#line.length === 0 ? undefined : this.#takeLine(), typed);
    } else if (BACKSPACES.includes(byte)) {
      if (this.#line.pop() !== undefined) this.#echo(ERASED);
    } else if (byte === CONTROL_U) {
      for (const _ of this.#takeLine()) this.#echo(ERASED);
    } else {
      this.#line.push(byte);
      this.#echo(throughTerminal(visible(byte)));
      if (byte === LF) this.#give(this.#takeLine(), typed);
    }
  }

  #typeSignal(byte: number, typed: Typed): boolean {
    if (byte !== CONTROL_C && byte !== CONTROL_BACKSLASH) return false;
    this.#line = [];
    typed.flush();
    this.#echo(visible(byte));
    this.#showEcho();
    this.onSignal(byte === CONTROL_C ? "INT" : "QUIT");
    return true;
  }

  /** What is typed is shown before what a program answers to it. */
  #give(line: Uint8Array | undefined, typed: Typed): void {
    this.#showEcho();
    typed.line(line);
  }

  #takeLine(): Uint8Array {
    const line = new Uint8Array(this.#line);
    this.#line = [];
    return line;
  }

  #echo(bytes: Uint8Array): void {
    if (!this.#isOff("ECHO")) this.#echoed.push(...bytes);
  }

  #showEcho(): void {
    if (this.#echoed.length === 0) return;
    this.onEcho(new Uint8Array(this.#echoed));
    this.#echoed = [];
  }

  #isOff(mode: string): boolean {
    return this.#modes[mode] === 0;
  }
}

/** Control characters are shown as `^C` is. */
function visible(byte: number): Uint8Array {
  if (byte >= 32 || byte === LF || byte === TAB) return new Uint8Array([byte]);
  return new Uint8Array([0x5e, byte + 64]);
}
