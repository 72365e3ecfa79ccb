/** Runs a program in a terminal, and shows what the terminal shows. */

import { existsSync } from "node:fs";

const SCRIPT = "/usr/bin/script";

/** Whether there is no program that makes a terminal. */
export const noTerminal: boolean = Deno.build.os !== "linux" ||
  !existsSync(SCRIPT);

/** What to do where it is missing. */
export const terminalHint = "install script(1), of bsdutils, to run this test";

/** How a program in a terminal ended. */
export interface TerminalEnding {
  readonly code: number;
  /** Its lines, without the empty ones at the end. */
  readonly screen: readonly string[];
  /** All that it wrote. */
  readonly raw: string;
}

/** Runs a program in a terminal, to its end. */
export async function inTerminal(
  command: readonly string[],
  { cwd, env = {} }: {
    cwd?: string | URL;
    env?: Record<string, string>;
  } = {},
): Promise<TerminalEnding> {
  const quoted = command.map((it) => `'${it.replaceAll("'", `'\\''`)}'`);
  const { CI: _, ...inherited } = Deno.env.toObject();
  const { code, stdout } = await new Deno.Command(SCRIPT, {
    args: ["-q", "-e", "-c", quoted.join(" "), "/dev/null"],
    ...(cwd === undefined ? {} : { cwd }),
    clearEnv: true,
    env: { ...inherited, TERM: "xterm-256color", ...env },
    stdin: "null",
    signal: AbortSignal.timeout(50_000),
  }).output();
  const raw = new TextDecoder().decode(stdout);
  return { code, raw, screen: show(raw) };
}

// deno-lint-ignore no-control-regex -- what terminals are controlled by
const TOKEN = /\x1b\[([?\d;]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+/g;

/** What a terminal of endless width and height shows of some output. */
export function show(output: string): string[] {
  const lines: string[][] = [[]];
  let row = 0;
  let column = 0;
  const put = (text: string) => {
    while (lines.length <= row) lines.push([]);
    for (const character of text) lines[row]![column++] = character;
  };
  const tokens = output.matchAll(TOKEN);
  for (const [token, parameter = "", command] of tokens) {
    const n = Number(parameter || 1);
    if (token === "\r") column = 0;
    else if (token === "\n") row++;
    else if (command === undefined) put(token);
    else if (command === "G") column = n - 1;
    else if (command === "A") row = Math.max(0, row - n);
    else if (command === "K") lines[row]?.splice(column);
  }
  const texts = lines.map((line) =>
    Array.from(line, (character) => character ?? " ").join("").trimEnd()
  );
  while (texts.at(-1) === "") texts.pop();
  return texts;
}
