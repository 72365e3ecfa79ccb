/** The commands that every scripted host has. */

import { sleep } from "../../abort.ts";
import type {
  CommandContext,
  CommandResult,
  CommandScript,
} from "./command_script.ts";

const SUCCESS: CommandResult = { code: 0 };
const FAILURE: CommandResult = { code: 1 };
const CHUNK = new Uint8Array(32 * 1024).fill(0x61);

/** By name: what each does with its words. */
const COMMANDS: Readonly<
  Record<string, (words: readonly string[]) => CommandScript | undefined>
> = {
  true: () => SUCCESS,
  false: () => FAILURE,
  exit: ([code = 0]) => ({ code: Number(code) & 255 }),
  echo: (words) => ({ stdout: `${words.join(" ")}\n` }),
  printenv: ([name = ""]) => ({ env }) => {
    const value = env[name];
    return value === undefined ? FAILURE : { stdout: `${value}\n` };
  },
  stty: (words) => words.join(" ") === "size" ? sttySize : undefined,
  cat: (words) =>
    words.length > 0 ? undefined : async ({ stdin, write }) => {
      // Not `for await`, which takes half as long again.
      const reader = stdin.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        await write(value);
      }
    },
  sleep: ([seconds = 0]) => ({ signal }) =>
    sleep(Number(seconds) * 1000, signal),
  bulk: ([bytes = 0]) => async ({ write, signal }) => {
    for (let left = Number(bytes); left > 0; left -= CHUNK.length) {
      signal.throwIfAborted();
      await write(CHUNK.subarray(0, left));
    }
  },
};

/** Their names. */
export const BUILTINS: readonly string[] = Object.keys(COMMANDS);

/** Returns the built-in command of a line; `undefined` if it is none. */
export function builtin(line: string): CommandScript | undefined {
  if (line === "true") return SUCCESS;
  const [name = "", ...rest] = words(line);
  if (!Object.hasOwn(COMMANDS, name) || needsShell(line)) return undefined;
  return COMMANDS[name]?.(rest);
}

function sttySize({ terminal }: CommandContext): CommandResult {
  if (terminal !== undefined) {
    return { stdout: `${terminal.rows} ${terminal.columns}\n` };
  }
  const stderr = "stty: 'standard input': Inappropriate ioctl for device\n";
  return { code: 1, stderr };
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
