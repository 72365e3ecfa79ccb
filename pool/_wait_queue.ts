/**
 * Who waits for one host.
 *
 * @module
 */

import { LinkedList } from "./_linked_list.ts";
import type { Waiter } from "./_waiter.ts";

/**
 * Two queues: those who want a slot, which there may be or not, and those who
 * only look at a connection, who are all served as soon as there is one.
 */
export class WaitQueue {
  readonly #shared = new LinkedList<Waiter>();
  readonly #queue = new LinkedList<Waiter>();

  /** Everybody who waits. */
  get size(): number {
    return this.#shared.size + this.#queue.size;
  }

  /** How many wait to look. */
  get shared(): number {
    return this.#shared.size;
  }

  /** How many wait for a slot. */
  get queued(): number {
    return this.#queue.size;
  }

  /** Whether a target waits for this host as its hop. */
  get hasPin(): boolean {
    for (const waiter of this.#shared) {
      if (waiter.claim === "pin") return true;
    }
    return false;
  }

  /** Lets a waiter in, behind those who came before it. */
  add(waiter: Waiter): void {
    if (waiter.claim === "slot") {
      this.#queue.insertAfter(this.#placeFor(waiter), waiter);
    } else {
      this.#shared.push(waiter);
    }
  }

  /** Lets this one out, wherever it stands. */
  remove(waiter: Waiter): void {
    if (!this.#queue.remove(waiter)) this.#shared.remove(waiter);
  }

  /** The next one who shared. */
  nextShared(): Waiter | undefined {
    return this.#shared.shift();
  }

  /** The one who has waited longest for a slot. */
  nextQueued(): Waiter | undefined {
    return this.#queue.shift();
  }

  /** Empties the room. */
  removeAll(): Waiter[] {
    const all = [...this.#shared, ...this.#queue];
    for (const waiter of all) this.remove(waiter);
    return all;
  }

  /** In the order of arrival; only a retry ever goes before the tail. */
  #placeFor(waiter: Waiter): Waiter | undefined {
    const { tail } = this.#queue;
    if (tail === undefined || tail.seq <= waiter.seq) return tail;
    let anchor: Waiter | undefined;
    for (const other of this.#queue) {
      if (other.seq > waiter.seq) break;
      anchor = other;
    }
    return anchor;
  }
}
