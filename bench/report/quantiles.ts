/**
 * Quantiles by the rule of Python's `statistics.quantiles`, so that figures
 * compare with those of programs written there.
 *
 * @module
 */

/** The rule, as tables state it. */
export const QUANTILE_RULE =
  'p50, p95 and p99 are what Python\'s statistics.quantiles(n=100) gives; "-": ' +
  "too few samples, since p95 needs 19 and p99 needs 99 to lie among them.";

/**
 * Returns the `percent`-th percentile: what Python gives as
 * `statistics.quantiles(data, n=100)[percent - 1]`.
 *
 * The rule is the default one, "exclusive". Of a sample that is too small,
 * Python gives a value beyond the largest sample, or below the smallest, which
 * nobody has measured: here there is none then.
 *
 * @param sorted The samples in ascending order, at least one.
 * @param percent From 1 to 99.
 * @returns The percentile, which lies between two samples or on one;
 * `undefined` if there are fewer than {@linkcode fewestFor} says.
 */
export function percentile(
  sorted: ArrayLike<number>,
  percent: number,
): number | undefined {
  const length = sorted.length;
  if (length === 0) throw new RangeError("Cannot take a percentile of nothing");
  if (length < fewestFor(percent)) return undefined;
  const position = percent * (length + 1);
  const index = Math.floor(position / 100);
  const delta = position - index * 100;
  const below = sorted[index - 1]!;
  return delta === 0
    ? below
    : (below * (100 - delta) + sorted[index]! * delta) / 100;
}

/**
 * Returns how many samples a percentile needs to lie among them: 1, 19 and 99
 * for p50, p95 and p99.
 */
export function fewestFor(percent: number): number {
  if (!Number.isInteger(percent) || percent < 1 || percent > 99) {
    throw new RangeError(
      `Cannot take the percentile ${percent}: must be a whole number from 1 to 99`,
    );
  }
  return Math.ceil(Math.max(percent / (100 - percent), 100 / percent - 1));
}

/** What a table says of a set of samples. */
export interface Summary {
  /** How many samples. */
  readonly n: number;
  readonly p50: number;
  /** Absent below 19 samples. */
  readonly p95?: number | undefined;
  /** Absent below 99 samples. */
  readonly p99?: number | undefined;
  readonly max: number;
}

/**
 * Summarises samples.
 *
 * @param samples In any order, at least one; left as they are.
 */
export function summarize(samples: ArrayLike<number>): Summary {
  // A typed array sorts by value, a plain one by text.
  const sorted = Float64Array.from(samples).sort();
  return {
    n: sorted.length,
    p50: percentile(sorted, 50)!,
    p95: percentile(sorted, 95),
    p99: percentile(sorted, 99),
    max: sorted.at(-1)!,
  };
}

/** Samples that stand for all in a plot: sorted, evenly spaced, both ends kept. */
export function thin(samples: ArrayLike<number>, count: number): number[] {
  const sorted = Float64Array.from(samples).sort();
  if (sorted.length <= count) return [...sorted];
  const step = (sorted.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, i) => sorted[Math.round(i * step)]!);
}
