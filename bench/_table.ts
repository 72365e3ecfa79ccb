/**
 * The table that a bench file prints under what `deno bench` prints.
 *
 * @module
 */

import type { Summary } from "./_quantiles.ts";

/** One scenario, measured. Times are in milliseconds and of one operation. */
export interface Row extends Summary {
  readonly name: string;
  /** What it is compared within, if anything. */
  readonly group?: string | undefined;
  /** Whether the others of its group are compared with it. */
  readonly baseline: boolean;
  /** Operations per second of wall clock, over all timed runs. */
  readonly throughput: number;
  /** Dials made in one timed run; `undefined` where nothing can dial. */
  readonly dials?: number | undefined;
  /** Operations that one sample is the mean of; 1 where each was timed. */
  readonly batch: number;
}

const HEAD = [
  "scenario",
  "n",
  "mean",
  "p50",
  "p95",
  "p99",
  "max",
  "ops/s",
  "dials",
  "x",
];

/**
 * Lays out rows as a table.
 *
 * The column `x` is the median over that of the group's baseline. A name that
 * ends in `(per op of N)` has samples that are each the mean of N operations,
 * because the clock is too coarse for one.
 */
export function formatTable(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map((row) => cells(row, rows))];
  const widths = HEAD.map((_, i) =>
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

function cells(row: Row, rows: readonly Row[]): string[] {
  const base = rows.find((r) => r.baseline && r.group === row.group);
  return [
    row.batch > 1 ? `${row.name} (per op of ${row.batch})` : row.name,
    String(row.n),
    ...[row.mean, row.p50, row.p95, row.p99, row.max].map(formatMs),
    formatCount(row.throughput),
    row.dials === undefined ? "" : formatCount(row.dials),
    row.group === undefined || base === undefined
      ? ""
      : formatCount(row.p50 / base.p50),
  ];
}

/** A time in the unit in which it has one to three digits before the point. */
export function formatMs(ms: number): string {
  if (ms < 0.001) return `${(ms * 1e6).toPrecision(3)} ns`;
  if (ms < 1) return `${trim(ms * 1e3)} µs`;
  if (ms < 1000) return `${trim(ms)} ms`;
  return `${trim(ms / 1000)} s`;
}

/** A number with three digits that matter, and thousands set apart. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return trim(value);
}

function trim(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}
