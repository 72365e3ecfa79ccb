/**
 * Pools over a connector that has no network: what is left is the pool itself;
 * and what it takes of memory.
 *
 * @module
 */

import { ConnectionPool, type ConnectionPoolOptions } from "../pool/mod.ts";
import { MemoryConnector } from "../transport/testing/mod.ts";

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

/** The memory that is in use, without what is garbage already if that can be told. */
export function memory(): { rss: number; heapUsed: number } {
  (globalThis as { gc?: () => void }).gc?.();
  return Deno.memoryUsage();
}
