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
import type { Bus } from "../../../transport/nats/mod.ts";
import {
  ConnectionPool,
  type ConnectionPoolOptions,
} from "../../../pool/mod.ts";
import {
  MemoryConnector,
  type MemoryConnectorOptions,
} from "../../../transport/testing/mod.ts";
import {
  type NatsConnection,
  natsHint,
  NatsServer,
  type NatsServerOptions,
  noNats,
  SHARDS,
} from "../../kit/nats.ts";

/** The machine may be busy: nobody is to be given up for that. */
export const PING_MS = 1_000;
const FRESH_MS = 60_000;

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

/** Options of {@linkcode startFleet}. */
export interface FleetOptions {
  readonly host?: FleetWorkerOptions["host"];
  readonly worker?: Partial<FleetWorkerOptions>;
  readonly client?: NatsConnectorOptions;
  readonly server?: NatsServerOptions;
}

const EXIT = 6;
const QUEUED = 18;
const OUT = 4;

/** The bus of a worker, on which a test can do what a bus never does. */
class TappedBus implements Bus {
  /** Commands that were told to wait. */
  queued = 0;
  /** Frames with the end of a command that are swallowed. */
  swallowed = 0;
  /** Pings that were received. */
  pings = 0;
  /** Bytes of output that were sent. */
  data = 0;
  corrupted: (() => Uint8Array) | undefined;
  isProven = true;
  last: Parameters<Bus["publish"]> | undefined;
  readonly #bus: NatsConnection;

  constructor(bus: NatsConnection) {
    this.#bus = bus;
  }

  get info() {
    return this.#bus.info!;
  }

  publish(...[subject, payload, options]: Parameters<Bus["publish"]>): void {
    const type = payload?.[0];
    if (type === EXIT && this.swallowed > 0) {
      this.swallowed--;
      return;
    }
    if (type === OUT) {
      this.data += payload!.length - 5;
      this.last = [subject, payload, options];
    }
    const isOfSession = type === OUT || type === EXIT;
    const sent = isOfSession && this.corrupted ? this.corrupted() : payload;
    this.#bus.publish(subject, sent, options);
    if (type === QUEUED) void this.#bus.flush().then(() => this.queued++);
  }

  /** Sends the last data again, with the number that comes next. */
  resend(): void {
    const [subject, payload, options] = this.last!;
    const again = payload!.slice();
    const view = new DataView(again.buffer);
    for (let i = 1; i < 40; i++) {
      view.setUint32(1, view.getUint32(1) + 1);
      this.#bus.publish(subject, again.slice(), options);
    }
  }

  subscribe(...[subject, options]: Parameters<Bus["subscribe"]>) {
    return this.#bus.subscribe(subject, {
      ...options,
      callback: (error, message) => {
        if (message?.subject.endsWith(".ping")) this.pings++;
        options.callback(error, message);
      },
    });
  }

  request(...args: Parameters<Bus["request"]>) {
    return this.#bus.request(...args);
  }

  flush(): Promise<void> {
    return this.isProven ? this.#bus.flush() : new Promise(() => {});
  }

  isClosed(): boolean {
    return this.#bus.isClosed();
  }

  status() {
    return this.#bus.status();
  }
}

/** A bus with one worker over a pool, and a connector to it. */
export async function startFleet(
  pool: RouteSource,
  options: FleetOptions = {},
) {
  const ends = new Ends();
  const server = ends.add(
    await NatsServer.start(options.server),
    (it) => it[Symbol.asyncDispose](),
  );
  const workerBus = await server.connect();
  const clientBus = await server.connect();
  const bus = new TappedBus(workerBus);
  const worker = new FleetWorker(bus, {
    pool,
    host: options.host ?? (({ name }) => name),
    shards: SHARDS,
    pingMs: PING_MS,
    freshMs: FRESH_MS,
    ...options.worker,
  });
  ends.add(worker, (it) => {
    bus.isProven = true;
    return it.close({ drainTimeoutMs: 0 });
  });
  await worker.serve({ index: 0, of: 1 });
  const connector = new NatsConnector(clientBus, {
    pingMs: PING_MS,
    ...options.client,
  });
  ends.add(connector, (it) => it.close());
  return {
    server,
    bus,
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

/** Registers a test that needs a real server. */
export function testNats(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: noNats ? `${name} (${natsHint})` : name,
    ignore: noNats,
    fn,
  });
}

/** Runs until it throws, and checks with what. */
export async function quietly(
  run: () => Promise<unknown>,
  check: (error: unknown) => void,
): Promise<void> {
  let error: unknown;
  try {
    await run();
  } catch (thrown) {
    error = thrown;
  }
  check(error);
}

/** A pool of a worker over memory, and a fleet around it. */
export async function site(
  script: MemoryConnectorOptions = {},
  options: FleetOptions & {
    readonly pool?: Partial<ConnectionPoolOptions>;
  } = {},
) {
  const ends = new Ends();
  const memory = new MemoryConnector(script);
  const pool = ends.add(
    new ConnectionPool({ ...options.pool, connector: memory }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  const { pool: _, ...rest } = options;
  const fleet = ends.add(
    await startFleet(pool, rest),
    (it) => it[Symbol.asyncDispose](),
  );
  return {
    ...fleet,
    memory,
    pool,
    ends,
    /** Adds a worker over the same pool, for all shards. */
    async addWorker(): Promise<FleetWorker> {
      const worker = new FleetWorker(await fleet.server.connect(), {
        pool,
        host: ({ name }) => name,
        shards: SHARDS,
        pingMs: PING_MS,
        freshMs: FRESH_MS,
      });
      ends.add(worker, (it) => it.close({ drainTimeoutMs: 0 }));
      await worker.serve({ index: 0, of: 1 });
      return worker;
    },
    [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose](),
  };
}
