/**
 * Which shards a worker serves, and who decides that.
 *
 * @module
 */

import { wholeNumber } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";

/** Which shards a worker serves: one of so many equal parts. */
export interface StaticShards {
  /** Which part, from 0: the ordinal of a StatefulSet, say. */
  readonly index: number;
  /** How many parts there are. */
  readonly of: number;
}

/** Decides which shards a worker serves, and changes its mind: `Leases` does. */
export interface ShardSource {
  /** Begins to give shards to a worker, and to take them back. */
  start(worker: ShardOwner): Promise<void>;
  /** Takes all of them back. */
  stop(): Promise<void>;
}

/** A worker, as far as its shards go. */
export interface ShardOwner {
  /** Its name on the bus. */
  readonly id: string;
  /** How many shards there are. */
  readonly shardCount: number;
  /** The shards that it serves. */
  readonly shards: readonly number[];
  /** Serves a shard from now on. */
  take(shard: number): void;
  /** Serves it no more: clients move on with their next command. */
  give(shard: number): void;
}

const SHARDS = new OptionTable<StaticShards>("serve", {
  index: wholeNumber(0),
  of: wholeNumber(1),
});

/**
 * Checks which part of the shards is meant.
 *
 * @throws {TypeError | RangeError} If there is no such part.
 */
export function checkShards(shards: StaticShards): StaticShards {
  const { index, of } = SHARDS.check(shards);
  if (index === undefined || of === undefined || index >= of) {
    throw new RangeError(
      `Cannot serve: index is ${index}, must be below of, which is ${of}`,
    );
  }
  return { index, of };
}
