/** What the tests of the pool share: a pool over memory, gates, and a clock. */

import { assertEquals } from "@std/assert";
import {
  ConnectionPool,
  type ConnectionPoolOptions,
  type OperationName,
  type PoolEvent,
} from "../../pool/mod.ts";
import {
  type MemoryConnection,
  MemoryConnector,
  type MemoryConnectorOptions,
} from "../../transport/testing/mod.ts";

/** All that is traced. */
export const OPERATIONS: readonly OperationName[] = [
  "acquire",
  "connect",
  "dial",
  "download",
  "exec",
  "forward",
  "sftp",
  "shell",
  "spawn",
  "subsystem",
  "upload",
];

/** A pool, the connector under it, and what the observer was told. */
export class Kit implements AsyncDisposable {
  readonly connector: MemoryConnector;
  readonly pool: ConnectionPool;
  readonly events: PoolEvent[] = [];

  constructor(
    script: MemoryConnectorOptions = {},
    options: Partial<ConnectionPoolOptions> = {},
  ) {
    this.connector = new MemoryConnector(script);
    this.pool = new ConnectionPool({
      connector: this.connector,
      observer: (event) => void this.events.push(event),
      ...options,
    });
  }

  /** The n-th connection that was opened, from 0. */
  connection(n: number): MemoryConnection {
    const connection = this.connector.connections[n];
    if (connection === undefined) throw new Error(`No connection ${n}`);
    return connection;
  }

  /** Lets what is due happen, then gives the types of the events so far. */
  async told(...types: PoolEvent["type"][]): Promise<PoolEvent[]> {
    await flush();
    return this.events.filter((event) => types.includes(event.type));
  }

  /** Ends the pool; fails if anything of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close({ drainTimeoutMs: 0 });
    await flush();
    const { connector, pool } = this;
    assertEquals(connector.dialsInFlight, 0, "dials in flight after close()");
    assertEquals(connector.closed, connector.opened, "opened and closed");
    assertEquals(pool.size, 0, "connections after close()");
    const { waiting, dialing, slotsInUse } = pool.stats();
    assertEquals({ waiting, dialing, slotsInUse }, {
      waiting: 0,
      dialing: 0,
      slotsInUse: 0,
    });
  }
}

/** A promise that the test resolves. */
export interface Gate {
  readonly promise: Promise<void>;
  open(): void;
}

/** Makes a gate. */
export function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: resolve };
}

/** Lets all that is due in the microtask queue happen, without any timer. */
export async function flush(): Promise<void> {
  for (let i = 0; i < 200; i++) await null;
}

/** How a promise stands: its value, its error, or `"pending"`. */
export async function stateOf(promise: Promise<unknown>): Promise<unknown> {
  let state: unknown = "pending";
  promise.then((value) => state = value, (error) => state = error);
  await flush();
  return state;
}

/** The error of a promise that has to reject. */
export async function errorOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("Expected a rejection");
}

/** The numbers from 0 up to `n`. */
export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

interface FakeTimer {
  readonly at: number;
  readonly run: () => void;
  /** The pool lets the sweeper's timer not keep the program alive. */
  unref(): FakeTimer;
  isUnref: boolean;
}

/**
 * A clock that stands still until the test moves it: `setTimeout`, `Date.now`
 * and `performance.now` all follow it.
 */
export class FakeTime implements Disposable {
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    dateNow: Date.now,
    now: performance.now,
  };
  readonly #timers = new Set<FakeTimer>();
  #nowMs = 1_000_000;
  #dateShiftMs = 1_700_000_000_000;

  constructor() {
    const fake = {
      setTimeout: (run: () => void, ms = 0) => this.#add(run, ms),
      clearTimeout: (timer: unknown) => {
        this.#timers.delete(timer as FakeTimer);
      },
    };
    Object.assign(globalThis, fake);
    Date.now = () => this.#nowMs + this.#dateShiftMs;
    performance.now = () => this.#nowMs;
  }

  /** Timers that are armed. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Of these, those that keep the program alive. */
  get referenced(): number {
    return [...this.#timers].filter((timer) => !timer.isUnref).length;
  }

  /** Moves the clock; timers fire at their time, in order. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    await flush();
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.at);
      next.run();
      await flush();
    }
    this.#nowMs = end;
  }

  /** Sets the clock on the wall; time goes on as before. */
  shiftDate(ms: number): void {
    this.#dateShiftMs += ms;
  }

  /** Gives the real clock back. */
  [Symbol.dispose](): void {
    const { setTimeout, clearTimeout, dateNow, now } = this.#real;
    Object.assign(globalThis, { setTimeout, clearTimeout });
    Date.now = dateNow;
    performance.now = now;
  }

  #add(run: () => void, ms: number): FakeTimer {
    const timer: FakeTimer = {
      at: this.#nowMs + ms,
      run,
      isUnref: false,
      unref() {
        timer.isUnref = true;
        return timer;
      },
    };
    this.#timers.add(timer);
    return timer;
  }
}
