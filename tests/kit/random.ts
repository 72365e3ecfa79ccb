/**
 * Choices that a seed decides, and that can be made again. A run has the same
 * choices as the one before; `SSHPOOL_SEED=random` draws others, and
 * `SSHPOOL_SEED=7` makes those again that a failure has printed.
 *
 * @module
 */

const DEFAULT_SEED = 20_220_615;

/** The seed of this run. */
export const seed: number = seedOf(Deno.env.get("SSHPOOL_SEED"));

function seedOf(given: string | undefined): number {
  if (given === undefined || given === "") return DEFAULT_SEED;
  // Cases count up from it, and stay below 32 bits.
  if (given === "random") {
    return crypto.getRandomValues(new Uint32Array(1))[0]! >>> 1;
  }
  if (/^\d{1,10}$/.test(given)) return Number(given);
  throw new RangeError(
    `Invalid SSHPOOL_SEED ${JSON.stringify(given)}: allowed are a whole ` +
      'number and "random"',
  );
}

/** How many cases to run: `SSHPOOL_CASES`, or a few. */
export function casesOfRun(byDefault: number): number {
  return Number(Deno.env.get("SSHPOOL_CASES") || byDefault);
}

/**
 * What to run a failed case again with: put this before the test command.
 *
 * @param seed The seed of the case.
 * @param isOneOfMany Whether other cases follow, with the next seeds.
 */
export function replay(seed: number, isOneOfMany = false): string {
  return `SSHPOOL_SEED=${seed}${isOneOfMany ? " SSHPOOL_CASES=1" : ""}`;
}

/** Runs a body, and names the seed of the run when it fails. */
export async function withSeed(
  body: (random: Random) => void | Promise<void>,
): Promise<void> {
  try {
    await body(new Random(seed));
  } catch (error) {
    throw new Error(`Failed with ${replay(seed)}`, { cause: error });
  }
}

/** A small generator of random numbers (mulberry32): the same for a seed. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** A number from 0 to 1, without 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to `end`, without `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** Whether something of this probability happens. */
  chance(p: number): boolean {
    return this.next() < p;
  }

  /** One of them, if there is any. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** One of the names, by their weights. */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K {
    const entries = Object.entries(weights) as [K, number][];
    let left = this.next() * entries.reduce((sum, [, w]) => sum + w, 0);
    for (const [name, weight] of entries) {
      if ((left -= weight) < 0) return name;
    }
    return entries[0]![0];
  }

  /** One to `most` of them, which may repeat. */
  some<T>(list: readonly T[], most: number): T[] {
    return Array.from({ length: 1 + this.below(most) }, () => this.pick(list));
  }

  /** So many random bytes. */
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/**
 * Runs a body with the next seeds until the time is over: one second, or
 * `SSHPOOL_FUZZ_SECONDS`. Names what replays a case that fails.
 *
 * @returns How many cases there were.
 */
export async function fuzz(
  body: (random: Random) => void | Promise<void>,
): Promise<number> {
  const ms = Number(Deno.env.get("SSHPOOL_FUZZ_SECONDS") || 1) * 1000;
  const cases = casesOfRun(Infinity);
  const startedAt = performance.now();
  let at = 0;
  while (at < cases && (at === 0 || performance.now() - startedAt < ms)) {
    const own = seed + at++;
    try {
      await body(new Random(own));
    } catch (error) {
      throw new Error(`Failed with ${replay(own, true)}`, { cause: error });
    }
  }
  return at;
}
