/**
 * What `check: true` makes of the end of a command, for every adapter.
 *
 * @module
 */

import { joinBytes } from "../bytes.ts";
import { CommandError } from "../command/errors.ts";
import type { ExecResult } from "../process.ts";
import { serverText } from "./server_text.ts";

/** How much of standard error a message has, in characters. */
const MAX_TAIL = 400;
/** How much is looked at for that, in bytes. */
const MAX_TAIL_BYTES = 4 * MAX_TAIL;

const decoder = new TextDecoder();

/**
 * Throws unless a command exited with code 0.
 *
 * @param result How it ended, and what it wrote.
 * @param host The name of the host.
 * @throws {CommandError} If it did not.
 */
export function checkExit(
  result: ExecResult<string | Uint8Array>,
  host: string,
): void {
  if (!result.success) throw exitError(result, host);
}

/**
 * Makes the error for a command that did not exit with code 0.
 *
 * @param result How it ended, and what it wrote.
 * @param host The name of the host; absent for a process of this machine.
 */
export function exitError(
  result: ExecResult<string | Uint8Array>,
  host?: string,
): CommandError {
  const tail = lastWords(result.stderr);
  const what = host === undefined
    ? "The process that stdin reads"
    : `The command on ${JSON.stringify(host)}`;
  return new CommandError(
    `${what} ${ending(result)}${tail === "" ? "" : `: ${tail}`}`,
    { host, result, ...host !== undefined && hint(result.code) },
  );
}

const NOTHING = new Uint8Array(0);

/** The end of an output, as much of it as a message looks at. */
export class OutputTail {
  #bytes: Uint8Array = NOTHING;

  /** Takes a piece; it is copied. */
  add(chunk: Uint8Array): void {
    const all = chunk.length < MAX_TAIL_BYTES
      ? joinBytes([this.#bytes, chunk])
      : chunk;
    // A slice of a Buffer would be a view.
    this.#bytes = new Uint8Array(all.subarray(-MAX_TAIL_BYTES));
  }

  /** Returns what came last, as text. */
  text(): string {
    return decoder.decode(this.#bytes);
  }
}

function ending({ code, signal }: ExecResult<unknown>): string {
  if (signal !== null) {
    return `was ended by the signal ${serverText(signal, 32)}`;
  }
  return code === null
    ? "ended without an exit code"
    : `failed with exit code ${code}`;
}

/** 127 is what a shell says of a command that it cannot find. */
function hint(code: number | null): { readonly hint?: string } {
  if (code !== 127) return {};
  return {
    hint: "if it works after a login, set login: true, which gives its PATH",
  };
}

/**
 * Returns the end of what a program wrote, in one line that is safe to print.
 *
 * @param stderr What it wrote to standard error.
 */
export function lastWords(stderr: string | Uint8Array): string {
  const text = typeof stderr === "string"
    ? stderr.slice(-2 * MAX_TAIL)
    : decoder.decode(stderr.subarray(-MAX_TAIL_BYTES));
  const line = text.split(/[\r\n]+/).map((part) => part.trim())
    .filter((part) => part !== "").join(" | ");
  const tail = line.length > MAX_TAIL ? `…${line.slice(-MAX_TAIL)}` : line;
  return serverText(tail, MAX_TAIL + 1);
}
