/** A bus, a worker and a client, for the tests of fleets. */

import { FleetWorker, NatsConnector } from "../../../transport/nats/mod.ts";
import type {
  FleetWorkerOptions,
  NatsConnectorOptions,
  RouteSource,
} from "../../../transport/nats/mod.ts";
import type { Connector } from "../../../transport/connector.ts";
import type { ResolvedHost } from "../../../transport/host/host.ts";
import type { ContractRig } from "../../../transport/testing/mod.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";

/** Pings are quick in tests, and patient: the machine may be busy. */
export const PING_MS = 250;

/** Ends all of them, the last one first. */
export class Ends implements AsyncDisposable {
  readonly #ends: (() => unknown)[] = [];

  add<T>(it: T, end: (it: T) => unknown): T {
    this.#ends.push(() => end(it));
    return it;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
  }
}

/** A bus with one worker over a pool, and a connector to it. */
export async function startFleet(
  pool: RouteSource,
  options: {
    readonly host?: FleetWorkerOptions["host"];
    readonly worker?: Partial<FleetWorkerOptions>;
    readonly client?: NatsConnectorOptions;
  } = {},
) {
  const ends = new Ends();
  const server = ends.add(
    await NatsServer.start(),
    (it) => it[Symbol.asyncDispose](),
  );
  const workerBus = await server.connect();
  const clientBus = await server.connect();
  const worker = new FleetWorker(workerBus, {
    pool,
    host: options.host ?? (({ name }) => name),
    shards: SHARDS,
    pingMs: PING_MS,
    ...options.worker,
  });
  ends.add(worker, (it) => it.close({ drainTimeoutMs: 0 }));
  await worker.serve({ index: 0, of: 1 });
  const connector = new NatsConnector(clientBus, {
    pingMs: PING_MS,
    ...options.client,
  });
  ends.add(connector, (it) => it.close());
  return {
    server,
    workerBus,
    clientBus,
    worker,
    connector,
    [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose](),
  };
}

/** A rig whose connector is reached over the bus, each connection through its own. */
export async function overNats(rig: ContractRig): Promise<ContractRig> {
  const hosts = new Map<string, ResolvedHost>();
  const fleet = await startFleet({
    route: (host, options) =>
      rig.connector.connect(host as ResolvedHost, options),
  }, {
    host: ({ name }) => hosts.get(name),
    client: { sendSudoPasswords: true },
  });
  const connector: Connector = {
    connect(host, options) {
      const { hostname, port, user } = host;
      const alias = `${user}@${hostname}:${port}`;
      hosts.set(alias, host);
      return fleet.connector.connect({ hostname, port, user, alias }, options);
    },
  };
  return {
    ...rig,
    connector,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await rig[Symbol.asyncDispose]();
    },
  };
}
