/**
 * How many dials the waiters of a host justify, and how many streams it may
 * carry.
 *
 * @module
 */

import type { ConnectionSet } from "./connection_set.ts";
import type { PoolContext } from "./context.ts";
import type { LearnedLimits } from "./learned_limits.ts";
import type { ScaleOut } from "./scale_out.ts";
import type { WaitQueue } from "./wait_queue.ts";

/** What a lane has, and what is known of its host. */
export interface DemandParts {
  readonly context: PoolContext;
  /** Connections that the host may have. */
  readonly maxConnections: number;
  readonly queue: WaitQueue;
  readonly connections: ConnectionSet;
  readonly learned: LearnedLimits;
  readonly scaleOut: ScaleOut;
}

/** Weighs who waits against what there is. */
export class Demand {
  readonly #parts: DemandParts;

  constructor(parts: DemandParts) {
    this.#parts = parts;
  }

  /**
   * Returns how many more dials the waiters justify.
   *
   * @param dialing Dials under way.
   */
  dials(dialing: number): number {
    const { context, maxConnections, queue, connections, learned, scaleOut } =
      this.#parts;
    const { limits, isClosing } = context;
    if (isClosing || queue.size === 0) return 0;
    const open = connections.open.length;
    const room = maxConnections - connections.counted - dialing;
    const most = Math.min(room, limits.maxConcurrentDialsPerHost - dialing);
    const due = scaleOut.isQuiet ? 0 : Math.min(this.#due - dialing, most);
    if (open + dialing === 0) {
      // The connection that a hop's tunnel is on may wait for this very dial.
      return room > 0 || queue.hasPin ? Math.max(1, due) : 0;
    }
    if (open === 0 || queue.slotsWanted === 0) return due;
    // However long they take: no more than give a slot to everybody. Where some
    // are refused for the moment, those that there are will soon have room.
    const demand = connections.load + queue.slotsWanted;
    const needed = Math.ceil(demand / learned.sessionsOfNew);
    return Math.max(
      due,
      Math.min(scaleOut.wanted - dialing, needed - open - dialing, most),
    );
  }

  /**
   * How many connections the waiters will need in any case: one may carry only
   * so many sessions in its life.
   */
  get #due(): number {
    const { queue, connections, learned } = this.#parts;
    const { sessionsInLife } = learned;
    if (sessionsInLife === Infinity) return 0;
    const waiting = queue.slotsWanted - connections.sessionsLeft;
    return Math.ceil(waiting / sessionsInLife);
  }

  /** Whether one more slot may be taken that may be held for long. */
  get mayStream(): boolean {
    const { connections, learned, maxConnections } = this.#parts;
    return connections.streams < learned.streamsOf(maxConnections);
  }
}
