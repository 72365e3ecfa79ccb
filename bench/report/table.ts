/**
 * The table of a bench file, as text.
 *
 * @module
 */

import type { Summary } from "./quantiles.ts";

/** One scenario, measured. Times are in milliseconds and of one operation. */
export interface Row extends Summary {
  readonly name: string;
  /** What it is compared within, if anything. */
  readonly group?: string | undefined;
  /** Whether the others of its group are compared with it. */
  readonly baseline: boolean;
  /**
   * Operations, or bytes, per second of wall clock, over all timed runs. Absent
   * where that says nothing.
   */
  readonly rate?: number;
  /** What {@linkcode rate} counts. */
  readonly rateOf?: "operations" | "bytes";
  /** Dials made in one timed run; absent where nothing can dial. */
  readonly dials?: number | undefined;
  /** Operations that failed, in all runs; absent where a failure ends the run. */
  readonly failed?: number | undefined;
  /** Operations that one sample is the mean of; 1 where each was timed. */
  readonly batch: number;
  /** Samples that stand for all, in ascending order. */
  readonly samples: readonly number[];
}

/** How to read a table, beside the rule of the quantiles. */
export const TABLE_RULE =
  'Times are of one operation. n counts samples; "100 x 1,000": each is the ' +
  "mean of 1,000 operations in a row, too short to time alone. rate is by the " +
  "wall clock, all callers together. dials are those of one run. x is p50 over " +
  "that of the row of the same group where it is 1.";

/** The head of the column that few tables have: elsewhere a failure ends a run. */
export const FAILED_COLUMN = "failed";

const HEAD = [
  "scenario",
  "n",
  "p50",
  "p95",
  "p99",
  "max",
  "rate",
  "dials",
  FAILED_COLUMN,
  "x",
];

/**
 * Lays out rows as a table; a group begins with a line that has its name.
 * Columns that say nothing are left out.
 */
export function formatTable(rows: readonly Row[]): string {
  const lines = [HEAD];
  for (const [i, row] of rows.entries()) {
    const { group } = row;
    if (group !== undefined && group !== rows[i - 1]?.group) {
      lines.push([group, ...HEAD.slice(1).fill("")]);
    }
    const [name = "", ...cells] = cellsOf(row, rows);
    lines.push([group === undefined ? name : `  ${name}`, ...cells]);
  }
  const used = HEAD.map((_, i) =>
    i === 0 || lines.slice(1).some((line) => line[i] !== "")
  );
  return layOut(lines.map((line) => line.filter((_, i) => used[i])));
}

/** The heads of the columns, for tables of another form. */
export const COLUMNS: readonly string[] = HEAD;

/** Returns the cells of a row, in the order of {@linkcode COLUMNS}. */
export function cellsOf(row: Row, rows: readonly Row[]): string[] {
  return [
    row.name,
    row.batch > 1
      ? `${formatCount(row.n)} x ${formatCount(row.batch)}`
      : formatCount(row.n),
    ...[row.p50, row.p95, row.p99, row.max].map(formatMs),
    formatRate(row),
    row.dials === undefined ? "" : formatCount(row.dials),
    row.failed === undefined ? "" : formatCount(row.failed),
    formatRatio(row, rows),
  ];
}

function formatRatio(row: Row, rows: readonly Row[]): string {
  const group = rows.filter((r) => r.group === row.group);
  const base = group.find((r) => r.baseline);
  if (row.group === undefined || base === undefined || group.length < 2) {
    return "";
  }
  return formatCount(row.p50 / base.p50);
}

function layOut(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, i) =>
    Math.max(...lines.map((line) => line[i]!.length))
  );
  const text = lines.map((line) =>
    line.map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
    ).join(" | ")
  );
  text.splice(1, 0, widths.map((width) => "-".repeat(width)).join("-|-"));
  return text.map((line) => `| ${line} |`).join("\n");
}

/**
 * Returns a time in the unit in which it has one to three digits before the
 * point; "-" if there is none.
 */
export function formatMs(ms: number | undefined): string {
  if (ms === undefined) return "-";
  if (ms < 0.001) return `${trim(ms * 1e6)} ns`;
  if (ms < 1) return `${trim(ms * 1e3)} µs`;
  if (ms < 1000) return `${trim(ms)} ms`;
  return `${trim(ms / 1000)} s`;
}

/** Returns how much there was in a second. */
export function formatRate({ rate, rateOf }: Row): string {
  if (rate === undefined) return "";
  return rateOf === "bytes"
    ? `${formatCount(rate / 1e6)} MB/s`
    : `${formatCount(rate)}/s`;
}

/** Returns a number with three digits that matter, and thousands set apart. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return trim(value);
}

function trim(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}
