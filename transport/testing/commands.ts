/**
 * Scripted commands: what the hosts of this folder answer instead of a shell.
 *
 * @module
 */

/** How a scripted command ended, and what it wrote at its end. */
export interface CommandResult {
  /**
   * The exit code; `null` to end without one.
   *
   * @default {0}
   */
  readonly code?: number | null;
  /** The signal that ended it, such as `"KILL"`; there is no code then. */
  readonly signal?: string;
  /** What it wrote to standard output. */
  readonly stdout?: string | Uint8Array;
  /** What it wrote to standard error. */
  readonly stderr?: string | Uint8Array;
}

/** What a scripted command can see and do while it runs. */
export interface CommandContext {
  /** The command line, as it was sent. */
  readonly command: string;
  /** The host that was asked, as `user@host:port`. */
  readonly host: string;
  /** The environment variables that were sent. */
  readonly env: Readonly<Record<string, string>>;
  /** What the client sends; ends at its end of file. */
  readonly stdin: ReadableStream<Uint8Array>;
  /**
   * Aborts when the client sends a signal (its reason is the signal's name),
   * closes the channel or is gone. A handler that throws after a signal was
   * ended by it; a handler that returns survived it.
   */
  readonly signal: AbortSignal;
  /** Writes to standard output; resolves when there is room for more. */
  write(chunk: string | Uint8Array): Promise<void>;
  /** Writes to standard error; resolves when there is room for more. */
  writeError(chunk: string | Uint8Array): Promise<void>;
}

/** Runs a scripted command. Giving nothing is exit code 0. */
export type CommandHandler = (
  context: CommandContext,
) => CommandResult | void | Promise<CommandResult | void>;

/** What a command does: a result, or a handler that makes one. */
export type CommandScript = CommandResult | CommandHandler;

/**
 * Scripts by command line, or by its first word; or a function that is asked
 * for each command line, with the host as `user@host:port`. Where there is
 * none, the built-in commands answer: `true`, `false`, `exit N`, `echo WORDS`,
 * `printenv NAME`, `cat`, `sleep S` (seconds) and `bulk N` (N bytes). The rest
 * ends with 127, as in a shell, and standard error says how to script it.
 */
export type Commands =
  | Readonly<Record<string, CommandScript>>
  | ((command: string, host: string) => CommandScript | undefined);

/** Finds the script of a command line. */
export function findScript(
  line: string,
  commands: Commands | undefined,
  host: string,
): CommandScript {
  if (typeof commands === "function") {
    return commands(line, host) ?? builtin(line);
  }
  if (commands !== undefined) {
    if (Object.hasOwn(commands, line)) return commands[line]!;
    const [name = ""] = words(line);
    if (Object.hasOwn(commands, name)) return commands[name]!;
  }
  return builtin(line);
}

/** Runs a script to its end, which is a result whatever the handler does. */
export async function runScript(
  script: CommandScript,
  context: CommandContext,
): Promise<CommandResult> {
  if (typeof script !== "function") return script;
  try {
    return await script(context) ?? {};
  } catch (error) {
    if (context.signal.aborted) return { signal: signalName(context.signal) };
    return {
      code: 1,
      stderr: `${error instanceof Error ? error.message : error}\n`,
    };
  }
}

function signalName(signal: AbortSignal): string {
  return typeof signal.reason === "string" ? signal.reason : "HUP";
}

const CODES = { true: { code: 0 }, false: { code: 1 } } as const;

function builtin(line: string): CommandScript {
  if (line === "true" || line === "false") return CODES[line];
  const [name = "", ...rest] = words(line);
  switch (name) {
    case "echo":
      return { stdout: `${rest.join(" ")}\n` };
    case "exit":
      return { code: Number(rest[0] ?? 0) & 255 };
    case "printenv":
      return ({ env }) => printenv(env[rest[0] ?? ""]);
    case "cat":
      return cat;
    case "sleep":
      return ({ signal }) => sleep(Number(rest[0] ?? 0) * 1000, signal);
    case "bulk":
      return (context) => bulk(Number(rest[0] ?? 0), context);
  }
  return {
    code: 127,
    stderr: `sh: ${name}: not found\n` +
      `No script for ${
        JSON.stringify(line)
      }: add it to the option \`commands\`` +
      `, such as { ${JSON.stringify(name)}: { stdout: "..." } }\n`,
  };
}

function printenv(value: string | undefined): CommandResult {
  return value === undefined ? { code: 1 } : { stdout: `${value}\n` };
}

async function cat({ stdin, write }: CommandContext): Promise<void> {
  const reader = stdin.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    await write(value);
  }
}

const CHUNK = new Uint8Array(32 * 1024).fill(0x61);

async function bulk(
  bytes: number,
  { write, signal }: CommandContext,
): Promise<void> {
  for (let left = bytes; left > 0; left -= CHUNK.length) {
    signal.throwIfAborted();
    await write(left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK);
  }
}

/** Waits; rejects at once on abort, and leaves no timer behind. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Splits a command line as a POSIX shell does, without expansions. */
function words(line: string): string[] {
  if (!/['"\\]/.test(line)) return line.split(/\s+/).filter((w) => w !== "");
  const pattern = /(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+/gs;
  return [...line.matchAll(pattern)].map(([word]) => unquote(word));
}

function unquote(word: string): string {
  return word.replace(
    /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/gs,
    (_all, single?: string, double?: string, escaped?: string) =>
      single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped ?? "",
  );
}
