/**
 * Plots of the rows of a group, as SVG that needs no script.
 *
 * @module
 */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { formatCount, formatMs, formatRate, type Row } from "./table.ts";

/** Observable Plot draws into any DOM. */
const { document } = parseHTML("<!doctype html><html></html>") as unknown as {
  document: NonNullable<Plot.PlotOptions["document"]>;
};

/** The colours of all plots and legends. */
export const COLOURS = {
  ours: "#1f6feb",
  rival: "#8c959f",
  sample: "#57606a",
  p50: "#0550ae",
  p95: "#d4760a",
  p99: "#cf222e",
} as const;

const ROW_HEIGHT = 34;
const AXIS_HEIGHT = 46;
const FONT_SIZE = 12;
/** What a character of a label takes at most on average, whatever the font. */
const CHARACTER_WIDTH = 7.2;
const MAX_MARGIN = 250;
/** Here are figures. */
const MARGIN_RIGHT = 84;

/** How wide a plot is, and how many of its pixels are names. */
export interface PlotSize {
  readonly width: number;
  readonly marginLeft: number;
}

/**
 * Returns a margin in which the names of these rows fit, long ones in two
 * lines.
 */
export function marginFor(rows: readonly Row[]): number {
  const longest = Math.max(...rows.map(({ name }) => name.length));
  return Math.min(longest * CHARACTER_WIDTH + 16, MAX_MARGIN);
}

/** Returns what all plots of rows have in common: a line for each, by name. */
function frame(
  rows: readonly Row[],
  { width, marginLeft }: PlotSize,
): Plot.PlotOptions {
  return {
    document,
    width,
    height: rows.length * ROW_HEIGHT + AXIS_HEIGHT,
    marginLeft,
    marginRight: MARGIN_RIGHT,
    marginTop: 6,
    marginBottom: AXIS_HEIGHT - 6,
    style: STYLE,
    y: { domain: rows.map(({ name }) => name), label: null },
  };
}

const STYLE = { fontSize: `${FONT_SIZE}px`, background: "none" };

/**
 * Returns the names at the left; in two lines where the margin is too narrow.
 */
function names(marginLeft: number): Plot.Markish {
  // Fonts are wider than what a line is measured with.
  const lineWidth = (marginLeft - 12) / FONT_SIZE * 0.82;
  return Plot.axisY({
    tickSize: 0,
    label: null,
    lineWidth: marginLeft < MAX_MARGIN ? Infinity : lineWidth,
  });
}

/** Returns how many labels of times have room. */
function ticksIn({ width, marginLeft }: PlotSize): number {
  return Math.floor((width - marginLeft - MARGIN_RIGHT) / 56);
}

/**
 * Returns each sample as a dot, and the quantiles as ticks, on a logarithmic
 * scale of time.
 */
export function plotLatencies(rows: readonly Row[], size: PlotSize): string {
  const domain = domainOf(rows);
  const samples = rows.flatMap(({ name, samples }) =>
    samples.map((ms, i) => ({ name, ms, offset: jitter(i) }))
  );
  return svg({
    ...frame(rows, size),
    x: {
      type: "log",
      domain,
      grid: true,
      ticks: timeTicks(domain, ticksIn(size)),
      tickFormat: formatMs,
      label: "time of one operation (log)",
      labelAnchor: "center",
    },
    marks: [
      names(size.marginLeft),
      ...lanes(samples),
      ...quantileTicks(rows, "p99"),
      ...quantileTicks(rows, "p95"),
      ...quantileTicks(rows, "p50"),
      Plot.text(rows, {
        x: domain[1],
        y: "name",
        text: (row: Row) => formatMs(row.p50),
        textAnchor: "start",
        dx: 8,
        fill: COLOURS.p50,
        fontWeight: "bold",
      }),
    ],
  });
}

interface Sample {
  readonly name: string;
  readonly ms: number;
  readonly offset: number;
}

/**
 * Returns the dots of samples. A mark has one offset, so there is one for each
 * lane.
 */
function lanes(samples: readonly Sample[]): Plot.Markish[] {
  const byOffset = Map.groupBy(samples, ({ offset }) => offset);
  return [...byOffset].map(([offset, dots]) =>
    Plot.dot(dots, {
      x: "ms",
      y: "name",
      dy: offset,
      r: 2,
      fill: COLOURS.sample,
      fillOpacity: 0.35,
    })
  );
}

/** Spreads dots over five lanes, the same way each time. */
function jitter(i: number): number {
  return (i * 3 % 5 - 2) * 3;
}

function quantileTicks(
  rows: readonly Row[],
  quantile: "p50" | "p95" | "p99",
): Plot.Markish[] {
  return [
    Plot.tickX(rows.filter((row) => row[quantile] !== undefined), {
      x: quantile,
      y: "name",
      stroke: COLOURS[quantile],
      strokeWidth: quantile === "p50" ? 3 : 2,
      insetTop: 4,
      insetBottom: 4,
    }),
  ];
}

/** Returns a bar for the rate of each row, ours in another colour. */
export function plotRates(rows: readonly Row[], size: PlotSize): string {
  const unit = rows[0]?.rateOf === "bytes"
    ? "megabytes per second"
    : "operations per second";
  const scale = rows[0]?.rateOf === "bytes" ? 1e-6 : 1;
  return svg({
    ...frame(rows, size),
    x: {
      grid: true,
      ticks: 4,
      tickFormat: formatShort,
      label: unit,
      labelAnchor: "center",
    },
    marks: [
      names(size.marginLeft),
      Plot.barX(rows, {
        x: (row: Row) => (row.rate ?? 0) * scale,
        y: "name",
        fill: (row: Row) => isOurs(row, rows) ? COLOURS.ours : COLOURS.rival,
        insetTop: 5,
        insetBottom: 5,
      }),
      Plot.text(rows, {
        x: (row: Row) => (row.rate ?? 0) * scale,
        y: "name",
        text: shortRate,
        textAnchor: "start",
        dx: 6,
      }),
      Plot.ruleX([0]),
    ],
  });
}

/** A bar of a comparison: what it is called, how long it is, what it says. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly text: string;
  readonly isOurs: boolean;
}

/** Bars from 0 with their figures, and without an axis. */
export function plotBars(bars: readonly Bar[], size: PlotSize): string {
  return svg({
    document,
    ...size,
    height: bars.length * 24 + 4,
    marginTop: 2,
    marginBottom: 2,
    marginRight: MARGIN_RIGHT,
    style: STYLE,
    x: { axis: null, domain: [0, Math.max(...bars.map((bar) => bar.value))] },
    y: { domain: bars.map(({ name }) => name), label: null, tickSize: 0 },
    marks: [
      Plot.barX(bars, {
        x: "value",
        y: "name",
        fill: (bar: Bar) => bar.isOurs ? COLOURS.ours : COLOURS.rival,
        insetTop: 3,
        insetBottom: 3,
      }),
      Plot.text(bars, {
        x: "value",
        y: "name",
        text: "text",
        textAnchor: "start",
        dx: 6,
        fill: (bar: Bar) => bar.isOurs ? COLOURS.ours : "currentColor",
      }),
    ],
  });
}

function svg(options: Plot.PlotOptions): string {
  const { outerHTML } = Plot.plot(options) as { outerHTML: string };
  return outerHTML
    // A tenth of a pixel is enough, in attributes.
    .replace(/="[^"]*"/g, (value) => value.replace(/(\d\.\d)\d+/g, "$1"))
    // linkedom leaves out what makes it a picture of its own.
    .replace(/^<svg(?! xmlns)/, '<svg xmlns="http://www.w3.org/2000/svg"');
}

/** From below the smallest sample to above the largest, at least a decade. */
function domainOf(rows: readonly Row[]): [number, number] {
  const low = Math.min(...rows.map(({ samples }) => samples[0]!)) / 1.15;
  const high = Math.max(...rows.map(({ max }) => max)) * 1.15;
  const widen = Math.max(1, Math.sqrt(10 / (high / low)));
  return [low / widen, high * widen];
}

/**
 * Round times within a domain: 1, 2 and 5 of each decade, or as many of them as
 * there is room for.
 */
export function timeTicks(
  [low, high]: [number, number],
  most: number,
): number[] {
  const from = Math.floor(Math.log10(low));
  const decades = Array.from(
    { length: Math.ceil(Math.log10(high)) - from + 1 },
    (_, i) => from + i,
  );
  const choices = [[1, 2, 5], [1, 3], [1]].map((steps) =>
    decades.flatMap((e) => steps.map((step) => Number(`${step}e${e}`)))
      .filter((tick) => tick >= low && tick <= high)
  );
  const fitting = choices.find(({ length }) => length <= most);
  if (fitting !== undefined) return fitting;
  const every = Math.ceil(choices[2]!.length / most);
  return choices[2]!.filter((_, i) => i % every === 0);
}

/** Returns whether a row is ours: where none is a rival's, all are. */
function isOurs(row: Row, rows: readonly Row[]): boolean {
  const pattern = /^@?sshpool\b/;
  return pattern.test(row.name) || !rows.some(({ name }) => pattern.test(name));
}

/** Returns a rate that takes little room. */
export function shortRate(row: Row): string {
  return row.rateOf === "bytes"
    ? formatRate(row)
    : `${formatShort(row.rate!)}/s`;
}

/** `1.5k`, `20M`. */
function formatShort(value: number): string {
  if (value >= 1e6) return `${formatCount(value / 1e6)}M`;
  if (value >= 1e4) return `${formatCount(value / 1e3)}k`;
  return formatCount(value);
}
