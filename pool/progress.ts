/**
 * Shows in a terminal how far a fan-out or a transfer is, by means of
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
 * @example A transfer
 * ```ts ignore
 * await pool.upload("web-1", "./dist", "/srv/www", {
 *   onProgress: terminalProgress({ label: "Deploy" }),
 * });
 * ```
 *
 * @module
 */

import { writeSync } from "node:fs";
import process from "node:process";
import type { Spinner } from "yocto-spinner";
import { accepting } from "../transport/options/rules.ts";
import { OptionTable } from "../transport/options/table.ts";
import type { TransferProgress } from "../transport/sftp/transfer/options.ts";
import type { FanOutProgress } from "./fan_out.ts";

export type { FanOutProgress, TransferProgress };
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
 * a closing line when the fan-out ends. For that of `upload()` and `download()`
 * it has the files and bytes that are done, the rate of the last seconds, and
 * how long the rest takes at that rate.
 *
 * It is quiet where standard error is no terminal, where `TERM` is `dumb`, and
 * where the variable `CI` is set. It leaves signals and the cursor alone. What
 * the program prints through `console` meanwhile appears above it.
 *
 * The library behind it is loaded at the first call, if there is something to
 * show. In Deno it needs the permission `--allow-env`. If it cannot be loaded,
 * one line on standard error says so, and the work goes on.
 *
 * @param options What stands before the numbers.
 * @returns The callback. Make one for each fan-out or transfer.
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
): (progress: FanOutProgress | TransferProgress) => void {
  const { label } = OPTIONS.check(options);
  if (!process.stderr.isTTY) return () => {};
  const display = new Display(label === undefined ? "" : `${label}: `);
  return (progress) => display.show(progress);
}

const OPTIONS = new OptionTable<TerminalProgressOptions>("show progress", {
  label: accepting("a string", (value) => typeof value === "string"),
});

type Progress = FanOutProgress | TransferProgress;

/** One line of a terminal. */
class Display {
  readonly #label: string;
  readonly #rate = new Rate();
  #latest: Progress | undefined;
  #isLoading = false;
  #spinner: Spinner | undefined;
  #restoreConsole = (): void => {};

  constructor(label: string) {
    this.#label = label;
  }

  show(progress: Progress): void {
    if ("bytes" in progress && !this.#rate.add(progress) && !progress.ended) {
      return; // There is one for each piece of a file.
    }
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
    spinner.start(this.#describe(this.#latest!));
    // It hides the cursor. A program that is killed could not bring it back.
    writeSync(process.stderr.fd, "\x1b[?25h");
    this.#draw(spinner, this.#latest!);
  }

  #describe(progress: Progress): string {
    return this.#label +
      ("bytes" in progress
        ? describeTransfer(progress, this.#rate)
        : describeFanOut(progress));
  }

  #draw(spinner: Spinner, progress: Progress): void {
    const text = this.#describe(progress);
    if (!progress.ended) {
      spinner.text = text;
      return;
    }
    this.#restoreConsole();
    const isTransfer = "bytes" in progress;
    const isWhole = isTransfer
      ? progress.files === progress.totalFiles
      : progress.done === progress.total;
    if (!isWhole) spinner.warning(text);
    else if (!isTransfer && progress.failed > 0) spinner.error(text);
    else spinner.success(text);
    this.#spinner = undefined;
    this.#isLoading = false;
  }
}

/** Returns a progress in words: `12/40 hosts, 8 running, 1 failed`. */
function describeFanOut(progress: FanOutProgress): string {
  const { done, failed, running, total, ended } = progress;
  const isWhole = done === total;
  const of = total === undefined || isWhole ? "" : `/${total}`;
  const parts = [`${done}${of} ${(total ?? done) === 1 ? "host" : "hosts"}`];
  if (ended && !isWhole) parts.push("stopped");
  if (running > 0) parts.push(`${running} running`);
  if (failed > 0) parts.push(`${failed} failed`);
  return parts.join(", ");
}

/** How many bytes come in a second: of the last seconds, and of all. */
class Rate {
  #samples: { readonly at: number; readonly bytes: number }[] = [];
  #first: { readonly at: number; readonly bytes: number } | undefined;

  /** Notes how far it is; `false` if that is too soon after the last time. */
  add({ bytes }: TransferProgress): boolean {
    const now = { at: performance.now(), bytes };
    this.#first ??= now;
    const last = this.#samples.at(-1);
    if (last !== undefined && now.at - last.at < SHOW_MS) return false;
    this.#samples.push(now);
    const old = now.at - RATE_MS;
    while (this.#samples.length > 2 && this.#samples[1]!.at < old) {
      this.#samples.shift();
    }
    return true;
  }

  /** In bytes a second; `undefined` if nothing can be said yet. */
  latest(): number | undefined {
    return this.#since(this.#samples[0], this.#samples.at(-1));
  }

  /** The same of the whole time. */
  average({ bytes }: TransferProgress): number | undefined {
    return this.#since(this.#first, { at: performance.now(), bytes });
  }

  #since(from = this.#first, to = this.#first): number | undefined {
    const ms = to!.at - from!.at;
    return ms > 0 ? (to!.bytes - from!.bytes) / ms * 1000 : undefined;
  }
}

/** How often a line is drawn at most, and what the rate is taken of. */
const [SHOW_MS, RATE_MS] = [100, 5_000];

/** Returns a progress in words: `3/12 files, 1.2 of 34 MB, 5.6 MB/s, 6 s left`. */
function describeTransfer(progress: TransferProgress, rate: Rate): string {
  const { files, totalFiles, bytes, totalBytes, ended } = progress;
  const isWhole = files === totalFiles;
  const of = isWhole ? "" : `/${totalFiles}`;
  const parts = [`${files}${of} ${totalFiles === 1 ? "file" : "files"}`];
  const done = Math.max(bytes, totalBytes);
  parts.push(
    ended || isWhole ? size(bytes) : `${size(bytes)} of ${size(done)}`,
  );
  if (ended && !isWhole) parts.push("stopped");
  const perSecond = ended ? rate.average(progress) : rate.latest();
  if (perSecond === undefined || perSecond <= 0) return parts.join(", ");
  parts.push(`${size(perSecond)}/s`);
  const left = (totalBytes - bytes) / perSecond;
  if (!ended && left > 0) parts.push(`${duration(left)} left`);
  return parts.join(", ");
}

/** A number of bytes: `0 B`, `1.2 kB`, `34 MB`. */
function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 999.5 && unit < units.length - 1; unit++) bytes /= 1000;
  const digits = unit > 0 && bytes < 9.95 ? 1 : 0;
  return `${bytes.toFixed(digits)} ${units[unit]}`;
}

/** A time: `6 s`, `4:05`, `3:04:05`. */
function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  const [minutes, rest] = [Math.floor(whole / 60), two(whole % 60)];
  return minutes < 60
    ? `${minutes}:${rest}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
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
