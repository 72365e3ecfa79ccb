/**
 * The picture of a run at a glance, for the README: a few comparisons, each
 * with its rivals, as one SVG.
 *
 * @module
 */

import { describeRun, type Figures, groupsOf } from "./figures.ts";
import { escapeHtml } from "./html.ts";
import { type Bar, COLOURS, plotBars, shortRate } from "./plots.ts";
import { formatMs, type Row } from "./table.ts";

/** One comparison. */
interface Panel {
  readonly title: string;
  readonly file: string;
  /** How the name of its group begins. */
  readonly group: string;
  readonly show: "p50" | "rate";
  /** Names of rows that are left out. */
  readonly without?: RegExp;
}

const PANELS: readonly Panel[] = [
  {
    title: 'A warm exec("true"): median, less is better',
    file: "sshd_bench.ts",
    group: "sshd: warm exec",
    show: "p50",
  },
  {
    title: "A cold dial: median, less is better",
    file: "sshd_bench.ts",
    group: "sshd: cold dial",
    show: "p50",
  },
  {
    title: "A warm exec at 100 ms round trip: median, less is better",
    file: "round_trips_bench.ts",
    group: "warm exec(",
    show: "p50",
  },
  {
    title: "10,000 commands of 500 callers: more is better",
    file: "commands_bench.ts",
    group: "10,000 commands",
    show: "rate",
  },
  {
    title: "Upload of 500 MB: more is better",
    file: "files_bench.ts",
    group: "upload of 500 MB",
    show: "rate",
  },
  {
    title: "Download of 500 MB: more is better",
    file: "files_bench.ts",
    group: "download of 500 MB",
    show: "rate",
  },
  {
    title: "Upload of 4 MB at 50 ms round trip: more is better",
    file: "files_bench.ts",
    group: "upload of 4 MB",
    show: "rate",
  },
  {
    title: "Hand-out of a warm connection: median, less is better",
    file: "rivals_bench.ts",
    group: "warm hand-out",
    show: "p50",
    without: /^floor/,
  },
  ...([
    ["dial", "p50", "A dial: median, less is better"],
    ["warm exec", "p50", 'A warm exec("true"): median, less is better'],
    ["3,000 commands", "rate", "3,000 commands of 50 callers: more is better"],
    ["60 cold hosts", "rate", "60 cold hosts at once: more is better"],
    ["200 MB of output", "rate", "200 MB of output: more is better"],
    ["upload", "rate", "Upload of 200 MB: more is better"],
  ] as const).map(([group, show, title]) => ({
    title,
    file: "peers.ts",
    group,
    show,
  })),
];

const COLUMN_WIDTH = 500;
const COLUMN_GAP = 24;
const PADDING = 24;
const TITLE_HEIGHT = 62;
const PANEL_TITLE_HEIGHT = 22;
const PANEL_GAP = 18;
const WIDTH = 2 * COLUMN_WIDTH + COLUMN_GAP + 2 * PADDING;

/** Draws the picture; `undefined` if nothing that it compares was run. */
export function drawPicture(figures: Figures): string | undefined {
  const panels = PANELS.flatMap((panel) => {
    const rows = rowsOf(figures, panel);
    return rows.length < 2 ? [] : [{ ...panel, bars: barsOf(rows, panel) }];
  });
  if (panels.length === 0) return undefined;
  const pairs = Array.from(
    { length: Math.ceil(panels.length / 2) },
    (_, i) => panels.slice(2 * i, 2 * i + 2),
  );
  let y = TITLE_HEIGHT;
  const drawn = pairs.map((pair) => {
    const top = y;
    const heights = pair.map(({ bars }) => bars.length * 24 + 4);
    y += PANEL_TITLE_HEIGHT + Math.max(...heights) + PANEL_GAP;
    return pair.map((panel, column) =>
      drawPanel(panel, {
        x: PADDING + column * (COLUMN_WIDTH + COLUMN_GAP),
        y: top,
      })
    ).join("");
  });
  return whole(figures, y + 4, drawn.join("\n"));
}

function whole(figures: Figures, height: number, panels: string): string {
  const { machine } = figures;
  const where = [machine.processor, machine.Deno && `Deno ${machine.Deno}`]
    .filter((text) => text !== undefined).join("; ");
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="12" role="img" aria-label="sshpool beside its rivals">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${PADDING}" y="28" font-size="17" font-weight="bold" fill="#1f2328">sshpool beside its rivals</text>
<text x="${PADDING}" y="47" fill="#57606a">${
    escapeHtml(`${describeRun(figures)} ${where}`)
  }</text>
${panels}
</svg>
`;
}

function drawPanel(
  { title, bars }: { title: string; bars: readonly Bar[] },
  { x, y }: { x: number; y: number },
): string {
  const plot = plotBars(bars, { width: COLUMN_WIDTH, marginLeft: 246 })
    .replace("<svg", `<svg x="${x}" y="${y + PANEL_TITLE_HEIGHT}"`)
    .replaceAll("currentColor", "#1f2328");
  return `<text x="${x}" y="${
    y + 14
  }" font-size="13" font-weight="bold" fill="${COLOURS.p50}">${
    escapeHtml(title)
  }</text>${plot}`;
}

function rowsOf({ results }: Figures, panel: Panel): readonly Row[] {
  const result = results.find(({ file }) => file === panel.file);
  if (result === undefined) return [];
  const group = groupsOf(result).find(({ title }) =>
    title.startsWith(panel.group)
  );
  return group?.rows.filter(({ name, rate }) =>
    !panel.without?.test(name) &&
    (panel.show === "p50" || rate !== undefined)
  ) ?? [];
}

function barsOf(rows: readonly Row[], { show }: Panel): Bar[] {
  return rows.map((row) => ({
    name: row.name,
    value: show === "p50" ? row.p50 : row.rate!,
    text: show === "p50" ? formatMs(row.p50) : shortRate(row),
    isOurs: row.name.startsWith("sshpool"),
  }));
}
