/**
 * Beyond one process: clients without keys, and workers that dial, over a
 * message bus ([NATS](https://nats.io)). A hundred programs share one dial for
 * each host, its limits hold for all of them together, and credentials are on
 * the workers alone.
 *
 * A client has a `ConnectionPool`, from {@linkcode fleetPool}: its calls, its
 * errors and its rule for retries are those of any pool. The bus leads each host
 * to the one {@linkcode FleetWorker} in charge, and that calls a pool of its
 * own. The package of the bus is yours: `npm install @nats-io/transport-node`.
 *
 * The server of the bus needs one line that maps hosts to shards; how to deploy
 * it, with permissions for each group, is on the page `transport/nats/README.md`.
 *
 * **What is true.** A command is sent once, and by no layer below the pool
 * again. `mayHaveRun` is false only where the worker, or the bus, says so: what
 * waits for its turn at a worker has not run, also if that worker dies. A gap in
 * the output is an error, and never silent. A client that vanishes is an abort.
 *
 * **What is different from a pool of one process:**
 *
 * - `acquireTimeoutMs` counts up to when there is a worker; then a command waits
 *   in the queue of the worker's pool, and its `acquireTimeoutMs` counts;
 * - `timeoutMs` counts that wait too;
 * - `backoff` begins with 50 ms and ends with 250 ms: to ask again costs little;
 * - hosts are names: an object may have `hostname`, `port`, `user` and `alias`;
 * - the password of `sudo` is given by the worker (`sudoPassword`), or sent with
 *   `sendSudoPasswords`;
 * - `forward()` listens on the client, and dials from the host;
 * - bulk output takes three times the CPU.
 *
 * @example A client: no keys, no ssh_config
 * ```ts ignore
 * import { connect } from "@nats-io/transport-node";
 * import { fleetPool } from "@sshpool/sshpool/nats";
 *
 * const bus = await connect({ servers: "tls://bus:4222", user: "a1", pass });
 * await using pool = fleetPool(bus, { group: "teama", clientId: "a1" });
 * const { stdout } = await pool.exec("web-1", ["uptime"]);
 * console.log(stdout);
 * ```
 *
 * @module
 */

import { NameResolver } from "../transport/host/names.ts";
import { NatsConnector } from "../transport/nats/connector.ts";
import type { Bus } from "../transport/nats/bus.ts";
import {
  NATS_CONNECTOR_OPTIONS,
  type NatsConnectorOptions,
} from "../transport/nats/options.ts";
import { OptionTable } from "../transport/options/table.ts";
import { anything } from "../transport/options/rules.ts";
import type { CloseOptions, ConnectionPoolOptions } from "./options.ts";
import { ConnectionPool } from "./pool.ts";

export * from "../transport/nats/mod.ts";

/** The options of a pool that are not decided by its being a client. */
const OF_POOL = [
  "acquireTimeoutMs",
  "backoff",
  "dialTimeoutMs",
  "drainTimeoutMs",
  "idleTimeoutMs",
  "leakDetectionMs",
  "maxConcurrentDials",
  "maxConnections",
  "maxLifetimeMs",
  "name",
  "observer",
] as const satisfies readonly (keyof FleetPoolOptions)[];

/**
 * Options for {@linkcode fleetPool}: those of a {@linkcode NatsConnector}, and
 * those of a pool that concern the client. How many connections a host has, and
 * how many sessions, is decided by the worker.
 */
export interface FleetPoolOptions extends
  NatsConnectorOptions,
  Pick<
    ConnectionPoolOptions,
    | "acquireTimeoutMs"
    | "backoff"
    | "dialTimeoutMs"
    | "drainTimeoutMs"
    | "idleTimeoutMs"
    | "leakDetectionMs"
    | "maxConcurrentDials"
    | "maxConnections"
    | "maxLifetimeMs"
    | "name"
    | "observer"
  > {}

const OPTIONS = new OptionTable<FleetPoolOptions>("make the pool", {
  ...Object.fromEntries(OF_POOL.map((name) => [name, anything])),
  ...Object.fromEntries(
    NATS_CONNECTOR_OPTIONS.names.map((name) => [name, anything]),
  ),
} as never, {
  elsewhere: (name) =>
    ELSEWHERE.has(name) ? "the worker decides that" : undefined,
});

/** Options of a pool that a client does not have. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  "config",
  "connector",
  "defaults",
  "keepaliveCountMax",
  "keepaliveIntervalMs",
  "maxConcurrentDialsPerHost",
  "maxConnectionsPerHost",
  "maxLifetimeSessions",
  "maxSessionsPerConnection",
  "resolver",
]);

/** Asking who has a host costs next to nothing, and the next owner is soon there. */
const BACKOFF = { initialMs: 50, maxMs: 250 };

/** More than any program has: the worker has the limits. */
const MANY = 1_000_000;

/** A pool that ends what it has on the bus. */
class FleetPool extends ConnectionPool {
  readonly #connector: NatsConnector;

  constructor(connector: NatsConnector, options: ConnectionPoolOptions) {
    super({
      ...options,
      connector,
      resolver: new NameResolver(),
      maxConnectionsPerHost: 1,
      maxSessionsPerConnection: MANY,
    });
    this.#connector = connector;
  }

  override async close(options?: CloseOptions): Promise<void> {
    await super.close(options);
    this.#connector.close();
  }
}

/**
 * Makes the pool of a client: its hosts are dialled by workers.
 *
 * @param bus The connection to the bus. It stays yours, also after `close()`.
 * @param options Whose hosts, the name of this program, and options of the pool.
 * @returns A pool. Close it before the bus.
 * @throws {TypeError | RangeError} If an option is unknown or wrong.
 *
 * @example Usage
 * ```ts ignore
 * await using pool = fleetPool(bus, { group: "teama", clientId: "a1" });
 * await pool.exec("web-1", ["uptime"]);
 * ```
 */
export function fleetPool(
  bus: Bus,
  options: FleetPoolOptions = {},
): ConnectionPool {
  const given = OPTIONS.check(options);
  const part = (names: readonly string[]) =>
    Object.fromEntries(
      Object.entries(given).filter(([name]) => names.includes(name)),
    );
  const connector = new NatsConnector(bus, part(NATS_CONNECTOR_OPTIONS.names));
  try {
    return new FleetPool(connector, {
      ...part(OF_POOL),
      backoff: { ...BACKOFF, ...given.backoff },
    });
  } catch (error) {
    connector.close();
    throw error;
  }
}
