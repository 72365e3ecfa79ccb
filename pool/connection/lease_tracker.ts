/**
 * Gives the slots of forgotten leases back, and reports leases held for long.
 *
 * @module
 */

import type { Telemetry } from "../telemetry/counters.ts";
import { unref } from "../limits/timers.ts";

/** A connection, as far as its leases go. */
export interface LeaseOwner {
  readonly name: string;
  /**
   * The group that the next lease joins. To be dropped from time to time, so
   * that nothing but leases holds it.
   */
  leaseGroup: LeaseGroup | undefined;
  /** Gives the slot of a lease back. */
  giveLease(): void;
}

/** What outlives a group: the owner of its slots, and how many are out. */
interface GroupState {
  readonly owner: LeaseOwner;
  /** Leases that are out. */
  open: number;
  /** Leases that may still join the group. */
  free: number;
}

/** Leases per group: one that is held for long delays the others of its group. */
const GROUP_SIZE = 64;

/**
 * Leases of one connection that are watched together, since registering each
 * for garbage collection would cost more than the rest of `acquire()`. Only
 * leases that are not released hold their group: when it is collected, every
 * lease that it still counts was forgotten.
 */
export class LeaseGroup {
  readonly state: GroupState;

  constructor(owner: LeaseOwner) {
    this.state = { owner, open: 0, free: GROUP_SIZE };
  }

  /** Notes that a lease of the group was released. */
  released(): void {
    this.state.open--;
  }
}

/** Watches the leases of one pool. */
export class LeaseTracker {
  readonly #telemetry: Telemetry;
  readonly #detectionMs: number;
  readonly #collected: FinalizationRegistry<GroupState>;
  readonly #watches = new Set<() => void>();

  constructor(telemetry: Telemetry, detectionMs: number) {
    this.#telemetry = telemetry;
    this.#detectionMs = detectionMs;
    this.#collected = new FinalizationRegistry((state) =>
      reclaim(state, telemetry)
    );
  }

  /**
   * Returns the group that one more lease of this connection joins. The
   * connection holds it, until that is dropped: looked up through a WeakMap and
   * a WeakRef, it took most of the time of an `acquire()` going round many hosts.
   */
  join(owner: LeaseOwner): LeaseGroup {
    let group = owner.leaseGroup;
    if (group === undefined || group.state.free === 0) {
      owner.leaseGroup = group = new LeaseGroup(owner);
      this.#collected.register(group, group.state);
    }
    group.state.free--;
    group.state.open++;
    return group;
  }

  /**
   * Arms the timer that reports the lease that is being made, if that is
   * wanted.
   *
   * @returns Disarms it.
   */
  watch(owner: LeaseOwner): (() => void) | undefined {
    if (this.#detectionMs === 0) return undefined;
    // Not before: the name is made anew each time.
    const { name: host } = owner;
    const heldMs = this.#detectionMs;
    const stack = new Error("Lease acquired here").stack ?? "";
    const disarm = () => {
      clearTimeout(timer);
      this.#watches.delete(disarm);
    };
    const timer = unref(setTimeout(() => {
      this.#watches.delete(disarm);
      this.#telemetry.record({ type: "leak", host, heldMs, stack });
    }, heldMs));
    this.#watches.add(disarm);
    return disarm;
  }

  /** Disarms every timer: the pool has ended. */
  stop(): void {
    for (const disarm of this.#watches) disarm();
  }
}

function reclaim(state: GroupState, telemetry: Telemetry): void {
  const { owner, open } = state;
  if (open === 0) return;
  state.open = 0;
  telemetry.record({ type: "reclaimed", host: owner.name, slots: open });
  for (let i = 0; i < open; i++) owner.giveLease();
}
