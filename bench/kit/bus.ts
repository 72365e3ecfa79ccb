/**
 * One nats-server for all benches of a file, where it is installed, with a
 * worker in this process.
 *
 * @module
 */

import { NatsServer, noNats, SHARDS } from "../../tests/kit/nats.ts";
import { fleetPool, FleetWorker } from "../../pool/nats.ts";
import type { FleetPoolOptions, FleetWorkerOptions } from "../../pool/nats.ts";

export { noNats };

/** Says why there are no figures, in the name of a bench that is ignored. */
export const natsHint = noNats
  ? " (ignored: install nats-server to run this bench)"
  : "";

/** A bus with one worker, and clients. */
export async function openBus(
  worker: Pick<FleetWorkerOptions, "pool" | "host">,
) {
  const server = await NatsServer.start();
  const served = new FleetWorker(await server.connect(), {
    ...worker,
    shards: SHARDS,
    // A bench may keep the loop busy.
    freshMs: 120_000,
    pingMs: 10_000,
  });
  await served.serve({ index: 0, of: 1 });
  const clients: AsyncDisposable[] = [];
  return {
    worker: served,
    /** Opens one more client. */
    async client(options: FleetPoolOptions = {}) {
      const bus = await server.connect();
      const pool = fleetPool(bus, { pingMs: 10_000, ...options });
      clients.push(pool);
      return pool;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client[Symbol.asyncDispose]();
      await served.close({ drainTimeoutMs: 0 });
      await server[Symbol.asyncDispose]();
    },
  };
}
