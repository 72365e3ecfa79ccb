/** Scripted results, as the treaty of connections has them. */

import { checkExit } from "../../session/check_exit.ts";
import type {
  CommandStatus,
  ConnectionExecOptions,
  ExecResult,
} from "../../process.ts";
import type { CommandResult } from "../scripts/command_script.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Encodes text; lets bytes through. */
export function toBytes(chunk: string | Uint8Array): Uint8Array {
  return typeof chunk === "string" ? encoder.encode(chunk) : chunk;
}

/** Turns the end of a script into how a command ended. */
export function statusOf(result: CommandResult): CommandStatus {
  const signal = result.signal ?? null;
  const code = signal === null
    ? result.code === undefined ? 0 : result.code
    : null;
  return { success: code === 0, code, signal };
}

/** Gives the result as the options ask for it, or throws what `check` says. */
export function resultOf(
  script: CommandResult,
  options: ConnectionExecOptions,
  host: string,
): ExecResult<string | Uint8Array> {
  const { success, code, signal } = statusOf(script);
  const stdout = encode(script.stdout, options);
  const stderr = encode(script.stderr, options);
  const result = { success, code, signal, stdout, stderr };
  if (options.check === true) checkExit(result, host);
  return result;
}

function encode(
  chunk: string | Uint8Array = "",
  options: ConnectionExecOptions,
): string | Uint8Array {
  if (options.encoding === "bytes") return toBytes(chunk);
  return typeof chunk === "string" ? chunk : decoder.decode(chunk);
}
