/**
 * A run as one HTML page, which needs no network and no script.
 *
 * @module
 */

import {
  describeRun,
  failuresOf,
  type Figures,
  groupsOf,
  type RowGroup,
  verdictsOf,
} from "./figures.ts";
import { escapeHtml } from "./html.ts";
import {
  COLOURS,
  marginFor,
  plotLatencies,
  plotRates,
  type PlotSize,
} from "./plots.ts";
import { QUANTILE_RULE } from "./quantiles.ts";
import { describe } from "./report.ts";
import type { FileResult } from "../kit/suite.ts";
import { cellsOf, COLUMNS, type Row, TABLE_RULE } from "./table.ts";

/**
 * Writes a run as a page.
 *
 * @param figures The run.
 * @param picture The picture at its top, as SVG.
 */
export function toPage(figures: Figures, picture?: string): string {
  const sections = figures.results.filter(({ findings }) => findings);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sshpool bench</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>sshpool bench</h1>
<p>${escapeHtml(describeRun(figures))}</p>
${pairs(figures.machine)}
</header>
<nav aria-label="Sections"><ul>
${
    sections.map((section) =>
      `<li><a href="#${idOf(section)}">${titleOf(section)}</a></li>`
    ).join("\n")
  }
</ul></nav>
<main>
${picture === undefined ? "" : `<figure class="picture">${picture}</figure>`}
${failures(figures)}
${claims(figures)}
<section id="legend"><h2>How to read it</h2>
<p>${escapeHtml(TABLE_RULE)}</p>
<p>${escapeHtml(QUANTILE_RULE)}</p>
${plotRules()}</section>
${sections.map(section).join("\n")}
</main>
</body>
</html>
`;
}

function plotRules(): string {
  return `<p>In the plots of times each dot is a sample (at most a hundred are drawn,
evenly chosen), on a logarithmic scale; ${
    key("p50")
  } is the median, whose figure is
at the right, and ${key("p95")} and ${
    key("p99")
  } are there if the sample is large
enough. In the plots of rates ${key("ours", "sshpool")} is blue, and
${key("rival", "its rivals")} are grey.</p>`;
}

function key(colour: keyof typeof COLOURS, text: string = colour): string {
  return `<span class="key" style="--key: ${COLOURS[colour]}">${text}</span>`;
}

function idOf({ file }: FileResult): string {
  return file.replace(/_bench\.ts$/, "").replaceAll("_", "-");
}

function titleOf({ file, findings }: FileResult): string {
  const title = findings?.title || file;
  return escapeHtml(title.charAt(0).toUpperCase() + title.slice(1));
}

function pairs(values: Readonly<Record<string, string>>): string {
  const items = Object.entries(values).map(([name, value]) =>
    `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`
  );
  return `<dl>${items.join("")}</dl>`;
}

function failures(figures: Figures): string {
  const texts = failuresOf(figures);
  if (texts.length === 0) return "";
  return `<section id="failures"><h2>Failures</h2>${
    texts.map((text) => `<pre>${escapeHtml(text)}</pre>`).join("")
  }</section>`;
}

function claims(figures: Figures): string {
  const verdicts = verdictsOf(figures);
  if (verdicts.length === 0) return "";
  const rows = verdicts.map(({ text, value, unit, limit, holds }) => [
    holds ? "holds" : "MISSED",
    text,
    describe({ text: "", value, unit }).slice(2),
    limit,
  ]);
  return `<section id="claims"><h2>Claims</h2>${
    table(["", "claim", "figure", "limit"], rows)
  }</section>`;
}

function section(result: FileResult): string {
  const { file, seconds, findings } = result;
  const { facts = [], ignored = [], rows = [] } = findings ?? {};
  const notes = [
    ...facts.map(describe),
    ...ignored.map((name) => `ignored: ${name}`),
  ].map((text) => `<li>${escapeHtml(text)}</li>`);
  return `<section id="${idOf(result)}" class="file">
<h2>${titleOf(result)}</h2>
<p class="file-name">${escapeHtml(file)}, ${seconds.toFixed(1)} s</p>
${groupsOf(result).map((group) => groupHtml(group, rows)).join("\n")}
${notes.length === 0 ? "" : `<ul class="facts">${notes.join("")}</ul>`}
</section>`;
}

function groupHtml(group: RowGroup, all: readonly Row[]): string {
  const rated = group.rows.filter(({ rate }) => rate !== undefined);
  const marginLeft = marginFor(group.rows);
  const figure = (kind: string, draw: (size: PlotSize) => string) =>
    `<figure class="${kind}">${draw({ width: 560, marginLeft })}</figure>`;
  // Without a group it is not the same work: times of all sizes have a scale in
  // common, rates have none.
  const rates = group.title === "" || rated.length < 2
    ? ""
    : figure("rate", (size) => plotRates(rated, size));
  return `<div class="group">
${group.title === "" ? "" : `<h3>${escapeHtml(group.title)}</h3>`}
<div class="plots">
${figure("latency", (size) => plotLatencies(group.rows, size))}
${rates}
</div>
${table(COLUMNS, group.rows.map((row) => cellsOf(row, all)))}
</div>`;
}

function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const used = head.map((_, i) => rows.some((cells) => cells[i] !== ""));
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${
      cells.filter((_, i) => used[i]).map((cell) =>
        `<${tag}${cell === "MISSED" ? ' class="missed"' : ""}>${
          escapeHtml(cell)
        }</${tag}>`
      ).join("")
    }</tr>`;
  return `<div class="scroll"><table><thead>${line(head, "th")}</thead><tbody>${
    rows.map((cells) => line(cells, "td")).join("")
  }</tbody></table></div>`;
}

const STYLE = `
:root { color: #1f2328; background: #fff; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 1180px; padding: 0 20px 60px; }
h1 { margin: 28px 0 0; font-size: 28px; }
h2 { margin: 44px 0 0; font-size: 21px; border-bottom: 1px solid #d0d7de; padding-bottom: 4px; }
h3 { margin: 26px 0 4px; font-size: 16px; }
p { margin: 8px 0; }
header p, .file-name { color: #57606a; }
dl { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 12px 0; }
dt { color: #57606a; font-size: 12px; }
dd { margin: 0; }
nav { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #d0d7de; z-index: 1; }
nav ul { display: flex; flex-wrap: wrap; gap: 2px 16px; list-style: none; margin: 0; padding: 8px 0; font-size: 13px; }
section { scroll-margin-top: 70px; }
a { color: #0969da; text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 0; }
.picture svg { max-width: 100%; height: auto; }
.plots { display: flex; flex-wrap: wrap; gap: 8px 16px; }
.plots figure { flex: 1 1 480px; min-width: 0; max-width: 560px; }
.plots figure { overflow-x: auto; }
.plots svg { width: 100%; min-width: 420px; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 6px 0; }
th, td { text-align: right; padding: 3px 12px; border-bottom: 1px solid #eaeef2; white-space: nowrap; }
th { color: #57606a; font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
#claims td:nth-child(2), #claims th:nth-child(2) { text-align: left; white-space: normal; }
.missed { color: #cf222e; font-weight: 600; }
.facts { color: #1f2328; padding-left: 20px; }
.key { border-left: 4px solid var(--key); padding-left: 5px; font-weight: 600; }
pre { overflow-x: auto; background: #f6f8fa; padding: 10px; }
`;
