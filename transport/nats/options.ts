/**
 * The options of clients and workers.
 *
 * @module
 */

import type { Connection } from "../connector.ts";
import type { HostLike } from "../host/host.ts";
import {
  accepting,
  callback,
  count,
  duration,
  flag,
  objectWith,
  secret,
  wholeNumber,
} from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";
import { isToken } from "./_frames.ts";

/** Options for {@linkcode NatsConnector}. */
export interface NatsConnectorOptions {
  /**
   * The first part of every subject.
   *
   * @default {"ssh"}
   */
  readonly prefix?: string;
  /**
   * Whose hosts: the unit of permission on the bus.
   *
   * @default {"default"}
   */
  readonly group?: string;
  /**
   * Names this program on the bus, which has to let it subscribe to
   * `<prefix>.c.<clientId>.>`. Default: a random name.
   */
  readonly clientId?: string;
  /**
   * Time between two pings of a worker that runs something for this client, in
   * milliseconds. One that does not answer four of them is given up.
   *
   * @default {1_000}
   */
  readonly pingMs?: number;
  /**
   * Whether a password for `sudo` may go over the bus, to the worker. Without
   * it the worker gives the password (`sudoPassword` of {@linkcode FleetWorker}).
   *
   * @default {false}
   */
  readonly sendSudoPasswords?: boolean;
  /**
   * Gives what a tracer wants to send along with a command, such as a
   * `traceparent`; at most 8 short texts. See `runInTrace` of
   * {@linkcode FleetWorker}.
   */
  readonly trace?: () => Readonly<Record<string, string>> | undefined;
}

/** What gives the connections of a worker: a `ConnectionPool` does. */
export interface RouteSource {
  /**
   * Gives a connection to a host; each client that names the host gets one, and
   * closes it.
   */
  route(
    host: HostLike,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Connection>;
}

/** Who asks a worker for a host. */
export interface FleetRequest {
  /** The name of the host, as the client wrote it. */
  readonly name: string;
  /** The group of the client, which the bus has checked. */
  readonly group: string;
}

/** Options for {@linkcode FleetWorker}. */
export interface FleetWorkerOptions {
  /** What dials: a `ConnectionPool`, with all that it can. It stays yours. */
  readonly pool: RouteSource;
  /**
   * Gives the host for a name of a group: with its address and credentials, or
   * a name that the pool looks up. `undefined` refuses it.
   */
  readonly host: (
    request: FleetRequest,
  ) => HostLike | undefined | Promise<HostLike | undefined>;
  /**
   * The first part of every subject.
   *
   * @default {"ssh"}
   */
  readonly prefix?: string;
  /** Names this worker on the bus. Default: a random name. */
  readonly id?: string;
  /**
   * How many shards there are: what the server's `partition()` says.
   *
   * @default {1_024}
   */
  readonly shards?: number;
  /**
   * Time between two pings of a client that runs something here, in
   * milliseconds. One that does not answer four of them is gone, and what it
   * runs is stopped.
   *
   * @default {1_000}
   */
  readonly pingMs?: number;
  /**
   * Nothing is begun that may have waited for longer on its way here, in
   * milliseconds: this process may have been asleep.
   *
   * @default {3_000}
   */
  readonly freshMs?: number;
  /**
   * Commands, shells, subsystems and tunnels that one client may have open here.
   * The pool of a client that has more waits.
   *
   * @default {2_000}
   */
  readonly maxSessionsPerClient?: number;
  /**
   * Hosts that one client may be connected to here.
   *
   * @default {10_000}
   */
  readonly maxConnectionsPerClient?: number;
  /**
   * What one client may begin in a second, in the long run; four times as much
   * at once.
   *
   * @default {5_000}
   */
  readonly maxRequestsPerSecond?: number;
  /** Gives the password of `sudo` for a host, if the client has sent none. */
  readonly sudoPassword?: (
    request: FleetRequest & {
      /** The user to become. */
      readonly user: string;
    },
  ) => string | undefined | Promise<string | undefined>;
  /** Runs a command within the trace that the client has sent along. */
  readonly runInTrace?: <T>(
    trace: Readonly<Record<string, string>>,
    run: () => T,
  ) => T;
  /**
   * Told of failures whose text stays here: clients see less. And, with a request
   * without a name, that the bus lets the worker not listen or not send: once for
   * either. Must not throw.
   */
  readonly onError?: (error: unknown, request: FleetRequest) => void;
}

const token = accepting(
  "letters, digits, - and _, at most 255",
  (value) => isToken(value) && !value.includes("%"),
);
const pause = duration({ zero: false });

/** Of {@linkcode NatsConnector}. */
export const NATS_CONNECTOR_OPTIONS = new OptionTable<NatsConnectorOptions>(
  "make the connector",
  {
    prefix: token,
    group: token,
    clientId: token,
    pingMs: pause,
    sendSudoPasswords: flag,
    trace: callback,
  },
);

/** Of {@linkcode FleetWorker}. */
export const FLEET_WORKER_OPTIONS = new OptionTable<FleetWorkerOptions>(
  "make the worker",
  {
    pool: objectWith("route"),
    host: callback,
    prefix: token,
    id: token,
    shards: wholeNumber(1, 65_536),
    pingMs: pause,
    freshMs: pause,
    maxSessionsPerClient: count,
    maxConnectionsPerClient: count,
    maxRequestsPerSecond: count,
    sudoPassword: secret(callback),
    runInTrace: callback,
    onError: callback,
  },
);
