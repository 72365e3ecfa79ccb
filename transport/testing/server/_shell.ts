/** The shell of the embedded server: it runs lines through the scripts. */

import { onAbort } from "../../abort.ts";
import type {
  CommandResult,
  Commands,
  CommandScript,
} from "../scripts/command_script.ts";
import { findScript } from "../scripts/commands.ts";
import type { ChannelInput } from "./_input.ts";
import type { ServerTerminal } from "./_terminal.ts";

/** What a shell reads, runs and writes. */
export interface ShellParts {
  readonly host: string;
  readonly commands: Commands | undefined;
  readonly terminal: ServerTerminal | undefined;
  readonly input: ChannelInput;
  /** Ends the shell. */
  readonly signal: AbortSignal;
  readonly play: (
    script: CommandScript,
    command: string,
    signal: AbortSignal,
  ) => Promise<CommandResult>;
  readonly write: (text: string) => Promise<void>;
  /** Writes the outputs of a result. */
  readonly finish: (result: CommandResult) => Promise<void>;
}

const PROMPT = "$ ";
const LF = 10;

/** What a shell adds to the number of a signal for the code of its command. */
const SIGNAL_CODE = 128;
const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  KILL: 9,
  TERM: 15,
};

/** Runs line after line until `exit` or the end of file. */
export async function playShell(shell: ShellParts): Promise<CommandResult> {
  let code = 0;
  for (;;) {
    if (shell.terminal !== undefined) await shell.write(PROMPT);
    const line = await readLine(shell);
    if (line === undefined) return { code };
    for (const command of commandsOf(line, shell)) {
      const exit = /^exit(?:\s+(\d+))?$/.exec(command);
      if (exit !== null) return { code: Number(exit[1] ?? code) & 255 };
      code = await runOne(shell, command);
    }
  }
}

/** Runs one command; Control-C is for it, and not for the shell. */
async function runOne(shell: ShellParts, command: string): Promise<number> {
  const { host, commands, terminal, signal } = shell;
  const foreground = new AbortController();
  const stop = onAbort(signal, () => foreground.abort(signal.reason));
  const script = findScript(command, commands, host);
  const before = terminal?.onSignal;
  if (terminal) terminal.onSignal = (name) => foreground.abort(name);
  try {
    const result = await shell.play(script, command, foreground.signal);
    signal.throwIfAborted();
    await shell.finish(result);
    if (result.signal === undefined) return result.code ?? 0;
    if (terminal !== undefined) await shell.write("\n");
    return SIGNAL_CODE + (SIGNALS[result.signal] ?? 0);
  } finally {
    stop();
    if (terminal && before) terminal.onSignal = before;
    // Takes a read back that is still waiting.
    foreground.abort();
  }
}

/** The next line, without its end; `undefined` at the end of file. */
async function readLine(shell: ShellParts): Promise<string | undefined> {
  const { input, terminal, signal } = shell;
  const parts: Uint8Array[] = [];
  const before = terminal?.onSignal;
  // Nothing runs: Control-C begins a new line.
  if (terminal) terminal.onSignal = () => void shell.write(`\n${PROMPT}`);
  try {
    for (;;) {
      const chunk = await input.read(signal);
      if (chunk === undefined) {
        return parts.length === 0 ? undefined : textOf(parts);
      }
      const end = chunk.indexOf(LF);
      if (end < 0) {
        parts.push(chunk);
        continue;
      }
      input.unread(chunk.subarray(end + 1));
      parts.push(chunk.subarray(0, end));
      return textOf(parts);
    }
  } finally {
    if (terminal && before) terminal.onSignal = before;
  }
}

function textOf(parts: readonly Uint8Array[]): string {
  const decoder = new TextDecoder();
  return parts.map((part) => decoder.decode(part, { stream: true })).join("") +
    decoder.decode();
}

/** The commands of a line: all of it if it is scripted, or those between `;`. */
function commandsOf(
  line: string,
  { commands, host }: ShellParts,
): readonly string[] {
  const text = line.trim();
  const isScripted = typeof commands === "function"
    ? commands(text, host) !== undefined
    : commands !== undefined && Object.hasOwn(commands, text);
  if (isScripted) return [text];
  const pattern = /(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^;'"\\])+/gs;
  return Array.from(text.matchAll(pattern), ([part]) => part.trim())
    .filter((part) => part !== "");
}
