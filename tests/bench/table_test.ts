import { assertEquals } from "@std/assert";
import {
  formatCount,
  formatMs,
  formatTable,
  type Row,
} from "../../bench/_table.ts";

Deno.test("formatMs() takes the unit that leaves one to three digits", () => {
  assertEquals(
    [0.000091, 0.00125, 0.4304, 2.3, 88.4, 211.3, 1500].map(formatMs),
    ["91.0 ns", "1.25 µs", "430 µs", "2.30 ms", "88.4 ms", "211 ms", "1.50 s"],
  );
});

Deno.test("formatCount() sets thousands apart and keeps whole numbers whole", () => {
  assertEquals(
    [0, 1, 2.345, 99.94, 5287013.4, NaN].map(formatCount),
    ["0", "1", "2.35", "99.9", "5,287,013", "-"],
  );
});

Deno.test("formatTable() compares each row with the baseline of its own group", () => {
  const row = (name: string, p50: number, more: Partial<Row> = {}): Row => ({
    name,
    n: 3,
    mean: p50,
    p50,
    p95: p50,
    p99: p50,
    max: p50,
    throughput: 10,
    baseline: false,
    batch: 1,
    ...more,
  });
  const lines = formatTable([
    row("a", 2, { group: "one", baseline: true, dials: 1 }),
    row("b", 8, { group: "one" }),
    row("c", 9, { group: "two", baseline: true, batch: 1000 }),
    row("d", 5),
  ]).split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  assertEquals(lines.map((cells) => cells.at(-2)).slice(2), [
    "1",
    "4",
    "1",
    "",
  ]);
  assertEquals(lines.map((cells) => cells[1]).slice(2), [
    "a",
    "b",
    "c (per op of 1000)",
    "d",
  ]);
  assertEquals(lines[2]?.at(-3), "1");
  assertEquals(lines[3]?.at(-3), "");
});
