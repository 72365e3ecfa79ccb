/**
 * Output of many hosts as it comes, each line behind the name of its host.
 *
 * @module
 */

import process from "node:process";
import { flag } from "../transport/options/rules.ts";
import { OptionTable } from "../transport/options/table.ts";
import type { OutputSource } from "../transport/process.ts";

/** Options for {@linkcode prefixOutput}. */
export interface PrefixOutputOptions {
  /**
   * Colour the names. Default: where the output is a terminal and the variable
   * `NO_COLOR` is not set.
   */
  readonly color?: boolean;
}

/** The two callbacks that {@linkcode prefixOutput} gives. */
export interface OutputCallbacks {
  /** Prints standard output. */
  onStdout(chunk: string | Uint8Array, source: OutputSource): void;
  /** Prints standard error. */
  onStderr(chunk: string | Uint8Array, source: OutputSource): void;
}

const OPTIONS = new OptionTable<PrefixOutputOptions>("prefix output", {
  color: flag,
});

/**
 * Makes callbacks for `exec()` and for the option `exec` of `fanOut()`, which
 * print each line behind the name of its host: standard output by
 * `console.log`, standard error by `console.error`. Lines appear above the
 * display of `terminalProgress()`. A line is printed when it is whole, or when
 * its command has ended; of one that is written over, as a progress bar is,
 * what it says at its end. The results are as ever.
 *
 * @param options Whether there are colours.
 * @returns The callbacks, for any number of commands.
 *
 * @example Usage
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool/pool";
 * import { prefixOutput } from "@sshpool/sshpool/progress";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 *
 * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
 * const exec = prefixOutput();
 * await pool.fanOut(["ops@a", "ops@b"], "echo hello", { exec });
 * // ops@a:22 | hello
 * // ops@b:22 | hello
 * ```
 */
export function prefixOutput(
  options: PrefixOutputOptions = {},
): OutputCallbacks {
  const { color } = OPTIONS.check(options);
  const out = new Prefixer("stdout", color);
  const err = new Prefixer("stderr", color);
  return {
    onStdout: (chunk, source) => out.add(chunk, source),
    onStderr: (chunk, source) => err.add(chunk, source),
  };
}

/** Without red, which stands for errors. */
const COLORS = [32, 33, 34, 35, 36, 92, 93, 94, 95, 96];
/** By host, so that both outputs of one have the same. */
function colorOf(host: string): number {
  let sum = 0;
  for (const c of host) sum = (sum * 31 + c.codePointAt(0)!) % 65_521;
  return COLORS[sum % COLORS.length]!;
}

/** A line of one command that has no end yet. */
interface OpenLine {
  readonly decoder: TextDecoder;
  text: string;
}

/** Prints one output of any number of commands. */
class Prefixer {
  readonly #print: (line: string) => void;
  readonly #hasColor: boolean;
  readonly #open = new Map<OutputSource, OpenLine>();

  constructor(name: "stdout" | "stderr", color: boolean | undefined) {
    // By the console: terminalProgress() makes room for what that prints.
    this.#print = name === "stdout"
      // deno-lint-ignore no-console
      ? (line) => console.log(line)
      // deno-lint-ignore no-console
      : (line) => console.error(line);
    this.#hasColor = color ??
      (process[name].isTTY === true && !process.env.NO_COLOR);
  }

  add(chunk: string | Uint8Array, source: OutputSource): void {
    const line = this.#lineOf(source);
    line.text += typeof chunk === "string"
      ? chunk
      : line.decoder.decode(chunk, { stream: true });
    const lines = line.text.split("\n");
    line.text = lines.pop()!;
    for (const text of lines) this.#show(text, source);
  }

  #lineOf(source: OutputSource): OpenLine {
    const known = this.#open.get(source);
    if (known !== undefined) return known;
    const line = { decoder: new TextDecoder(), text: "" };
    this.#open.set(source, line);
    source.ended.then(() => {
      this.#open.delete(source);
      const rest = line.text + line.decoder.decode();
      if (rest !== "") this.#show(rest, source);
    });
    return line;
  }

  #show(line: string, { host }: OutputSource): void {
    const text = line.replace(/\r$/, "");
    const shown = text.slice(text.lastIndexOf("\r") + 1);
    const name = this.#hasColor
      ? `\x1b[${colorOf(host)}m${host} |\x1b[39m`
      : `${host} |`;
    this.#print(`${name} ${shown}`);
  }
}
