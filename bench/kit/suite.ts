/**
 * Runs bench files with `deno bench`, one after another, and gives what each
 * found out.
 *
 * The table of `deno bench` times whole runs, has no p95 and knows neither
 * facts nor claims. Beside ours it would give two figures for one thing, so its
 * output is taken as JSON here, for the failures in it alone.
 *
 * @module
 */

import { join } from "node:path";
import { type Findings, readFindings } from "../report/report.ts";

/** What came of one file. */
export interface FileResult {
  /** Its name, without a folder. */
  readonly file: string;
  /** How long it took, with its preparations, in seconds. */
  readonly seconds: number;
  /** Absent if nothing of it ran. */
  readonly findings: Findings | undefined;
  /** What failed, and how. */
  readonly failures: readonly string[];
}

/** Options of {@linkcode runSuite}. */
export interface SuiteOptions {
  /** The files. Default: all `*_bench.ts` of `bench/`, by name. */
  readonly files?: readonly string[];
  /** Options of `deno bench`, such as `--filter=dial`. */
  readonly flags?: readonly string[];
  /** Where the findings are saved, too. Default: `SSHPOOL_BENCH_JSON`. */
  readonly json?: string | undefined;
}

/** SIGINT or SIGTERM came, and what ran has ended. */
export class Interrupted extends Error {
  /** What a shell expects for it. */
  readonly exitCode: number;

  constructor(signal: "SIGINT" | "SIGTERM") {
    super(`${signal} ended the run`);
    this.exitCode = signal === "SIGINT" ? 130 : 143;
  }
}

/**
 * Runs the files, and yields each result when it is there.
 *
 * @throws {Interrupted} At SIGINT and SIGTERM, which are passed on to the file
 * that runs, so that it takes away what it has made.
 */
export async function* runSuite(
  options: SuiteOptions = {},
): AsyncGenerator<FileResult> {
  const { files = benchFiles(), flags = [] } = options;
  const given = options.json ?? Deno.env.get("SSHPOOL_BENCH_JSON");
  const json = given || await Deno.makeTempFile({ prefix: "sshpool-bench-" });
  try {
    // What an earlier run left there is of another day.
    await Deno.writeTextFile(json, "{}\n");
    for (const file of files) yield await runFile(file, flags, json);
  } finally {
    if (!given) await Deno.remove(json);
  }
}

/** Returns the files of benches, by name. */
export function benchFiles(): string[] {
  const folder = join(import.meta.dirname!, "..");
  return [...Deno.readDirSync(folder)]
    .map(({ name }) => name)
    .filter((name) => name.endsWith("_bench.ts"))
    .sort()
    .map((name) => join(folder, name));
}

async function runFile(
  path: string,
  flags: readonly string[],
  json: string,
): Promise<FileResult> {
  const file = path.replace(/^.*[\\/]/, "");
  const startedAt = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "bench",
      "--quiet",
      "--json",
      "--allow-all",
      // `deno task check` checks the types of these files.
      "--no-check",
      // To measure memory without what is garbage already.
      "--v8-flags=--expose-gc",
      ...flags,
      path,
    ],
    env: { SSHPOOL_BENCH_JSON: json, SSHPOOL_BENCH_SUPERVISED: "1" },
    stdin: "null",
    stdout: "piped",
    // The progress of long benches.
    stderr: "inherit",
  }).spawn();
  const { stdout, success } = await unlessInterrupted(child);
  const failures = failuresIn(new TextDecoder().decode(stdout));
  if (!success && failures.length === 0) {
    failures.push(
      "deno bench failed: what it wrote on standard error says why",
    );
  }
  return {
    file,
    seconds: (performance.now() - startedAt) / 1000,
    findings: readFindings(json)[file],
    failures,
  };
}

async function unlessInterrupted(
  child: Deno.ChildProcess,
): Promise<Deno.CommandOutput> {
  let interrupted: Interrupted | undefined;
  const listeners = (["SIGINT", "SIGTERM"] as const).map((signal) => {
    const listener = () => {
      interrupted ??= new Interrupted(signal);
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended already.
      }
    };
    Deno.addSignalListener(signal, listener);
    return () => Deno.removeSignalListener(signal, listener);
  });
  try {
    const output = await child.output();
    if (interrupted !== undefined) throw interrupted;
    return output;
  } finally {
    for (const remove of listeners) remove();
  }
}

interface BenchOutput {
  readonly benches: readonly {
    readonly name: string;
    readonly results: readonly { readonly failed?: { stack: string } }[];
  }[];
}

/** Returns the failures in what `deno bench --json` writes. */
export function failuresIn(output: string): string[] {
  // What a bench itself writes to standard output comes before it.
  const start = output.lastIndexOf('{\n  "version"');
  if (start < 0) return [];
  const { benches } = JSON.parse(output.slice(start)) as BenchOutput;
  return benches.flatMap(({ name, results }) =>
    results.flatMap(({ failed }) =>
      failed === undefined ? [] : [`${name}\n${failed.stack}`]
    )
  );
}
