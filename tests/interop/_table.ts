/**
 * The table of servers in `transport/README.md`.
 *
 * @module
 */

import { type Cell, COLUMNS } from "./_checks.ts";

const BEGIN = "<!-- The table is made by tests/interop/write_table.ts -->";
const END = "<!-- end of the table -->";

/** Where it stands. */
export const PAGE: URL = new URL(
  "../../transport/README.md",
  import.meta.url,
);

/** Rows by the name of the server. */
export type Rows = ReadonlyMap<string, readonly string[]>;

/** Reads the table: the rows, and the names of its columns. */
export function readTable(page: string): {
  readonly columns: readonly string[];
  readonly rows: Rows;
} {
  const [head, , ...rows] = split(page).table.trim().split("\n").map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  return {
    columns: (head ?? []).slice(1),
    rows: new Map(rows.map(([name = "", ...cells]) => [name, cells])),
  };
}

/** Puts other rows in the place of the table. */
export function withTable(
  page: string,
  rows: ReadonlyMap<string, readonly Cell[]>,
): string {
  const { before, after } = split(page);
  const lines = [
    ["server", ...COLUMNS],
    ["---", ...COLUMNS.map(() => "---")],
    ...[...rows].map(([name, cells]) => [name, ...cells]),
  ].map((cells) => `| ${cells.join(" | ")} |`);
  return `${before}${BEGIN}\n\n${lines.join("\n")}\n\n${END}${after}`;
}

function split(page: string) {
  const [before, rest] = page.split(BEGIN);
  const [table, after] = (rest ?? "").split(END);
  if (before === undefined || table === undefined || after === undefined) {
    throw new Error(`Cannot find the table: there is no "${BEGIN}"`);
  }
  return { before, table, after };
}
