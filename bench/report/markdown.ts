/**
 * A run as Markdown.
 *
 * @module
 */

import {
  describeRun,
  failuresOf,
  type Figures,
  groupsOf,
  verdictsOf,
} from "./figures.ts";
import { QUANTILE_RULE } from "./quantiles.ts";
import { describe, type Verdict } from "./report.ts";
import type { FileResult } from "../kit/suite.ts";
import { cellsOf, COLUMNS, FAILED_COLUMN, TABLE_RULE } from "./table.ts";

/**
 * Writes a run as Markdown.
 *
 * @param figures The run.
 * @param picture Where its picture is, as seen from the file; absent if there
 * is none.
 */
export function toMarkdown(figures: Figures, picture?: string): string {
  const { machine, results } = figures;
  const [verdicts, failures] = [verdictsOf(figures), failuresOf(figures)];
  return [
    "# sshpool bench",
    describeRun(figures),
    ...picture === undefined
      ? []
      : [`![sshpool beside its rivals](${picture})`],
    table(["machine", ""], Object.entries(machine)),
    ...verdicts.length === 0 ? [] : ["## Claims", verdictTable(verdicts)],
    ...failures.length === 0
      ? []
      : ["## Failures", ...failures.map((text) => `\`\`\`\n${text}\n\`\`\``)],
    "## How to read it",
    TABLE_RULE,
    QUANTILE_RULE,
    ...results.flatMap(section),
  ].join("\n\n") + "\n";
}

function section(result: FileResult): string[] {
  const { file, seconds, findings } = result;
  if (findings === undefined) return [];
  const { title, rows, facts, ignored } = findings;
  return [
    `## ${title.charAt(0).toUpperCase()}${title.slice(1)}`,
    `\`${file}\`, ${seconds.toFixed(1)} s`,
    ...groupsOf(result).flatMap((group) => [
      ...group.title === "" ? [] : [`### ${group.title}`],
      table(COLUMNS, group.rows.map((row) => cellsOf(row, rows))),
    ]),
    ...facts.length === 0
      ? []
      : [facts.map((fact) => `- ${describe(fact)}`).join("\n")],
    ...ignored.length === 0
      ? []
      : [ignored.map((name) => `- ignored: ${name}`).join("\n")],
  ];
}

function verdictTable(verdicts: readonly Verdict[]): string {
  return table(
    ["", "claim", "figure", "limit"],
    verdicts.map(({ text, value, unit, limit, holds }) => [
      holds ? "holds" : "**MISSED**",
      text,
      describe({ text: "", value, unit }).slice(2),
      limit,
    ]),
  );
}

function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const used = head.map((title, i) =>
    (title !== "" && title !== FAILED_COLUMN) ||
    rows.some((cells) => cells[i] !== "")
  );
  const line = (cells: readonly string[]) =>
    `| ${
      cells.filter((_, i) => used[i]).map((cell) => cell.replaceAll("|", "\\|"))
        .join(" | ")
    } |`;
  const rule = head.map((_, i) => i === 0 ? "---" : "---:");
  return [head, rule, ...rows].map(line).join("\n");
}
