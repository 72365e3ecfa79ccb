/** The commands that every scripted host has. */

import { sleep } from "../../abort.ts";
import type {
  CommandContext,
  CommandResult,
  CommandScript,
  CommandTerminal,
} from "./command_script.ts";

/** Their names. */
export const BUILTINS: readonly string[] =
  "true false exit echo printenv stty cat sleep bulk".split(" ");

const CODES = { true: { code: 0 }, false: { code: 1 } } as const;

/** Returns the built-in command of a line; `undefined` if it is none. */
export function builtin(line: string): CommandScript | undefined {
  if (line === "true" || line === "false") return CODES[line];
  const [name = "", ...rest] = words(line);
  if (!BUILTINS.includes(name) || needsShell(line)) return undefined;
  switch (name) {
    case "true":
    case "false":
      return CODES[name];
    case "echo":
      return { stdout: `${rest.join(" ")}\n` };
    case "exit":
      return { code: Number(rest[0] ?? 0) & 255 };
    case "printenv":
      return ({ env }) => printenv(env[rest[0] ?? ""]);
    case "stty":
      return rest.join(" ") === "size"
        ? ({ terminal }) => sttySize(terminal)
        : undefined;
    case "cat":
      return rest.length === 0 ? cat : undefined;
    case "sleep":
      return ({ signal }) => sleep(Number(rest[0] ?? 0) * 1000, signal);
    case "bulk":
      return (context) => bulk(Number(rest[0] ?? 0), context);
  }
  return undefined;
}

function printenv(value: string | undefined): CommandResult {
  return value === undefined ? { code: 1 } : { stdout: `${value}\n` };
}

function sttySize(terminal: CommandTerminal | undefined): CommandResult {
  return terminal === undefined
    ? {
      code: 1,
      stderr: "stty: 'standard input': Inappropriate ioctl for device\n",
    }
    : { stdout: `${terminal.rows} ${terminal.columns}\n` };
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

const WORD = /(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+/gs;

/** Splits a command line as a POSIX shell does, without expansions. */
export function words(line: string): string[] {
  if (!/['"\\]/.test(line)) return line.split(/\s+/).filter((w) => w !== "");
  return [...line.matchAll(WORD)].map(([word]) => unquote(word));
}

/** Returns the name of the command. */
export function firstWord(line: string): string {
  return words(line)[0] ?? "";
}

/** Returns whether a shell would do more with a line than split it. */
export function needsShell(line: string): boolean {
  const unquoted = line.replace(
    /'[^']*'|\\.|"((?:\\.|[^"\\$`])*)"/gs,
    "",
  );
  return /[;&|<>()$`\n*?[\]{}~#"']/.test(unquoted);
}

function unquote(word: string): string {
  return word.replace(
    /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/gs,
    (_all, single?: string, double?: string, escaped?: string) =>
      single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped ?? "",
  );
}
