/**
 * The order in which connections were last used, and the one timer that ends
 * those that stay idle for too long or live for too long.
 *
 * @module
 */

import type { Entry } from "./_entry.ts";
import { LinkedList } from "./_linked_list.ts";
import { unref } from "./_timers.ts";

/** What the sweeper does with what it finds. */
export interface Sweep {
  /** Ends a connection that was idle for too long. */
  onIdle(entry: Entry): void;
  /** Told at each tick while there are connections. */
  onTick(now: number): void;
  /** Told at each tick while connections have a lifetime, to look at their age. */
  onAgeTick(now: number): void;
}

/**
 * Connections, least recently used first.
 *
 * One that is busy keeps its place and is passed over: it goes to the tail
 * when its last channel ends, so taking and giving a slot costs one move. A
 * hand-out costs no look at the clock (which takes longer than the rest of
 * it): it moves the connection to the tail, unstamped. The timer stamps what it
 * finds unstamped, all of which stand together at the tail, and ends what has
 * been stamped for the idle timeout, which stands at the head:
 *
 *     head  A 12:00:00   B 12:00:05   C 12:00:05   D -   E -  tail
 *           next to go                              used since the last tick
 *
 * So an idle connection ends no earlier than its timeout and one tick later at most.
 */
export class IdleOrder {
  readonly #list = new LinkedList<Entry>();
  readonly #idleTimeoutMs: number;
  readonly #lifetimeMs: number;
  readonly #sweep: Sweep;
  #timer: unknown;
  /** When the timer is due; `0` if there is none. */
  #dueAt = 0;
  /** Whether a tick is due soon enough to stamp what is handed out now. */
  #tickIsNear = false;
  #lifetimes = 0;

  constructor(
    options: { idleTimeoutMs: number; maxLifetimeMs: number },
    sweep: Sweep,
  ) {
    this.#idleTimeoutMs = options.idleTimeoutMs;
    this.#lifetimeMs = options.maxLifetimeMs;
    this.#sweep = sweep;
  }

  /** The idle connections, least recently used first. */
  *idle(): Generator<Entry> {
    for (const entry of this.#list) {
      if (!entry.isBusy) yield entry;
    }
  }

  /** A connection went idle, or an idle one was handed out. */
  touch(entry: Entry): void {
    entry.idleSince = 0;
    if (entry.list === undefined) this.#list.push(entry);
    else this.#list.moveToTail(entry);
    if (!this.#tickIsNear) this.#armTick();
  }

  /** A connection is gone. With the last one the timer goes too. */
  remove(entry: Entry): void {
    this.#list.remove(entry);
    if (this.#list.size === 0) this.stop();
  }

  /** Counts a connection whose age has to be watched. */
  watchAge(): void {
    if (this.#lifetimeMs > 0 && this.#lifetimes++ === 0) {
      this.#arm(this.#ageTick);
    }
  }

  /** Such a connection is gone. */
  unwatchAge(): void {
    if (this.#lifetimeMs > 0) this.#lifetimes--;
  }

  /** Ends the timer. */
  stop(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer as number);
    this.#timer = undefined;
    this.#dueAt = 0;
    this.#tickIsNear = false;
  }

  get #tick(): number {
    return Math.max(1, this.#idleTimeoutMs / 8);
  }

  get #ageTick(): number {
    return Math.max(1, this.#lifetimeMs / 20);
  }

  #armTick(): void {
    this.#tickIsNear = true;
    if (this.#idleTimeoutMs > 0) this.#arm(this.#tick);
  }

  #arm(delayMs: number): void {
    const dueAt = Date.now() + delayMs;
    if (this.#timer !== undefined) {
      if (this.#dueAt <= dueAt) return;
      clearTimeout(this.#timer as number);
    }
    this.#dueAt = dueAt;
    // Unref'd: nobody waits for it, and it must not keep a program alive.
    this.#timer = unref(setTimeout(() => this.#onTimer(), delayMs));
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#dueAt = 0;
    this.#tickIsNear = false;
    const now = Date.now();
    this.#sweep.onTick(now);
    this.#stamp(now);
    this.#endOverdue(now);
    if (this.#lifetimes > 0) {
      this.#sweep.onAgeTick(now);
      this.#arm(this.#ageTick);
    }
    const head = this.#list.head;
    // An unstamped head was touched by the sweep, which armed the next tick.
    if (head !== undefined && head.idleSince > 0 && this.#idleTimeoutMs > 0) {
      const left = head.idleSince + this.#idleTimeoutMs - now;
      this.#arm(Math.max(1, left));
    }
  }

  #stamp(now: number): void {
    let entry = this.#list.tail;
    while (entry !== undefined && entry.idleSince === 0) {
      entry.idleSince = now;
      entry = entry.prev;
    }
  }

  #endOverdue(now: number): void {
    if (this.#idleTimeoutMs === 0) return;
    for (const entry of this.#list) {
      // Unstamped again: handed out or passed over by this very sweep, and so
      // are all behind it. The next tick stamps them.
      if (entry.idleSince === 0) break;
      // A clock that was set back must not make idleness last for hours.
      entry.idleSince = Math.min(entry.idleSince, now);
      if (entry.idleSince + this.#idleTimeoutMs > now) break;
      if (entry.isBusy) this.touch(entry);
      else this.#sweep.onIdle(entry);
    }
  }
}
