/**
 * Latencies of work that is done at once.
 *
 * @module
 */

/** Runs `work`, and gives how long it took, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** What `work` gives, which is done when it is first asked for. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let done: Promise<T> | undefined;
  return () => done ??= work();
}

/** Does all at once, and gives how long each took. */
export function together(
  count: number,
  work: (i: number) => Promise<unknown>,
): Promise<number[]> {
  return Promise.all(
    Array.from({ length: count }, (_, i) => timed(() => work(i))),
  );
}

/**
 * Does `count` things with so many callers, each of whom does the next one when
 * its last is done, and gives how long each took.
 */
export async function share(
  count: number,
  callers: number,
  work: (i: number) => Promise<unknown>,
): Promise<number[]> {
  const latencies: number[] = [];
  let next = 0;
  const call = async () => {
    while (next < count) {
      const i = next++;
      latencies[i] = await timed(() => work(i));
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  return latencies;
}

/** Lets so many in at once; the others wait their turn. */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(width: number) {
    this.#free = width;
  }

  /** Does the work when it is its turn. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
