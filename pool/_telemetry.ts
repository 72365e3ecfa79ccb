/**
 * Where events go and counters are kept.
 *
 * @module
 */

import type {
  CloseCause,
  PoolCounters,
  PoolEvent,
  PoolObserver,
  RetryCause,
} from "./events.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Counts, and tells the observer. */
export class Telemetry {
  readonly #observer: PoolObserver | undefined;
  #pending: PoolEvent[] | undefined;
  readonly #counters: Mutable<PoolCounters> & {
    closed: Record<CloseCause, number>;
    retries: Record<RetryCause, number>;
    dialFailures: Mutable<PoolCounters["dialFailures"]>;
  } = {
    dials: 0,
    dialFailures: {},
    dialRetries: 0,
    opened: 0,
    closed: {
      idle: 0,
      lru: 0,
      lifetime: 0,
      surplus: 0,
      discarded: 0,
      requested: 0,
      ended: 0,
    },
    retries: { "channel-open": 0, "not-sent": 0, "idempotent": 0 },
    limitsLearned: 0,
    reclaimed: 0,
    acquireTimeouts: 0,
  };

  constructor(observer: PoolObserver | undefined) {
    this.#observer = observer;
  }

  /** A copy of the counters. */
  counters(): PoolCounters {
    return structuredClone(this.#counters);
  }

  /** A caller gave up waiting. */
  acquireTimedOut(): void {
    this.#counters.acquireTimeouts++;
  }

  /** Counts an event and tells it. */
  record(event: PoolEvent): void {
    this.#count(event);
    if (this.#observer === undefined) return;
    if (this.#pending !== undefined) {
      this.#pending.push(event);
      return;
    }
    // Told in a microtask: an observer that calls the pool, or throws, never
    // does so in the middle of a pump.
    this.#pending = [event];
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const events = this.#pending ?? [];
    this.#pending = undefined;
    for (const event of events) {
      try {
        const result = this.#observer?.(event);
        if (result instanceof Promise) result.catch(() => {});
      } catch {
        // The observer's error is the observer's affair.
      }
    }
  }

  #count(event: PoolEvent): void {
    const counters = this.#counters;
    switch (event.type) {
      case "dial":
        counters.dials++;
        break;
      case "connected":
        counters.opened++;
        break;
      case "dial-failed":
        if (event.retryInMs !== undefined) counters.dialRetries++;
        else {
          counters.dialFailures[event.phase] =
            (counters.dialFailures[event.phase] ?? 0) + 1;
        }
        break;
      case "disconnected":
        counters.closed[event.cause]++;
        break;
      case "limit-learned":
        counters.limitsLearned++;
        break;
      case "retry":
        counters.retries[event.cause]++;
        break;
      case "reclaimed":
        counters.reclaimed += event.slots;
        break;
    }
  }
}
