/**
 * What `check: true` makes of the end of a command, for every adapter.
 *
 * @module
 */

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
  if (result.success) return;
  const tail = lastWords(result.stderr);
  throw new CommandError(
    `The command on ${JSON.stringify(host)} ${ending(result)}` +
      (tail === "" ? "" : `: ${tail}`),
    { host, result, ...hint(result.code) },
  );
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

/** The end of what it wrote, in one line that is safe to print. */
function lastWords(stderr: string | Uint8Array): string {
  const text = typeof stderr === "string"
    ? stderr.slice(-2 * MAX_TAIL)
    : decoder.decode(stderr.subarray(-MAX_TAIL_BYTES));
  const line = text.split(/[\r\n]+/).map((part) => part.trim())
    .filter((part) => part !== "").join(" | ");
  const tail = line.length > MAX_TAIL ? `…${line.slice(-MAX_TAIL)}` : line;
  return serverText(tail, MAX_TAIL + 1);
}
