/**
 * Shows in a terminal how far a fan-out is, by means of
 * [yocto-spinner](https://github.com/sindresorhus/yocto-spinner). It is an
 * optional package: `npm install yocto-spinner` beside this one, where it does
 * not come by itself.
 *
 * @example A command on many hosts, with a display
 * ```ts ignore
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { terminalProgress } from "@sshpool/sshpool/progress";
 *
 * await using pool = new ConnectionPool();
 * const onProgress = terminalProgress();
 * for await (const { name, ok } of pool.fanOut(hosts, "uptime", { onProgress })) {
 *   if (!ok) console.log(name); // appears above the display
 * }
 * ```
 *
 * @module
 */

import { writeSync } from "node:fs";
import process from "node:process";
import type { Spinner } from "yocto-spinner";
import { accepting } from "../transport/options/rules.ts";
import { OptionTable } from "../transport/options/table.ts";
import type { FanOutProgress } from "./fan_out.ts";

export type { FanOutProgress };
export {
  type OutputCallbacks,
  prefixOutput,
  type PrefixOutputOptions,
} from "./prefix_output.ts";
export type { OutputSource } from "../transport/process.ts";

/** Options for {@linkcode terminalProgress}. */
export interface TerminalProgressOptions {
  /** What is going on, to stand before the numbers. Default: nothing. */
  readonly label?: string;
}

/**
 * Makes a display for the option `onProgress` of `ConnectionPool.fanOut()`: one
 * line on standard error with the hosts that are done, running and failed, and
 * a closing line when the fan-out ends.
 *
 * It is quiet where standard error is no terminal, where `TERM` is `dumb`, and
 * where the variable `CI` is set. It leaves signals and the cursor alone. What
 * the program prints through `console` meanwhile appears above it.
 *
 * The library behind it is loaded at the first call, if there is something to
 * show. In Deno it needs the permission `--allow-env`. If it cannot be loaded,
 * one line on standard error says so, and the fan-out goes on.
 *
 * @param options What stands before the numbers.
 * @returns The callback. Make one for each fan-out.
 *
 * @example Usage
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool/pool";
 * import { terminalProgress } from "@sshpool/sshpool/progress";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 *
 * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
 * const onProgress = terminalProgress({ label: "Check" });
 * for await (const _ of pool.fanOut(["ops@a", "ops@b"], "true", { onProgress }));
 * ```
 */
export function terminalProgress(
  options: TerminalProgressOptions = {},
): (progress: FanOutProgress) => void {
  const { label } = OPTIONS.check(options);
  if (!process.stderr.isTTY) return () => {};
  const display = new Display(label === undefined ? "" : `${label}: `);
  return (progress) => display.show(progress);
}

const OPTIONS = new OptionTable<TerminalProgressOptions>("show progress", {
  label: accepting("a string", (value) => typeof value === "string"),
});

/** One line of a terminal. */
class Display {
  readonly #label: string;
  #latest: FanOutProgress | undefined;
  #isLoading = false;
  #spinner: Spinner | undefined;
  #restoreConsole = (): void => {};

  constructor(label: string) {
    this.#label = label;
  }

  show(progress: FanOutProgress): void {
    this.#latest = progress;
    if (this.#spinner !== undefined) this.#draw(this.#spinner, progress);
    else if (!this.#isLoading) this.#load();
  }

  async #load(): Promise<void> {
    this.#isLoading = true;
    try {
      const { CI, TERM } = process.env;
      if (CI !== undefined || TERM === "dumb") return;
      const { default: spinner } = await import("yocto-spinner");
      // It would end the process on a signal, which is for the program to do.
      this.#start(spinner({ handleSignals: false }));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      process.stderr.write(`Cannot show progress: ${why}\n`);
    }
  }

  #start(spinner: Spinner): void {
    this.#spinner = spinner;
    this.#restoreConsole = beforeConsole(() => spinner.clear());
    spinner.start(this.#label + describe(this.#latest!));
    // It hides the cursor. A program that is killed could not bring it back.
    writeSync(process.stderr.fd, "\x1b[?25h");
    this.#draw(spinner, this.#latest!);
  }

  #draw(spinner: Spinner, progress: FanOutProgress): void {
    const text = this.#label + describe(progress);
    if (!progress.ended) {
      spinner.text = text;
      return;
    }
    this.#restoreConsole();
    if (progress.done !== progress.total) spinner.warning(text);
    else if (progress.failed > 0) spinner.error(text);
    else spinner.success(text);
    this.#spinner = undefined;
    this.#isLoading = false;
  }
}

/** A progress in words: `12/40 hosts, 8 running, 1 failed`. */
function describe(progress: FanOutProgress): string {
  const { done, failed, running, total, ended } = progress;
  const isWhole = done === total;
  const of = total === undefined || isWhole ? "" : `/${total}`;
  const parts = [`${done}${of} ${(total ?? done) === 1 ? "host" : "hosts"}`];
  if (ended && !isWhole) parts.push("stopped");
  if (running > 0) parts.push(`${running} running`);
  if (failed > 0) parts.push(`${failed} failed`);
  return parts.join(", ");
}

const METHODS = [
  "log",
  "info",
  "warn",
  "error",
  "debug",
  "table",
  "dir",
  "trace",
] as const;

/**
 * Calls back before the program prints through the console. yocto-spinner
 * watches the streams of `node:process`, which the console of Deno and that of
 * Bun do not use.
 *
 * @returns Gives the console back.
 */
function beforeConsole(callback: () => void): () => void {
  const console = globalThis.console as unknown as Record<
    typeof METHODS[number],
    (...args: unknown[]) => void
  >;
  const before = METHODS.map((name) => {
    const original = console[name];
    const replaced = (...args: unknown[]) => {
      callback();
      original.apply(console, args);
    };
    console[name] = replaced;
    return { name, original, replaced };
  });
  return () => {
    for (const { name, original, replaced } of before) {
      if (console[name] === replaced) console[name] = original;
    }
  };
}
