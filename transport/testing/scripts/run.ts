/** A session of a scripted host: its command or its login shell, to the end. */

import { abortable, onAbort } from "../../abort.ts";
import type {
  CommandContext,
  CommandResult,
  Commands,
  CommandScript,
} from "./command_script.ts";
import { runScript } from "./commands.ts";
import type { CommandInput } from "./input.ts";
import type { Terminal } from "./terminal.ts";

/** What a session has been told before something runs on it. */
export interface RunParts {
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
  /** The signals of the client, and its end. */
  readonly process: AbortController;
  readonly terminal: Terminal | undefined;
  readonly commands: Commands | undefined;
  /** Finds the script of a line. */
  readonly find: (line: string) => CommandScript;
  readonly input: CommandInput;
  /** What a shell writes in a terminal before it reads a line. */
  readonly prompt: string;
  /** Sends output; settles when there is room for more. */
  send(
    stream: "stdout" | "stderr",
    chunk: string | Uint8Array,
  ): Promise<void> | undefined;
}

/** What a shell adds to the number of a signal for the code of its command. */
const SIGNAL_CODE = 128;
const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  KILL: 9,
  TERM: 15,
};

/** Runs a command; its result is a result whatever the handler does. */
export function playCommand(
  parts: RunParts,
  script: CommandScript,
  command: string,
  signal: AbortSignal = parts.process.signal,
): Promise<CommandResult> {
  if (typeof script !== "function") return Promise.resolve(script);
  const { host, env, terminal, process } = parts;
  let stdin: ReadableStream<Uint8Array> | undefined;
  const write =
    (stream: "stdout" | "stderr") => async (chunk: string | Uint8Array) => {
      signal.throwIfAborted();
      await abortable(Promise.resolve(parts.send(stream, chunk)), signal);
    };
  const context: CommandContext = {
    command,
    host,
    env,
    signal,
    terminal: signal === process.signal ? terminal : terminal?.during(signal),
    get stdin() {
      return stdin ??= parts.input.stream(signal);
    },
    write: write("stdout"),
    writeError: write("stderr"),
  };
  return runScript(script, context);
}

/** Runs the login shell: each line that it reads, up to `exit` or the end. */
export function playShell(parts: RunParts): Promise<CommandResult> {
  return playCommand(parts, () => playLines(parts), "");
}

async function playLines(parts: RunParts): Promise<CommandResult> {
  let code = 0;
  for (;;) {
    prompt(parts);
    const line = await readLine(parts);
    if (line === undefined) return { code };
    for (const command of commandsOf(line, parts)) {
      const exit = /^exit(?:\s+(\d+))?$/.exec(command);
      if (exit !== null) return { code: Number(exit[1] ?? code) & 255 };
      code = await runOne(parts, command);
    }
  }
}

function prompt({ terminal, prompt, send }: RunParts): void {
  if (terminal !== undefined && prompt !== "") void send("stdout", prompt);
}

/** Runs one command; Control-C is for it, and not for the shell. */
async function runOne(parts: RunParts, command: string): Promise<number> {
  const { terminal, process: { signal } } = parts;
  const foreground = new AbortController();
  const stop = onAbort(signal, () => foreground.abort(signal.reason));
  const before = terminal?.onSignal;
  if (terminal) terminal.onSignal = (name) => foreground.abort(name);
  try {
    const script = parts.find(command);
    const result = await playCommand(parts, script, command, foreground.signal);
    signal.throwIfAborted();
    if (result.stdout?.length) await parts.send("stdout", result.stdout);
    if (result.stderr?.length) await parts.send("stderr", result.stderr);
    if (result.signal === undefined) return result.code ?? 0;
    if (terminal !== undefined) await parts.send("stdout", "\n");
    return SIGNAL_CODE + (SIGNALS[result.signal] ?? 0);
  } finally {
    stop();
    if (terminal && before) terminal.onSignal = before;
    // Takes a read back that is still waiting.
    foreground.abort();
  }
}

/** The next line, without its end; `undefined` at the end of file. */
async function readLine(parts: RunParts): Promise<string | undefined> {
  const { input, terminal, process: { signal } } = parts;
  const decoder = new TextDecoder();
  let line = "";
  const before = terminal?.onSignal;
  // Nothing runs: Control-C begins a new line.
  if (terminal) {
    terminal.onSignal = () => {
      void parts.send("stdout", "\n");
      prompt(parts);
    };
  }
  try {
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
  } finally {
    if (terminal && before) terminal.onSignal = before;
  }
}

/** The commands of a line: all of it if it is scripted, or those between `;`. */
function commandsOf(
  line: string,
  { commands, host }: RunParts,
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
