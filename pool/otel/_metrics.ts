/**
 * The metrics of pools.
 *
 * @module
 */

import type {
  Attributes,
  BatchObservableResult,
  Counter,
  Histogram,
  Meter,
  Observable,
} from "@opentelemetry/api";
import type {
  DiagnosticEvent,
  DiagnosticPool,
  OperationEnd,
  PoolOperation,
} from "../telemetry/diagnostics.ts";
import {
  ATTRIBUTE,
  BUCKETS,
  errorType,
  METRIC,
  serverOf,
} from "./_conventions.ts";

/** The message of a failed connection of a forward. */
export type ForwardFailed = Extract<
  DiagnosticEvent,
  { readonly type: "forward-failed" }
>;

/** Measures operations, and reads the pools that it has heard of. */
export class Metrics {
  readonly #meter: Meter;
  readonly #perHost: boolean;
  /** Held weakly: metrics of a pool do not keep it alive. */
  readonly #pools = new Set<WeakRef<DiagnosticPool>>();
  readonly #known = new WeakSet<DiagnosticPool>();
  readonly #count: Observable;
  readonly #max: Observable;
  readonly #pending: Observable;
  readonly #timeouts: Counter;
  readonly #createTime: Histogram;
  readonly #waitTime: Histogram;
  readonly #useTime: Histogram;
  readonly #duration: Histogram;
  readonly #forwardFailures: Counter;
  readonly #observe = (result: BatchObservableResult): void =>
    this.#observePools(result);

  constructor(meter: Meter, perHost: boolean) {
    this.#meter = meter;
    this.#perHost = perHost;
    const gauge = (name: string, unit: string, description: string) =>
      meter.createObservableUpDownCounter(name, { unit, description });
    const time = (name: string, description: string) =>
      meter.createHistogram(name, {
        unit: "s",
        description,
        advice: { explicitBucketBoundaries: BUCKETS },
      });
    this.#count = gauge(
      METRIC.count,
      "{connection}",
      "Connections, by whether a channel is open on them",
    );
    this.#max = gauge(
      METRIC.max,
      "{connection}",
      "Connections that there may be",
    );
    this.#pending = gauge(
      METRIC.pending,
      "{request}",
      "Callers that wait for a connection or a slot",
    );
    this.#timeouts = meter.createCounter(METRIC.timeouts, {
      unit: "{timeout}",
      description: "Callers that waited for longer than they wanted to",
    });
    this.#createTime = time(METRIC.createTime, "Time to open a connection");
    this.#waitTime = time(METRIC.waitTime, "Time to get a slot");
    this.#useTime = time(METRIC.useTime, "Time for which a slot was held");
    this.#duration = time(METRIC.duration, "Time that a call took");
    this.#forwardFailures = meter.createCounter(METRIC.forwardFailures, {
      unit: "{connection}",
      description: "Connections of forwards that were refused or failed",
    });
    meter.addBatchObservableCallback(this.#observe, this.#observables);
  }

  /** Reads this pool, too, from now on. */
  add(pool: DiagnosticPool): void {
    if (this.#known.has(pool)) return;
    this.#known.add(pool);
    this.#pools.add(new WeakRef(pool));
  }

  /** An operation, with what it had opened, has ended. */
  end(operation: PoolOperation, end: OperationEnd, tookMs: number): void {
    const { name } = operation;
    const attributes = this.#attributesOf(operation);
    const error = "error" in end
      ? { [ATTRIBUTE.errorType]: errorType(end.error) }
      : {};
    const all = { ...attributes, ...error };
    const seconds = tookMs / 1_000;
    if (name === "dial") {
      this.#createTime.record(seconds, all);
    } else if (name === "acquire") {
      this.#waitTime.record(seconds, all);
      if (isTimeout(end.error)) this.#timeouts.add(1, attributes);
    } else {
      this.#duration.record(seconds, { ...all, [ATTRIBUTE.operation]: name });
    }
  }

  /** A slot that an operation had taken was given back. */
  recordRelease(operation: PoolOperation, heldMs: number): void {
    this.#useTime.record(heldMs / 1_000, this.#attributesOf(operation));
  }

  /** A connection of a forward has failed. The host is not looked up here. */
  forwardFailed(event: ForwardFailed): void {
    this.#forwardFailures.add(1, {
      [ATTRIBUTE.pool]: event.pool.name,
      [ATTRIBUTE.forwardType]: event.forward,
      [ATTRIBUTE.forwardReason]: event.reason,
      [ATTRIBUTE.errorType]: errorType(event.error),
    });
  }

  /** Reads no pool any more. */
  stop(): void {
    this.#meter.removeBatchObservableCallback(this.#observe, this.#observables);
  }

  get #observables(): Observable[] {
    return [this.#count, this.#max, this.#pending];
  }

  #attributesOf(operation: PoolOperation): Attributes {
    return {
      [ATTRIBUTE.pool]: operation.pool.name,
      ...(this.#perHost ? serverOf(operation) : {}),
    };
  }

  /**
   * A closed pool is read, too, as long as it is there: some SDKs go on with
   * the last value, and that has to be 0.
   */
  #observePools(result: BatchObservableResult): void {
    for (const ref of this.#pools) {
      const pool = ref.deref();
      if (pool === undefined) {
        this.#pools.delete(ref);
        continue;
      }
      const { idle, busy, waiting, maxConnections } = pool.stats();
      const attributes = { [ATTRIBUTE.pool]: pool.name };
      const state = (it: string) => ({ ...attributes, [ATTRIBUTE.state]: it });
      result.observe(this.#count, idle, state("idle"));
      result.observe(this.#count, busy, state("used"));
      result.observe(this.#max, maxConnections, attributes);
      result.observe(this.#pending, waiting, attributes);
    }
  }
}

function isTimeout(error: unknown): boolean {
  return error !== undefined && errorType(error) === "SSH_ACQUIRE_TIMEOUT";
}
