import { assertEquals } from "@std/assert";
import {
  formatCount,
  formatMs,
  formatTable,
  type Row,
} from "../../bench/report/table.ts";

Deno.test("formatMs() takes the unit that leaves one to three digits", () => {
  assertEquals(
    [0.000091, 0.00125, 0.4304, 2.3, 88.4, 211.3, 1500].map(formatMs),
    ["91 ns", "1.25 µs", "430 µs", "2.30 ms", "88.4 ms", "211 ms", "1.50 s"],
  );
  assertEquals(formatMs(undefined), "-");
});

Deno.test("formatCount() sets thousands apart and keeps whole numbers whole", () => {
  assertEquals(
    [0, 1, 2.345, 99.94, 5287013.4, NaN].map(formatCount),
    ["0", "1", "2.35", "99.9", "5,287,013", "-"],
  );
});

const row = (name: string, p50: number, more: Partial<Row> = {}): Row => ({
  name,
  n: 3,
  p50,
  max: p50,
  rate: 10,
  rateOf: "operations",
  baseline: false,
  batch: 1,
  samples: [p50],
  ...more,
});

/** The cells of each line below the head and its rule. */
const cellsIn = (table: string) =>
  table.split("\n").map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );

Deno.test("formatTable() compares each row with the baseline of its own group, under the group's name", () => {
  const [head, , ...lines] = cellsIn(formatTable([
    row("a", 2, { group: "one", baseline: true, dials: 1 }),
    row("b", 8, { group: "one" }),
    row("c", 9, { group: "two", baseline: true, batch: 1000 }),
    row("d", 3, { group: "two", rate: 3.5e8, rateOf: "bytes" }),
    row("e", 5),
    row("f", 5, { group: "alone", baseline: true }),
  ]));
  assertEquals(head, [
    "scenario",
    "n",
    "p50",
    "p95",
    "p99",
    "max",
    "rate",
    "dials",
    "x",
  ]);
  assertEquals(lines.map((cells) => [cells[0], cells[1], cells.at(-1)]), [
    ["one", "", ""],
    ["a", "3", "1"],
    ["b", "3", "4"],
    ["two", "", ""],
    ["c", "3 x 1,000", "1"],
    ["d", "3", "0.333"],
    ["e", "3", ""],
    ["alone", "", ""],
    ["f", "3", ""],
  ]);
  assertEquals(lines[1]?.at(-2), "1");
  assertEquals(lines[2]?.slice(2, 7), ["8 ms", "-", "-", "8 ms", "10/s"]);
  assertEquals(lines[5]?.at(-3), "350 MB/s");
});

Deno.test("formatTable() leaves out columns that say nothing", () => {
  const { rate: _, ...bare } = row("a", 1);
  assertEquals(cellsIn(formatTable([bare]))[0], [
    "scenario",
    "n",
    "p50",
    "p95",
    "p99",
    "max",
  ]);
});
