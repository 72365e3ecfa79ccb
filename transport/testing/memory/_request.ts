/** What is asked for on a session channel of a memory connection, and how it ends. */

import { terminalOf } from "../../command/call_options.ts";
import { checkExit } from "../../session/check_exit.ts";
import type {
  CommandStatus,
  ConnectionExecOptions,
  ConnectionSpawnOptions,
  ExecResult,
  PtyOptions,
} from "../../process.ts";
import { toBytes } from "../scripts/byte_queue.ts";
import type { CommandResult } from "../scripts/command_script.ts";

/** What is asked for on a session channel. */
export interface MemoryRequest {
  /** The command line; `undefined` for a shell. */
  readonly line: string | undefined;
  /** The terminal, if it gets one. */
  readonly pty: PtyOptions | undefined;
  /** The variables of the call. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether they reach the command without the server's consent. */
  readonly isInline: boolean;
}

/** Returns what is asked for with options that were checked. */
export function requestOf(
  line: string | undefined,
  options: Pick<ConnectionSpawnOptions, "env" | "envMode" | "sudo">,
  pty: boolean | PtyOptions | undefined,
): MemoryRequest {
  const { env = {}, envMode, sudo = false } = options;
  // sudo gets them through its standard input.
  const isInline = sudo !== false || envMode === "inline";
  return { line, pty: terminalOf(pty), env, isInline };
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Turns the end of a script into how a command ended. */
export function statusOf(result: CommandResult): CommandStatus {
  const { signal = null, code = 0 } = result;
  const isOk = signal === null && code === 0;
  return { success: isOk, code: signal === null ? code : null, signal };
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
