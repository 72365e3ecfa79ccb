/**
 * Whether work takes time in proportion to what it works on, on a machine that
 * may be busy with something else.
 *
 * @module
 */

/**
 * How many times as long a large input takes as the same amount of small ones:
 * about 1 where the time is in proportion, about `parts` where it grows with
 * the square. Both take about as long then, so a busy machine slows both; it
 * may still do so to one of them, and so the least of a few tries counts.
 *
 * @param work What is measured.
 * @param small An input.
 * @param large One that is `parts` times as large.
 * @param parts How many small ones make a large one.
 */
export function slowdown<T>(
  work: (input: T) => void,
  [small, large]: readonly [T, T],
  parts: number,
): number {
  const ms = (input: T, times: number) => {
    const startedAt = performance.now();
    for (let n = 0; n < times; n++) work(input);
    return performance.now() - startedAt;
  };
  ms(small, 1); // compiled by then
  let least = Infinity;
  for (let tries = 6; least >= 2 && tries > 0; tries--) {
    least = Math.min(least, ms(large, 1) / Math.max(ms(small, parts), 1));
  }
  return least;
}
