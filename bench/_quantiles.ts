/**
 * Quantiles by the rule of Python's `statistics.quantiles`, so that figures
 * compare with those of programs written there.
 *
 * @module
 */

/**
 * The `percent`-th percentile: what Python gives as
 * `statistics.quantiles(data, n=100)[percent - 1]`.
 *
 * The rule is the default one, "exclusive": the data are a sample of something
 * that can be smaller and larger than any of them. With few samples the high
 * percentiles therefore lie beyond the largest sample, as they do in Python.
 *
 * @param sorted The samples in ascending order, at least one.
 * @param percent From 1 to 99.
 */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  const length = sorted.length;
  if (length === 0) throw new RangeError("Cannot take a percentile of nothing");
  if (!Number.isInteger(percent) || percent < 1 || percent > 99) {
    throw new RangeError(
      `Cannot take the percentile ${percent}: must be a whole number from 1 to 99`,
    );
  }
  // Python needs two samples until 3.12, and repeats a single one from 3.13 on.
  if (length === 1) return sorted[0]!;
  const position = percent * (length + 1);
  const index = Math.min(Math.max(Math.floor(position / 100), 1), length - 1);
  const delta = position - index * 100;
  return (sorted[index - 1]! * (100 - delta) + sorted[index]! * delta) / 100;
}

/** What a table says of a set of samples. */
export interface Summary {
  readonly n: number;
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
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
    mean: sorted.reduce((sum, sample) => sum + sample, 0) / sorted.length,
    p50: percentile(sorted, 50),
    p95: percentile(sorted, 95),
    p99: percentile(sorted, 99),
    max: sorted.at(-1)!,
  };
}
