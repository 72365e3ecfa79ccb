/**
 * Scenarios: benches that check what they time, and whose samples are kept for
 * a table with p95 and p99, which `deno bench` does not report by itself.
 *
 * @module
 */

import { Progress } from "./progress.ts";
import { summarize, thin } from "../report/quantiles.ts";
import { addIgnored, addRow, reportAtEnd, short } from "../report/report.ts";
import type { Row } from "../report/table.ts";

/** How many samples are kept for plots. */
const PLOTTED = 100;

/** Chooses a size: the first in a full run, the second in a short one. */
export function size(full: number, brief: number): number {
  return short ? brief : full;
}

/** What is measured, and how. `T` is the fixture that it runs on. */
export interface Scenario<T> {
  /** Unique in its group. */
  readonly name: string;
  /** What its scenarios do. They are compared with the baseline among them. */
  readonly group?: string;
  /** @default {false} */
  readonly baseline?: boolean;
  /** @default {false} */
  readonly ignore?: boolean;
  /** Timed runs. */
  readonly n: number;
  /**
   * Runs before the first timed one; 0 where a run is long and checks itself.
   *
   * @default {1}
   */
  readonly warmup?: number;
  /**
   * Operations that `run` does one after another; a sample is then the mean of
   * one. For what is too short for the clock: a run should take 10 µs or more,
   * since below that `deno bench` times the fixture too.
   *
   * @default {1}
   */
  readonly batch?: number;
  /**
   * Bytes that an operation moves: its rate is then told in them.
   *
   * @default {undefined}
   */
  readonly bytes?: number;
  /**
   * Whether a rate says something: not where a run does more than its
   * operations.
   *
   * @default {true}
   */
  readonly hasRate?: boolean;
  /**
   * Open a fixture for each run, and not one for all.
   *
   * @default {false}
   */
  readonly fresh?: boolean;
  /** Makes the fixture. Not timed. */
  open(): T | Promise<T>;
  /**
   * Does the work. Timed. May give the latencies of its operations in
   * milliseconds, which are then the samples: of what is done at once, each
   * caller's own.
   */
  run(fixture: NoInfer<T>): unknown;
  /** Asserts the outcome of a run. Not timed; the first time before any timing. */
  check?(fixture: NoInfer<T>): void | Promise<void>;
  /** Dials made on the fixture so far. */
  dials?(fixture: NoInfer<T>): number;
}

const progress = new Progress();
let last: (() => Promise<void>) | undefined;

/**
 * Registers a scenario as a bench, and its samples for the table.
 *
 * `deno bench` decides how often it calls (its warm-up ignores what it is
 * asked for), so the first call only rehearses: it makes the fixture, runs, and
 * checks the outcome, all before anything is timed.
 *
 * @returns The key of its row, for claims.
 */
export function scenario<T>(spec: Scenario<T>): string {
  const key = spec.group === undefined
    ? spec.name
    : `${spec.group}: ${spec.name}`;
  const meter = new Meter(spec, key);
  reportAtEnd();
  if (spec.ignore) addIgnored(key);
  Deno.bench({
    name: key,
    ...spec.group === undefined ? {} : { group: spec.group },
    baseline: spec.baseline ?? false,
    ignore: spec.ignore ?? false,
    n: spec.n,
    warmup: 1,
    // `deno bench` awaits only what is declared async.
    fn: async (b) => await meter.call(b),
  });
  return key;
}

class Meter<T> {
  readonly #spec: Scenario<T>;
  readonly #key: string;
  readonly #samples: number[] = [];
  #elapsedMs = 0;
  #runs = 0;
  #dials = 0;
  #fixture: { value: T } | undefined;
  #rehearsals: number | undefined;

  constructor(spec: Scenario<T>, key: string) {
    this.#spec = spec;
    this.#key = key;
  }

  async call(b: Deno.BenchContext): Promise<void> {
    if (this.#rehearsals === undefined) return await this.#rehearse();
    // Nobody sees what `deno bench` makes of one call more.
    if (this.#runs >= this.#spec.n) return;
    const { run, dials, check, fresh } = this.#spec;
    const fixture = await this.#open();
    const dialsBefore = dials?.(fixture) ?? 0;
    b.start();
    const start = performance.now();
    // Awaited always: what a promise costs is part of what is measured.
    const latencies = await run(fixture);
    const elapsed = performance.now() - start;
    b.end();
    this.#dials += (dials?.(fixture) ?? 0) - dialsBefore;
    this.#record(elapsed, latencies);
    await check?.(fixture);
    if (fresh) await this.#close();
    if (this.#runs === this.#spec.n) progress.end();
  }

  async #rehearse(): Promise<void> {
    // There is no hook after a bench: the next one closes its fixture.
    await last?.();
    last = () => this.#close();
    // `deno bench` warms up for 10 ms at least: here all of that is used up,
    // so that a scenario of minutes does not run once more than it has to.
    const warmedUp = new Promise((resolve) => setTimeout(resolve, 15));
    const { n, run, check, fresh, warmup = 1 } = this.#spec;
    this.#rehearsals = 0;
    progress.begin(() => ({
      name: this.#key,
      done: this.#runs + this.#rehearsals!,
      total: n + warmup,
    }));
    for (; this.#rehearsals < warmup; this.#rehearsals++) {
      const fixture = await this.#open();
      await run(fixture);
      await check?.(fixture);
      if (fresh) await this.#close();
    }
    await warmedUp;
  }

  #record(elapsed: number, latencies: unknown): void {
    if (this.#runs === 0) addRow(this.#key, () => this.#row());
    this.#elapsedMs += elapsed;
    this.#runs++;
    if (Array.isArray(latencies)) {
      for (const latency of latencies) this.#samples.push(latency);
    } else this.#samples.push(elapsed / (this.#spec.batch ?? 1));
  }

  #row(): Row {
    const { name, group, baseline, batch = 1, dials } = this.#spec;
    return {
      name,
      group,
      baseline: baseline ?? false,
      batch,
      ...summarize(this.#samples),
      ...this.#rate(batch),
      dials: dials && this.#dials / this.#runs,
      samples: thin(this.#samples, PLOTTED),
    };
  }

  #rate(batch: number): Pick<Row, "rate" | "rateOf"> {
    const { bytes, hasRate = true } = this.#spec;
    if (!hasRate) return {};
    const perSecond = this.#samples.length * batch / (this.#elapsedMs / 1000);
    return bytes === undefined
      ? { rate: perSecond, rateOf: "operations" }
      : { rate: perSecond * bytes, rateOf: "bytes" };
  }

  async #open(): Promise<T> {
    this.#fixture ??= { value: await this.#spec.open() };
    return this.#fixture.value;
  }

  async #close(): Promise<void> {
    const fixture = this.#fixture?.value;
    this.#fixture = undefined;
    if (isDisposable(fixture)) await fixture[Symbol.asyncDispose]();
  }
}

function isDisposable(value: unknown): value is AsyncDisposable {
  return typeof value === "object" && value !== null &&
    Symbol.asyncDispose in value;
}
