/**
 * Commands that are written as templates: the `$` of a host.
 *
 * @module
 */

import { TAG_OPTIONS } from "../transport/command/call_options.ts";
import { sh, type ShellValue } from "../transport/command/template.ts";
import type { ExecResult } from "../transport/process.ts";
import type { ExecOptions } from "./options.ts";

/** Options of the `$` of a host: those of `exec`, and `nothrow`. */
export interface TemplateOptions
  extends Omit<ExecOptions<"text">, "check" | "encoding"> {
  /**
   * Take an exit code other than 0 for a result, and no error.
   *
   * @default {false}
   */
  readonly nothrow?: boolean;
}

/** How a command that is written as a template ends; its output in other shapes. */
export interface TemplateResult extends Promise<ExecResult> {
  /** Returns standard output, as it is. */
  text(): Promise<string>;
  /** Returns the lines of standard output, without line ends. */
  lines(): Promise<string[]>;
  /**
   * Returns standard output, parsed as JSON; its type is what the caller says.
   *
   * @throws {SyntaxError} If it is none.
   */
  json<T = unknown>(): Promise<T>;
}

/** Runs commands that are written as templates. */
export interface TemplateTag {
  /**
   * Runs a command.
   *
   * @throws {CommandError} If the exit code is not 0, unless `nothrow` is set.
   * @throws {TypeError} If a value cannot be quoted where it stands.
   */
  (
    strings: TemplateStringsArray,
    ...values: readonly ShellValue[]
  ): TemplateResult;
  /** Makes a tag that has these options beside its own. */
  (options: TemplateOptions): TemplateTag;
}

/** Runs one command. */
type Run = (
  command: string,
  options: ExecOptions<"text">,
) => Promise<ExecResult>;

/**
 * Makes a tag.
 *
 * @param run Runs one command.
 * @param options The options of each.
 */
export function templateTag(run: Run, options: TemplateOptions): TemplateTag {
  const tag = (
    first: TemplateStringsArray | TemplateOptions,
    ...values: readonly ShellValue[]
  ): TemplateResult | TemplateTag =>
    isOptions(first)
      ? templateTag(run, { ...options, ...TAG_OPTIONS.check(first) })
      : shaped(runTemplate(run, options, first, values));
  // Which of the two it gives depends on the first argument alone.
  return tag as TemplateTag;
}

function isOptions(
  first: TemplateStringsArray | TemplateOptions,
): first is TemplateOptions {
  return typeof first === "object" && first !== null &&
    !Array.isArray(first) && !("raw" in first);
}

// Async: a template that cannot be quoted rejects.
async function runTemplate(
  run: Run,
  { nothrow = false, ...options }: TemplateOptions,
  strings: TemplateStringsArray,
  values: readonly ShellValue[],
): Promise<ExecResult> {
  return await run(sh(strings, ...values), { ...options, check: !nothrow });
}

function shaped(result: Promise<ExecResult>): TemplateResult {
  const text = async () => (await result).stdout;
  return Object.assign(result, {
    text,
    async lines() {
      const lines = (await text()).split(/\r?\n/);
      if (lines.at(-1) === "") lines.pop();
      return lines;
    },
    async json<T>() {
      // The type is what the caller says.
      return JSON.parse(await text()) as T;
    },
  });
}
