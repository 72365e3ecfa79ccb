/**
 * Pools over a connector that has no network: what is left is the pool itself;
 * and what it takes of memory.
 *
 * @module
 */

import { ConnectionPool, type ConnectionPoolOptions } from "../../pool/mod.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";

/** A pool, and the connector under it, which counts its dials. */
export interface PoolOverMemory extends AsyncDisposable {
  readonly pool: ConnectionPool;
  readonly connector: MemoryConnector;
}

/** Options of {@linkcode memoryPool}. */
export interface MemoryPoolOptions
  extends Omit<ConnectionPoolOptions, "connector"> {
  /** How long each dial takes; 0 for no time at all, and no timer. */
  readonly dialMs?: number;
}

/** Makes a pool over a connector of its own. */
export function memoryPool(
  { dialMs = 0, ...options }: MemoryPoolOptions = {},
): PoolOverMemory {
  const connector = new MemoryConnector({ dialMs });
  const pool = new ConnectionPool({ ...options, connector });
  return {
    pool,
    connector,
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

/** What this process takes, in bytes. */
export interface Memory {
  /** What the system counts, garbage and what V8 keeps for later included. */
  readonly rss: number;
  /** Objects of V8's heap. */
  readonly heapUsed: number;
  /** Objects and buffers in use; `NaN` where garbage cannot be told from them. */
  readonly inUse: number;
}

/** Measures memory, after a collection where `--expose-gc` allows for one. */
export function memory(): Memory {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  const inUse = gc === undefined ? NaN : heapUsed + external;
  return { rss, heapUsed, inUse };
}
