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
import type { CommandResult } from "../scripts/command_script.ts";

/** What is asked for on a session channel. */
export interface MemoryRequest {
  /** The command line; `undefined` for a shell. */
  readonly line: string | undefined;
  /** The terminal, if it gets one. */
  readonly pty: PtyOptions | undefined;
  /** Variables that the server must set. */
  readonly env: Readonly<Record<string, string>>;
  /** Variables that reach the command without the server's consent. */
  readonly inlineEnv: Readonly<Record<string, string>>;
}

const NO_ENV: Readonly<Record<string, string>> = Object.freeze({});

/** Returns what is asked for with options that were checked. */
export function requestOf(
  line: string | undefined,
  options: Pick<ConnectionSpawnOptions, "env" | "envMode" | "sudo">,
  pty: boolean | PtyOptions | undefined,
): MemoryRequest {
  const { env = NO_ENV, envMode, sudo = false } = options;
  // sudo gets them through its standard input.
  const isInline = sudo !== false || envMode === "inline";
  return {
    line,
    pty: terminalOf(pty),
    env: isInline ? NO_ENV : env,
    inlineEnv: isInline ? env : NO_ENV,
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Encodes text; lets bytes through. */
function toBytes(chunk: string | Uint8Array): Uint8Array {
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
