/**
 * Where events go and counters are kept.
 *
 * @module
 */

import { type Channel, channel } from "node:diagnostics_channel";
import { Operation, type OperationParts } from "./tracing.ts";
import type { DiagnosticPool } from "./diagnostics.ts";
import type {
  CloseCause,
  PoolCounters,
  PoolEvent,
  PoolObserver,
  RetryCause,
} from "./events.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const CHANNELS: Readonly<Record<PoolEvent["type"], Channel>> = {
  "dial": channel("sshpool:dial"),
  "connected": channel("sshpool:connected"),
  "dial-failed": channel("sshpool:dial-failed"),
  "disconnected": channel("sshpool:disconnected"),
  "limit-learned": channel("sshpool:limit-learned"),
  "retry": channel("sshpool:retry"),
  "cooldown": channel("sshpool:cooldown"),
  "leak": channel("sshpool:leak"),
  "reclaimed": channel("sshpool:reclaimed"),
  "forward-failed": channel("sshpool:forward-failed"),
  "notice": channel("sshpool:notice"),
};

/** Counts events, and passes them to the observer and to subscribers. */
export class Telemetry {
  readonly #pool: DiagnosticPool;
  readonly #observer: PoolObserver | undefined;
  #pending: (() => void)[] | undefined;
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
    forwardFailures: 0,
  };

  constructor(pool: DiagnosticPool, observer: PoolObserver | undefined) {
    this.#pool = pool;
    this.#observer = observer;
  }

  /** Returns a copy of the counters. */
  counters(): PoolCounters {
    return structuredClone(this.#counters);
  }

  /** Counts a caller that gave up waiting. */
  acquireTimedOut(): void {
    this.#counters.acquireTimeouts++;
  }

  /** Counts an event, and passes it to the observer and to subscribers. */
  record(event: PoolEvent): void {
    this.#count(event);
    if (this.#observer !== undefined) this.#later(() => this.#observe(event));
    if (!CHANNELS[event.type].hasSubscribers) return;
    const message = { ...event, pool: this.#pool };
    this.#later(() => CHANNELS[event.type].publish(message));
  }

  /** Makes an operation of this pool, to be traced. */
  operation(parts: Omit<OperationParts, "pool">): Operation {
    return new Operation({ ...parts, pool: this.#pool });
  }

  /** Publishes the start of a dial. */
  dialBegan(dial: Operation): void {
    this.#later(() => dial.begin());
  }

  /** Publishes the end of a dial. */
  dialEnded(dial: Operation, failure?: { readonly error: unknown }): void {
    dial.settle(failure);
    this.#later(() => dial.end());
  }

  /**
   * Tells in a microtask: an observer that calls the pool, or throws, never
   * does so in the middle of a pump.
   */
  #later(tell: () => void): void {
    if (this.#pending !== undefined) {
      this.#pending.push(tell);
      return;
    }
    this.#pending = [tell];
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const all = this.#pending ?? [];
    this.#pending = undefined;
    for (const tell of all) tell();
  }

  #observe(event: PoolEvent): void {
    try {
      const result = this.#observer?.(event);
      if (result instanceof Promise) result.catch(() => {});
    } catch {
      // Errors thrown by the observer are ignored.
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
      case "forward-failed":
        counters.forwardFailures++;
        break;
    }
  }
}
