/**
 * Gives the slots of forgotten leases back, and reports leases held for long.
 *
 * @module
 */

import type { PooledConnection } from "./pooled_connection.ts";
import type { Telemetry } from "../telemetry/counters.ts";
import { unref } from "../limits/timers.ts";

/** What outlives a group: whose slots it stands for, and how many are out. */
interface GroupState {
  readonly pooled: PooledConnection;
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

  constructor(pooled: PooledConnection) {
    this.state = { pooled, open: 0, free: GROUP_SIZE };
  }

  /** A lease of the group was released. */
  released(): void {
    this.state.open--;
  }
}

/** Watches the leases of one pool. */
export class LeaseTracker {
  readonly #telemetry: Telemetry;
  readonly #detectionMs: number;
  readonly #collected: FinalizationRegistry<GroupState>;
  /** The group used last: looking through a WeakRef costs more than a compare. */
  #current: LeaseGroup | undefined;
  /** Weak both ways: a connection must not keep its group alive. */
  readonly #groups = new WeakMap<PooledConnection, WeakRef<LeaseGroup>>();
  readonly #watches = new Set<() => void>();

  constructor(telemetry: Telemetry, detectionMs: number) {
    this.#telemetry = telemetry;
    this.#detectionMs = detectionMs;
    this.#collected = new FinalizationRegistry((state) =>
      reclaim(state, telemetry)
    );
  }

  /** The group that one more lease of this connection joins. */
  join(pooled: PooledConnection): LeaseGroup {
    const current = this.#current;
    const group = current?.state.pooled === pooled && current.state.free > 0
      ? current
      : this.#groupOf(pooled);
    group.state.free--;
    group.state.open++;
    return group;
  }

  /**
   * Lets go of the group used last, so that nothing but leases holds it. Called
   * when a caller has to wait, from time to time, and when statistics are read.
   */
  letGo(): void {
    this.#current = undefined;
  }

  #groupOf(pooled: PooledConnection): LeaseGroup {
    const group = this.#groups.get(pooled)?.deref();
    if (group !== undefined && group.state.free > 0) {
      return this.#current = group;
    }
    return this.#current = this.#newGroup(pooled);
  }

  #newGroup(pooled: PooledConnection): LeaseGroup {
    const group = new LeaseGroup(pooled);
    this.#groups.set(pooled, new WeakRef(group));
    this.#collected.register(group, group.state);
    return group;
  }

  /**
   * Arms the timer that reports the lease that is being made, if that is
   * wanted.
   *
   * @returns Disarms it.
   */
  watch(pooled: PooledConnection): (() => void) | undefined {
    if (this.#detectionMs === 0) return undefined;
    const heldMs = this.#detectionMs;
    const { name: host } = pooled;
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
  const { pooled, open } = state;
  if (open === 0) return;
  state.open = 0;
  telemetry.record({ type: "reclaimed", host: pooled.name, slots: open });
  for (let i = 0; i < open; i++) pooled.giveLease();
}
