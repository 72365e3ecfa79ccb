/**
 * What a bench file found out: rows of a table, facts that are no times, and
 * claims that follow from the rows. Printed when the file has run.
 *
 * @module
 */

import { formatCount, formatTable, type Row } from "./_table.ts";

/** A statement about figures of this run. */
export interface Claim {
  readonly text: string;
  /** The figure, of the rows by name; `undefined` if what it needs did not run. */
  actual(rows: ReadonlyMap<string, Row>): number | undefined;
  /** Holds if the figure is this at least. */
  readonly atLeast?: number;
  /** Holds if the figure is this at most. */
  readonly atMost?: number;
  /** @default {"x"} */
  readonly unit?: string;
}

interface Fact {
  readonly text: string;
  readonly value: number;
  readonly unit: string;
}

interface Verdict extends Fact {
  readonly limit: string;
  readonly holds: boolean;
}

const rowsByName = new Map<string, () => Row>();
const facts = new Map<string, Fact>();
const claims: Claim[] = [];
let title: string | undefined;

/** Names the file in its report. Give it `import.meta`. */
export function reportOf(meta: { readonly filename?: string }): void {
  title = meta.filename?.replace(/^.*[\\/]/, "");
}

/** Adds a row, which is computed when the report is printed. */
export function addRow(name: string, row: () => Row): void {
  rowsByName.set(name, row);
}

/** Adds a figure that is no time; the last one under a text stands. */
export function fact(text: string, value: number, unit: string): void {
  facts.set(text, { text, value, unit });
}

/** The figure of a fact, if it is known yet. */
export function factValue(text: string): number | undefined {
  return facts.get(text)?.value;
}

/** Adds a claim, which is judged when the report is printed. */
export function claim(claim: Claim): void {
  claims.push(claim);
}

/** The median of `a` over the median of `b`, for {@linkcode Claim.actual}. */
export function ratio(
  rows: ReadonlyMap<string, Row>,
  a: string,
  b: string,
): number | undefined {
  const [over, under] = [rows.get(a), rows.get(b)];
  return over && under && over.p50 / under.p50;
}

let scheduled = false;

/** Prints the report when the benches of this file have run. */
export function reportAtEnd(): void {
  if (scheduled) return;
  scheduled = true;
  // The one hook that `deno bench` has: it comes after the last row and is
  // synchronous. Each file is a realm of its own, with its own report.
  globalThis.addEventListener("unload", report);
}

function report(): void {
  const rows = [...rowsByName.values()].map((row) => row());
  if (rows.length === 0) return;
  const verdicts = judge(new Map(rows.map((row) => [row.name, row])));
  const text = [
    "",
    formatTable(rows),
    ...facts.size === 0 ? [] : ["", ...[...facts.values()].map(describe)],
    ...verdicts.length === 0 ? [] : ["", ...verdicts.map(pronounce)],
  ];
  // deno-lint-ignore no-console -- a report is for reading; `deno bench` orders it
  console.log(text.join("\n"));
  save({ rows, facts: [...facts.values()], claims: verdicts });
  const missed = verdicts.filter((verdict) => !verdict.holds);
  if (missed.length > 0 && Deno.env.get("SSHPOOL_BENCH_STRICT") === "1") {
    throw new Error(
      `Claims that do not hold: ${missed.map((m) => m.text).join("; ")}`,
    );
  }
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

function describe(fact: Fact): string {
  return `${fact.text}: ${formatCount(fact.value)} ${fact.unit}`.trimEnd();
}

function pronounce(verdict: Verdict): string {
  const sign = verdict.holds ? "holds " : "MISSED";
  return `${sign} ${describe(verdict)} (${verdict.limit})`;
}

function save(found: unknown): void {
  const path = Deno.env.get("SSHPOOL_BENCH_JSON");
  if (path === undefined || path === "") return;
  // Files run one after another: each adds its own part.
  const all = readJson(path);
  all[title ?? "bench"] = found;
  Deno.writeTextFileSync(path, JSON.stringify(all, null, 2) + "\n");
}

function readJson(path: string): Record<string, unknown> {
  try {
    return JSON.parse(Deno.readTextFileSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}
