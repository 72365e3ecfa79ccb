/**
 * The figures of a run, with all that is needed to show them later.
 *
 * @module
 */

import type { Machine } from "../kit/machine.ts";
import type { Verdict } from "./report.ts";
import type { FileResult } from "../kit/suite.ts";
import type { Row } from "./table.ts";

/** A run of the benches. */
export interface Figures {
  /** When it began, in ISO 8601. */
  readonly at: string;
  /** Whether it was a short run, whose figures say little. */
  readonly short: boolean;
  readonly machine: Machine;
  readonly results: readonly FileResult[];
}

/** Rows that are compared with each other; one row alone if it has no group. */
export interface RowGroup {
  readonly title: string;
  readonly rows: readonly Row[];
}

/** Returns the rows of a file by group, in order. */
export function groupsOf({ findings }: FileResult): RowGroup[] {
  const groups: { title: string; rows: Row[] }[] = [];
  for (const row of findings?.rows ?? []) {
    const title = row.group ?? "";
    const last = groups.at(-1);
    if (last?.title === title) last.rows.push(row);
    else groups.push({ title, rows: [row] });
  }
  return groups;
}

/** Returns all verdicts of a run. */
export function verdictsOf({ results }: Figures): Verdict[] {
  return results.flatMap(({ findings }) => findings?.claims ?? []);
}

/** Returns all failures of a run, each with its file. */
export function failuresOf({ results }: Figures): string[] {
  return results.flatMap(({ file, failures }) =>
    failures.map((failure) => `${file}: ${failure}`)
  );
}

/** Returns what kind of run it was, when, and how long it took. */
export function describeRun({ at, short, results }: Figures): string {
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  const kind = short
    ? "A short run, to see that everything runs: its figures say little"
    : "A full run";
  return `${kind}. ${at.slice(0, 16).replace("T", " ")} UTC, ${
    seconds.toFixed(0)
  } s.`;
}
