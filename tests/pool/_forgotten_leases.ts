// Run with --v8-flags=--expose-gc by lease_tracker_test.ts: forgets leases, and
// prints what came of it as JSON.

import { ConnectionPool, type PoolEvent } from "../../pool/mod.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";

const { gc } = globalThis as unknown as { gc(): void };
const events: PoolEvent[] = [];
const pool = new ConnectionPool({
  connector: new MemoryConnector(),
  maxConnectionsPerHost: 1,
  maxSessionsPerConnection: 2,
  observer: (event) => events.push(event),
});

async function forget(): Promise<void> {
  await pool.acquire("ops@db1");
  await pool.acquire("ops@db1");
}

const kept = await pool.acquire("ops@db2");
await forget();
const before = pool.stats().slotsInUse;
let isServed = false;
const waiter = pool.acquire("ops@db1").then((lease) => {
  isServed = true;
  lease.release();
});
for (let i = 0; i < 200 && !isServed; i++) {
  gc();
  await new Promise((resolve) => setTimeout(resolve, 5));
}
await waiter;
const result = {
  before,
  after: pool.stats().slotsInUse,
  isKeptReleased: kept.isReleased,
  reclaimed: pool.stats().counters.reclaimed,
  told: events.filter((event) => event.type === "reclaimed"),
};
// deno-lint-ignore no-console -- its output is what it is run for
console.log(JSON.stringify(result));
kept.release();
await pool.close();
