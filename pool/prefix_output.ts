/**
 * Output of many hosts as it comes, each line behind the name of its host.
 *
 * @module
 */

import process from "node:process";
import { flag } from "../transport/options/rules.ts";
import { OptionTable } from "../transport/options/table.ts";
import type { OutputSource } from "../transport/process.ts";
import { LineSplitter } from "../transport/session/process_reads.ts";

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

/** What is printed of a line, if it goes on and on. */
const MAX_LINE_LENGTH = 64 * 1024;

/** One output of one command. */
interface Lines {
  readonly decoder: TextDecoder;
  readonly splitter: LineSplitter;
}

/** Prints one output of any number of commands. */
class Prefixer {
  readonly #print: (line: string) => void;
  readonly #hasColor: boolean;
  readonly #outputs = new Map<OutputSource, Lines>();

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
    const { decoder, splitter } = this.#linesOf(source);
    const text = typeof chunk === "string"
      ? chunk
      : decoder.decode(chunk, { stream: true });
    this.#show(splitter.push(text), source);
    if (splitter.openLength > MAX_LINE_LENGTH) {
      this.#show(splitter.end(), source);
    }
  }

  #linesOf(source: OutputSource): Lines {
    const known = this.#outputs.get(source);
    if (known !== undefined) return known;
    const decoder = new TextDecoder();
    const splitter = new LineSplitter();
    this.#outputs.set(source, { decoder, splitter });
    source.ended.then(() => {
      this.#outputs.delete(source);
      this.#show(splitter.push(decoder.decode()), source);
      this.#show(splitter.end(), source);
    });
    return { decoder, splitter };
  }

  #show(lines: Iterable<string>, { host }: OutputSource): void {
    const name = this.#hasColor
      ? `\x1b[${colorOf(host)}m${host} |\x1b[39m`
      : `${host} |`;
    for (const line of lines) {
      this.#print(`${name} ${line.slice(line.lastIndexOf("\r") + 1)}`);
    }
  }
}
