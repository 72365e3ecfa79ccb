/**
 * The callers that wait for one host.
 *
 * @module
 */

import { onAbort } from "../../transport/abort.ts";
import { LinkedList, ListNode } from "../limits/linked_list.ts";
import { EarliestTimer } from "../limits/timers.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import type { Operation } from "../telemetry/tracing.ts";

/**
 * What a waiter gets: a slot for a command, a slot for something that may stay
 * open for long (`stream`), a pin (the connection must not end while a tunnel
 * is on it), or the connection that all callers share.
 */
export type Claim = "command" | "stream" | "pin" | "shared";

/** How long a caller waits, and under which signal. */
export interface WaitOptions {
  /** Frees this waiter. */
  readonly signal?: AbortSignal | undefined;
  /** In milliseconds; 0 for ever. */
  readonly timeoutMs: number;
  /** Goes to the front: this caller had its turn, and has to try again. */
  readonly isRetry?: boolean;
  /** The traced operation of this wait. */
  readonly operation?: Operation | undefined;
}

/** What becomes of a waiter that leaves by itself. */
export interface WaiterListener {
  /** Its signal aborted. It must be removed and failed. */
  onAborted(waiter: Waiter, reason: unknown): void;
}

/** One caller that waits; settles once, and leaves no listener. */
export class Waiter extends ListNode<Waiter> {
  readonly claim: Claim;
  readonly isRetry: boolean;
  readonly operation: Operation | undefined;
  /** Resolves with a connection on which the claim is already taken. */
  readonly promise: Promise<PooledConnection>;
  /** Whether it waits no more. */
  isSettled = false;
  /** Its number in the order of arrival at this host. */
  arrival = 0;
  readonly #startedAt: number = performance.now();
  #resolve!: (pooled: PooledConnection) => void;
  #reject!: (error: unknown) => void;
  readonly #stopWatching: () => void;
  /** When its time is up, by `performance.now()`. */
  readonly dueAt: number;

  constructor(claim: Claim, options: WaitOptions, listener: WaiterListener) {
    super();
    this.claim = claim;
    this.isRetry = options.isRetry === true;
    this.operation = options.operation;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { signal, timeoutMs } = options;
    this.#stopWatching = onAbort(
      signal,
      () => listener.onAborted(this, signal?.reason),
    );
    this.dueAt = timeoutMs === 0 ? Infinity : this.#startedAt + timeoutMs;
  }

  /** How long it has waited, in milliseconds. */
  get waitedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** Hands the connection over: the claim is taken here, before anybody else runs. */
  grant(pooled: PooledConnection): void {
    this.#settle();
    if (this.claim === "shared") pooled.markShared();
    else if (this.claim === "pin") pooled.addPin();
    else pooled.takeSlot(this.claim);
    this.#resolve(pooled);
  }

  /** Ends the wait with an error. */
  fail(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.isSettled = true;
    this.#stopWatching();
  }
}

/**
 * Three queues, each in the order of arrival:
 *
 *     shared    wait for any connection, all are served at once
 *     command   wait for a slot
 *     stream    wait for a slot that may be held for long
 */
export class WaitQueue {
  readonly #shared = new LinkedList<Waiter>();
  readonly #commands = new LinkedList<Waiter>();
  readonly #streams = new LinkedList<Waiter>();
  readonly #onTimedOut: (waiter: Waiter) => void;
  /**
   * One for all: in Deno a timer costs as much as a dozen promises. Never
   * unref'd: callers wait for it. One that left may have it fire for nothing.
   */
  readonly #expiry = new EarliestTimer(() => this.#onExpiry(), {
    isUnref: false,
  });
  #arrivals = 0;
  #pins = 0;

  /** @param onTimedOut Told of one whose time is up, to remove and fail it. */
  constructor(onTimedOut: (waiter: Waiter) => void) {
    this.#onTimedOut = onTimedOut;
  }

  /** Everybody who waits. */
  get size(): number {
    return this.#shared.size + this.slotsWanted;
  }

  /** The one that has waited longest. */
  get oldest(): Waiter | undefined {
    const first = earlier(this.#commands.first, this.#streams.first);
    return earlier(this.#shared.first, first);
  }

  /** How many wait for a connection, and for no slot. */
  get shared(): number {
    return this.#shared.size;
  }

  /** How many wait for a slot. */
  get slotsWanted(): number {
    return this.#commands.size + this.#streams.size;
  }

  /** Whether a target waits for this host as its hop. */
  get hasPin(): boolean {
    return this.#pins > 0;
  }

  /** Returns whether an earlier caller is still waiting for such a slot. */
  hasWaitersBefore(claim: "command" | "stream"): boolean {
    return this.#commands.size > 0 ||
      (claim === "stream" && this.#streams.size > 0);
  }

  /** Adds a waiter: at the end, or, if it tries again, behind the others that do. */
  add(waiter: Waiter): void {
    waiter.arrival = ++this.#arrivals;
    if (waiter.claim === "pin") this.#pins++;
    const list = this.#listOf(waiter);
    if (waiter.isRetry) list.insertAfter(lastRetry(list), waiter);
    else list.push(waiter);
    this.#armFor(waiter.dueAt);
  }

  #armFor(dueAt: number): void {
    if (dueAt === Infinity) return;
    this.#expiry.arm(Math.max(0, Math.ceil(dueAt - performance.now())));
  }

  #onExpiry(): void {
    // A timer may fire a moment early: nobody waits less than was asked for.
    const now = performance.now();
    const due = this.#all().filter(({ dueAt }) => dueAt <= now)
      .sort((a, b) => a.dueAt - b.dueAt);
    for (const waiter of due) {
      // The end of one may be the turn of the next.
      if (!waiter.isSettled) this.#onTimedOut(waiter);
    }
    let next = Infinity;
    for (const { dueAt } of this.#all()) next = Math.min(next, dueAt);
    this.#armFor(next);
  }

  /** Removes this one, wherever it stands. */
  remove(waiter: Waiter): void {
    if (!this.#listOf(waiter).remove(waiter)) return;
    if (waiter.claim === "pin") this.#pins--;
    if (this.size === 0) this.#expiry.clear();
  }

  /** Takes the next one out that waits for no slot. */
  takeShared(): Waiter | undefined {
    return this.#take(this.#shared.first);
  }

  /**
   * Takes the one out that has waited longest for a slot.
   *
   * @param withStreams Whether a stream may have a slot now. If not, the
   * commands behind it go first.
   */
  takeSlotWaiter(withStreams: boolean): Waiter | undefined {
    const command = this.#commands.first;
    const stream = withStreams ? this.#streams.first : undefined;
    return this.#take(earlier(command, stream));
  }

  #all(): Waiter[] {
    return [...this.#shared, ...this.#commands, ...this.#streams];
  }

  /** Empties the queues. */
  takeAll(): Waiter[] {
    const all = this.#all();
    for (const waiter of all) this.remove(waiter);
    return all;
  }

  #take(waiter: Waiter | undefined): Waiter | undefined {
    if (waiter !== undefined) this.remove(waiter);
    return waiter;
  }

  #listOf({ claim }: Waiter): LinkedList<Waiter> {
    if (claim === "command") return this.#commands;
    return claim === "stream" ? this.#streams : this.#shared;
  }
}

/** Returns the last of those at the front that try again. */
function lastRetry(list: LinkedList<Waiter>): Waiter | undefined {
  let last: Waiter | undefined;
  for (const waiter of list) {
    if (!waiter.isRetry) break;
    last = waiter;
  }
  return last;
}

function earlier(
  a: Waiter | undefined,
  b: Waiter | undefined,
): Waiter | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.isRetry !== b.isRetry) return a.isRetry ? a : b;
  return a.arrival < b.arrival ? a : b;
}
