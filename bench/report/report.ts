/**
 * What a bench file found out: rows of a table, facts that are no times, and
 * claims that follow from the rows. Saved for `bench/run.ts`, which prints it,
 * when the file has run; it runs also where `deno bench` was typed.
 *
 * Environment: `SSHPOOL_BENCH_JSON=path` saves the findings, each file's under
 * its name; `SSHPOOL_BENCH_SHORT=1` makes a short run, which judges no claim;
 * `SSHPOOL_BENCH_STRICT=1` makes a claim that does not hold an error.
 *
 * @module
 */

import { formatCount, formatTable, type Row } from "./table.ts";
import { runInstead } from "../kit/run_instead.ts";

/** Whether to be quick rather than precise. */
export const short: boolean = Deno.env.get("SSHPOOL_BENCH_SHORT") === "1";

/** Whether `bench/run.ts` runs this file: else it is run in its place. */
export const supervised: boolean =
  Deno.env.get("SSHPOOL_BENCH_SUPERVISED") === "1";

/** A statement about figures of this run. */
export interface Claim {
  readonly text: string;
  /**
   * Returns the figure, of the rows by key; `undefined` if what it needs did
   * not run.
   */
  actual(rows: ReadonlyMap<string, Row>): number | undefined;
  /** Holds if the figure is this at least. */
  readonly atLeast?: number;
  /** Holds if the figure is this at most. */
  readonly atMost?: number;
  /** @default {"x"} */
  readonly unit?: string;
}

/** A figure that is no time. */
export interface Fact {
  readonly text: string;
  readonly value: number;
  readonly unit: string;
}

/** A claim, judged. */
export interface Verdict extends Fact {
  readonly limit: string;
  readonly holds: boolean;
}

/** What one file found out. */
export interface Findings {
  /** What the file is about, in a few words. */
  readonly title: string;
  readonly rows: readonly Row[];
  readonly facts: readonly Fact[];
  readonly claims: readonly Verdict[];
  /** Scenarios that could not run on this machine. */
  readonly ignored: readonly string[];
}

const rowsByKey = new Map<string, () => Row>();
const facts = new Map<string, Fact>();
const claims: Claim[] = [];
const ignored: string[] = [];
let file = "bench";
let title = "";

/** Names the file in its report. What `deno bench` runs ends here. */
export function reportOf(
  meta: { readonly filename?: string; readonly url?: string },
  about: string,
): void {
  if (!supervised && Deno.mainModule === meta.url) runInstead(meta.url);
  file = meta.filename?.replace(/^.*[\\/]/, "") ?? file;
  title = about;
}

/** Adds a row under its key; it is computed when the report is made. */
export function addRow(key: string, row: () => Row): void {
  rowsByKey.set(key, row);
}

/** Adds a scenario that cannot run here. */
export function addIgnored(name: string): void {
  ignored.push(name);
}

/** Adds a figure that is no time; the last one under a text stands. */
export function fact(text: string, value: number, unit: string): void {
  facts.set(text, { text, value, unit });
}

/** Returns the figure of a fact, if it is known yet. */
export function factValue(text: string): number | undefined {
  return facts.get(text)?.value;
}

/** Adds a claim, which is judged at the end of a full run. */
export function claim(claim: Claim): void {
  claims.push(claim);
}

/**
 * Returns the median of `a` over the median of `b`, for
 * {@linkcode Claim.actual}.
 */
export function ratio(
  rows: ReadonlyMap<string, Row>,
  a: string,
  b: string,
): number | undefined {
  const [over, under] = [rows.get(a), rows.get(b)];
  return over && under && over.p50 / under.p50;
}

/**
 * The same of the fastest samples of each, for what takes nanoseconds: where two
 * processors share a core and its cache, what runs on the other one halves the
 * speed of some batches, and of most of them on a busy machine.
 */
export function fastestRatio(
  rows: ReadonlyMap<string, Row>,
  a: string,
  b: string,
): number | undefined {
  const [over, under] = [a, b].map((key) => rows.get(key)?.samples[0]);
  return over && under && over / under;
}

/**
 * Returns the rate of `a` over the rate of `b`, for {@linkcode Claim.actual}.
 */
export function rateRatio(
  rows: ReadonlyMap<string, Row>,
  a: string,
  b: string,
): number | undefined {
  const [over, under] = [rows.get(a), rows.get(b)];
  if (over?.rate === undefined || under?.rate === undefined) return undefined;
  return over.rate / under.rate;
}

let scheduled = false;

/** Makes the report when the benches of this file have run. */
export function reportAtEnd(): void {
  if (scheduled) return;
  scheduled = true;
  // The one hook that `deno bench` has: it comes after the last row and is
  // synchronous. Each file is a realm of its own, with its own report.
  globalThis.addEventListener("unload", report);
}

function report(): void {
  const byKey = new Map([...rowsByKey].map(([key, row]) => [key, row()]));
  const rows = [...byKey.values()];
  if (rows.length === 0 && ignored.length === 0) return;
  const found: Findings = {
    title,
    rows,
    facts: [...facts.values()],
    claims: short ? [] : judge(byKey),
    ignored,
  };
  save(found);
}

function judge(rows: ReadonlyMap<string, Row>): Verdict[] {
  return claims.flatMap((claim) => {
    const value = claim.actual(rows);
    if (value === undefined) return [];
    const { text, atLeast = -Infinity, atMost = Infinity, unit = "x" } = claim;
    const limit = claim.atLeast === undefined
      ? `at most ${formatCount(atMost)} ${unit}`
      : `at least ${formatCount(atLeast)} ${unit}`;
    const holds = value >= atLeast && value <= atMost;
    return [{ text, value, unit, limit, holds }];
  });
}

/**
 * Returns the findings of a file as text: the table, the facts, the verdicts.
 */
export function formatFindings(found: Findings): string {
  return [
    ...found.rows.length === 0 ? [] : [formatTable(found.rows)],
    ...found.facts.length === 0 ? [] : ["", ...found.facts.map(describe)],
    ...found.claims.length === 0 ? [] : ["", ...found.claims.map(pronounce)],
    ...found.ignored.length === 0
      ? []
      : ["", ...found.ignored.map((name) => `ignored ${name}`)],
  ].join("\n");
}

/** Returns a fact as text. */
export function describe({ text, value, unit }: Fact): string {
  return `${text}: ${formatCount(value)} ${unit}`.trimEnd();
}

function pronounce(verdict: Verdict): string {
  const sign = verdict.holds ? "holds " : "MISSED";
  return `${sign} ${describe(verdict)} (${verdict.limit})`;
}

function save(found: Findings): void {
  const path = Deno.env.get("SSHPOOL_BENCH_JSON");
  if (path === undefined || path === "") return;
  // Files run one after another: each adds its own part.
  const all = readFindings(path);
  all[file] = found;
  Deno.writeTextFileSync(path, JSON.stringify(all) + "\n");
}

/**
 * Returns the findings that were saved, by file; none if there is no such file
 * yet.
 */
export function readFindings(path: string): Record<string, Findings> {
  try {
    return JSON.parse(Deno.readTextFileSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}
