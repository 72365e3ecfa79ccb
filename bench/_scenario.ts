/**
 * Scenarios: benches that check what they time, and whose samples are kept for
 * a table with p95 and p99, which `deno bench` does not report by itself.
 *
 * Environment:
 *
 * - `SSHPOOL_BENCH_SHORT=1`: few samples and small sizes, to see that all runs;
 * - `SSHPOOL_BENCH_JSON=path`: the tables of all files, as one JSON object;
 * - `SSHPOOL_BENCH_STRICT=1`: a claim that does not hold fails the run.
 *
 * @module
 */

import { summarize } from "./_quantiles.ts";
import { addRow, reportAtEnd } from "./_report.ts";

/** Whether to be quick rather than precise. */
export const short = Deno.env.get("SSHPOOL_BENCH_SHORT") === "1";

/** Chooses a size: the first in a full run, the second in a short one. */
export function size(full: number, brief: number): number {
  return short ? brief : full;
}

/** What is measured, and how. `T` is the fixture that it runs on. */
export interface Scenario<T> {
  readonly name: string;
  /** Scenarios of one group are compared with its baseline. */
  readonly group?: string;
  /** @default {false} */
  readonly baseline?: boolean;
  /** @default {false} */
  readonly ignore?: boolean;
  /** Timed runs; `deno bench` adds one of its own. */
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
   * Operations that `run` does at once; a sample is then all of them.
   *
   * @default {1}
   */
  readonly callers?: number;
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
   * milliseconds, which are then the samples.
   */
  run(fixture: NoInfer<T>): unknown;
  /** Asserts the outcome of a run. Not timed; the first time before any timing. */
  check?(fixture: NoInfer<T>): void | Promise<void>;
  /** Dials made on the fixture so far. */
  dials?(fixture: NoInfer<T>): number;
}

let last: (() => Promise<void>) | undefined;

/**
 * Registers a scenario as a bench, and its samples for the table.
 *
 * `deno bench` decides how often it calls (its warm-up ignores what it is
 * asked for), so the first call only rehearses: it makes the fixture, runs, and
 * checks the outcome, all before anything is timed.
 */
export function scenario<T>(spec: Scenario<T>): void {
  const meter = new Meter(spec);
  reportAtEnd();
  Deno.bench({
    name: spec.name,
    ...spec.group === undefined ? {} : { group: spec.group },
    baseline: spec.baseline ?? false,
    ignore: spec.ignore ?? false,
    n: spec.n,
    warmup: 1,
    // `deno bench` awaits only what is declared async.
    fn: async (b) => await meter.call(b),
  });
}

class Meter<T> {
  readonly #spec: Scenario<T>;
  readonly #samples: number[] = [];
  #elapsedMs = 0;
  #runs = 0;
  #dials = 0;
  #fixture: { value: T } | undefined;
  #rehearsed = false;

  constructor(spec: Scenario<T>) {
    this.#spec = spec;
  }

  async call(b: Deno.BenchContext): Promise<void> {
    if (!this.#rehearsed) {
      this.#rehearsed = true;
      return await this.#rehearse();
    }
    const { run, dials, fresh } = this.#spec;
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
    await this.#spec.check?.(fixture);
    if (fresh) await this.#close();
  }

  async #rehearse(): Promise<void> {
    // There is no hook after a bench: the next one closes its fixture.
    await last?.();
    // `deno bench` warms up for 10 ms at least: here all of that is used up,
    // so that a scenario of minutes does not run once more than it has to.
    const warmedUp = new Promise((resolve) => setTimeout(resolve, 15));
    last = () => this.#close();
    for (let i = 0; i < (this.#spec.warmup ?? 1); i++) {
      const fixture = await this.#open();
      await this.#spec.run(fixture);
      await this.#spec.check?.(fixture);
      if (this.#spec.fresh) await this.#close();
    }
    await warmedUp;
  }

  #record(elapsed: number, latencies: unknown): void {
    if (this.#runs === 0) addRow(this.#spec.name, () => this.#row());
    this.#elapsedMs += elapsed;
    this.#runs++;
    if (Array.isArray(latencies)) {
      for (const latency of latencies) this.#samples.push(latency);
    } else this.#samples.push(elapsed / (this.#spec.batch ?? 1));
  }

  #row() {
    const { name, group, baseline, batch = 1, callers = 1 } = this.#spec;
    const operations = Math.max(
      this.#runs * batch * callers,
      this.#samples.length,
    );
    return {
      name,
      group,
      baseline: baseline ?? false,
      batch,
      ...summarize(this.#samples),
      throughput: operations / (this.#elapsedMs / 1000),
      dials: this.#spec.dials && this.#dials / this.#runs,
    };
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
