/**
 * Runs the benches, and prints one table for each file: `deno task bench`.
 *
 * Arguments are bench files (default: all) and options of `deno bench`, such as
 * `--filter=dial`. Environment: see `report/report.ts`.
 *
 * @module
 */

import { QUANTILE_RULE } from "./report/quantiles.ts";
import { formatFindings, short } from "./report/report.ts";
import { type FileResult, Interrupted, runSuite } from "./kit/suite.ts";
import { TABLE_RULE } from "./report/table.ts";

const print = (text: string) => {
  // deno-lint-ignore no-console -- it is there to print
  console.log(text);
};

/** One file, as it is printed. */
export function formatFile({ file, seconds, findings, failures }: FileResult) {
  const about = findings?.title ? `, ${findings.title}` : "";
  return [
    `== ${file}${about} (${seconds.toFixed(1)} s)`,
    findings === undefined ? "nothing ran" : formatFindings(findings),
    ...failures.map((failure) => `\nFAILED ${failure}`),
    "",
  ].join("\n");
}

/** Returns what the run comes to, and where its time went. */
export function formatEnd(results: readonly FileResult[]): string {
  const total = results.reduce((sum, { seconds }) => sum + seconds, 0);
  const verdicts = results.flatMap(({ findings }) => findings?.claims ?? []);
  const missed = verdicts.filter(({ holds }) => !holds).length;
  const failed = results.reduce((sum, r) => sum + r.failures.length, 0);
  const rows = results.flatMap(({ findings }) => findings?.rows ?? []).length;
  return [
    `${rows} scenarios in ${results.length} files took ${
      total.toFixed(0)
    } s, ${failed} failed` +
    (short
      ? " (a short run)"
      : `; ${missed} of ${verdicts.length} claims missed`),
    ...results.toSorted((a, b) => b.seconds - a.seconds).map(
      ({ file, seconds }) => `${seconds.toFixed(1).padStart(7)} s  ${file}`,
    ),
  ].join("\n");
}

/**
 * Runs files, and prints each when it is done. The exit code says whether all
 * went well. SIGINT and SIGTERM end the process when what runs has cleaned up.
 *
 * @param args Bench files, all if there are none; and options of `deno bench`.
 */
export async function runAndPrint(
  args: readonly string[],
): Promise<FileResult[]> {
  const files = args.filter((arg) => !arg.startsWith("-"));
  const flags = args.filter((arg) => arg.startsWith("-"));
  const results: FileResult[] = [];
  print(`${TABLE_RULE}\n${QUANTILE_RULE}\n`);
  const options = files.length === 0 ? { flags } : { flags, files };
  try {
    for await (const result of runSuite(options)) {
      results.push(result);
      if (result.findings || result.failures.length > 0) {
        print(formatFile(result));
      }
    }
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    print(error.message);
    Deno.exit(error.exitCode);
  }
  print(formatEnd(results));
  if (!isGood(results)) Deno.exitCode = 1;
  return results;
}

function isGood(results: readonly FileResult[]): boolean {
  const strict = Deno.env.get("SSHPOOL_BENCH_STRICT") === "1";
  return results.every(({ failures, findings }) =>
    failures.length === 0 &&
    !(strict && findings?.claims.some(({ holds }) => !holds))
  );
}

if (import.meta.main) await runAndPrint(Deno.args);
