/** A session of a scripted host: its command or its login shell, to the end. */

import { abortable } from "../../abort.ts";
import type { CommandResult, CommandScript } from "./command_script.ts";
import { UnscriptedCommandError } from "./commands.ts";
import { checkResult, ScriptFault } from "./script_fault.ts";
import { type ByteQueue, toBytes } from "./byte_queue.ts";
import { type Terminal, throughTerminal } from "./terminal.ts";

/** What a session has been told before something runs on it. */
export interface RunParts {
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
  /** The signals of the client, and its end. */
  readonly process: AbortController;
  readonly terminal: Terminal | undefined;
  /** Finds the script of a line. */
  readonly find: (line: string) => CommandScript;
  readonly input: ByteQueue;
  /** Writes output; settles when there is room for more. */
  write(stream: Stream, bytes: Uint8Array): Promise<void> | undefined;
}

type Stream = "stdout" | "stderr";

/** The code of a command that a signal has ended, as `KILL` has it. */
const KILLED_CODE = 137;

/**
 * Runs a command or a shell to its end, and sends all of its output.
 *
 * @param script What it does; `undefined` is the login shell.
 * @param command The command line; empty for a shell.
 */
export async function play(
  parts: RunParts,
  script: CommandScript | undefined,
  command: string,
): Promise<CommandResult> {
  const result = await playScript(
    parts,
    script ?? (() => playLines(parts)),
    command,
  );
  await Promise.all([
    send(parts, "stdout", result.stdout),
    send(parts, "stderr", result.stderr),
  ]);
  return result;
}

/** A terminal shows both outputs as one. */
function send(
  { terminal, write }: RunParts,
  stream: Stream,
  chunk: string | Uint8Array = "",
): Promise<void> | undefined {
  if (chunk.length === 0) return undefined;
  const bytes = toBytes(chunk);
  return terminal === undefined
    ? write(stream, bytes)
    : write("stdout", throughTerminal(bytes));
}

/** Runs a script to its end, which is a result whatever the handler does. */
async function playScript(
  parts: RunParts,
  script: CommandScript,
  command: string,
): Promise<CommandResult> {
  if (typeof script !== "function") return script;
  const { host, env, terminal, process: { signal } } = parts;
  let stdin: ReadableStream<Uint8Array> | undefined;
  const write = (stream: Stream) => async (chunk: string | Uint8Array) => {
    signal.throwIfAborted();
    await abortable(Promise.resolve(send(parts, stream, chunk)), signal);
  };
  try {
    const result = await script({
      command,
      host,
      env,
      signal,
      terminal,
      get stdin() {
        return stdin ??= parts.input.stream(signal);
      },
      write: write("stdout"),
      writeError: write("stderr"),
    });
    return result ? checkResult(result) : {};
  } catch (error) {
    if (error instanceof UnscriptedCommandError) throw error;
    if (error instanceof ScriptFault) throw error;
    if (signal.aborted) {
      const { reason } = signal;
      return { signal: typeof reason === "string" ? reason : "HUP" };
    }
    const message = error instanceof Error ? error.message : error;
    return { code: 1, stderr: `${message}\n` };
  }
}

/** Runs the login shell: each line that it reads, up to `exit` or the end. */
async function playLines(parts: RunParts): Promise<CommandResult> {
  let code = 0;
  for (;;) {
    const line = await readLine(parts);
    if (line === undefined) return { code };
    const command = line.trim();
    const exit = /^exit(?:\s+(\d+))?$/.exec(command);
    if (exit !== null) return { code: Number(exit[1] ?? code) & 255 };
    if (command !== "") code = await runOne(parts, command);
  }
}

async function runOne(parts: RunParts, command: string): Promise<number> {
  const { signal, code } = await play(parts, parts.find(command), command);
  parts.process.signal.throwIfAborted();
  return signal === undefined ? code ?? 0 : KILLED_CODE;
}

/** Returns the next line, without its end; `undefined` at the end of file. */
async function readLine(parts: RunParts): Promise<string | undefined> {
  const { input, process: { signal } } = parts;
  const decoder = new TextDecoder();
  let line = "";
  for (;;) {
    const chunk = await input.read(signal);
    if (chunk === undefined) {
      line += decoder.decode();
      return line === "" ? undefined : line;
    }
    // A terminal that is not asked to change it sends \r for the Enter key.
    const end = chunk.findIndex((byte) => byte === 10 || byte === 13);
    const part = end < 0 ? chunk : chunk.subarray(0, end);
    line += decoder.decode(part, { stream: true });
    if (end < 0) continue;
    input.unread(chunk.subarray(end + 1));
    return line + decoder.decode();
  }
}
