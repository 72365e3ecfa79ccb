import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import {
  fewestFor,
  percentile,
  summarize,
  thin,
} from "../../bench/report/quantiles.ts";

// Computed by CPython 3.11: q = statistics.quantiles(data, n=100), and then
// q[0], q[49], q[94], q[98].
const PYTHON = [
  {
    "name": "two samples",
    "data": [1, 2],
    "p1": 0.03,
    "p50": 1.5,
    "p95": 2.85,
    "p99": 2.97,
  },
  {
    "name": "three samples",
    "data": [1, 2, 3],
    "p1": 0.04,
    "p50": 2.0,
    "p95": 3.8,
    "p99": 3.96,
  },
  {
    "name": "samples out of order",
    "data": [5, 1, 4, 2, 3],
    "p1": 0.06,
    "p50": 3.0,
    "p95": 5.7,
    "p99": 5.94,
  },
  {
    "name": "ties and one outlier",
    "data": [10.5, 10.5, 10.5, 10.5, 99],
    "p1": 10.5,
    "p50": 10.5,
    "p95": 160.95,
    "p99": 182.19,
  },
  {
    "name": "ninety-nine samples",
    "data": [
      37,
      74,
      10,
      47,
      84,
      20,
      57,
      94,
      30,
      67,
      3,
      40,
      77,
      13,
      50,
      87,
      23,
      60,
      97,
      33,
      70,
      6,
      43,
      80,
      16,
      53,
      90,
      26,
      63,
      100,
      36,
      73,
      9,
      46,
      83,
      19,
      56,
      93,
      29,
      66,
      2,
      39,
      76,
      12,
      49,
      86,
      22,
      59,
      96,
      32,
      69,
      5,
      42,
      79,
      15,
      52,
      89,
      25,
      62,
      99,
      35,
      72,
      8,
      45,
      82,
      18,
      55,
      92,
      28,
      65,
      1,
      38,
      75,
      11,
      48,
      85,
      21,
      58,
      95,
      31,
      68,
      4,
      41,
      78,
      14,
      51,
      88,
      24,
      61,
      98,
      34,
      71,
      7,
      44,
      81,
      17,
      54,
      91,
      27,
    ],
    "p1": 1.0,
    "p50": 50.0,
    "p95": 96.0,
    "p99": 100.0,
  },
  {
    "name": "a skewed set",
    "data": [
      0.3913,
      0.1635,
      1.0525,
      0.0752,
      0.7676,
      0.4552,
      0.0597,
      0.7081,
      0.0382,
      0.5685,
      0.0724,
      0.0951,
      0.5525,
      1.7536,
      0.1322,
      0.2526,
      0.9873,
      2.9509,
      0.8606,
      0.5053,
      3.7404,
      0.0477,
      1.9552,
      0.3419,
      0.1558,
      0.1253,
      0.3689,
      1.6935,
      0.1993,
      0.8713,
      1.0186,
      0.4658,
      0.7935,
      0.0648,
      0.0615,
      0.2306,
      1.1407,
    ],
    "p1": 0.03231,
    "p50": 0.45519999999999994,
    "p95": 3.0298499999999997,
    "p99": 4.22989,
  },
];

for (const { name, data, ...expected } of PYTHON) {
  Deno.test(`percentile() agrees with Python on ${name}, as far as there are samples enough`, () => {
    const sorted = data.toSorted((a, b) => a - b);
    for (const [key, value] of Object.entries(expected)) {
      const percent = Number(key.slice(1));
      const actual = percentile(sorted, percent);
      // Where Python goes beyond the samples there is nothing.
      if (sorted.length < fewestFor(percent)) assertEquals(actual, undefined);
      else assertAlmostEquals(actual!, value, 1e-9);
    }
  });
}

Deno.test("percentile() needs 19 samples for p95 and 99 for p99, and never gives more than the maximum", () => {
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);
  assertEquals(percentile(upTo(18), 95), undefined);
  assertEquals(percentile(upTo(19), 95), 19);
  assertEquals(percentile(upTo(98), 99), undefined);
  assertEquals(percentile(upTo(99), 99), 99);
  assertEquals([50, 95, 99].map(fewestFor), [1, 19, 99]);
  assertEquals([1, 5].map(fewestFor), [99, 19]);
  for (let n = 1; n < 250; n++) {
    for (const p of [1, 5, 50, 95, 99]) {
      const value = percentile(upTo(n), p);
      assert(value === undefined || value >= 1 && value <= n, `${n} ${p}`);
    }
  }
});

Deno.test("percentile() gives a single sample as the median, and nothing else of it", () => {
  assertEquals([1, 50, 99].map((p) => percentile([7], p)), [
    undefined,
    7,
    undefined,
  ]);
});

Deno.test("percentile() refuses no samples and a percentile that is none", () => {
  assertThrows(() => percentile([], 50), RangeError, "of nothing");
  for (const bad of [0, 100, 99.9, NaN]) {
    assertThrows(() => percentile([1, 2], bad), RangeError, "from 1 to 99");
  }
});

Deno.test("summarize() sorts by value and leaves its samples alone", () => {
  const samples = [100, 9, 1];
  assertEquals(summarize(samples), {
    n: 3,
    p50: 9,
    p95: undefined,
    p99: undefined,
    max: 100,
  });
  assertEquals(samples, [100, 9, 1]);
});

Deno.test("thin() keeps both ends and the order", () => {
  const samples = Array.from({ length: 1000 }, (_, i) => 999 - i);
  const thinned = thin(samples, 10);
  assertEquals(thinned, [0, 111, 222, 333, 444, 555, 666, 777, 888, 999]);
  assertEquals(thin([3, 1, 2], 10), [1, 2, 3]);
});
