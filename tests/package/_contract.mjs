/**
 * The treaty over the adapters to the server in the process, registered with the
 * test runner of the runtime: over ssh2, over `ssh` if `HAS_SSH` is set, and over
 * the bus of `NATS_SERVER`, if it is set, to a worker with ssh2. Written for
 * Node 20: no `await using`.
 */

import { mkdtemp, rm } from "node:fs/promises";
import process from "node:process";
import { Ssh2Connector } from "@sshpool/sshpool";
import { FleetWorker, NatsConnector } from "@sshpool/sshpool/nats";
import { OpenSshConnector } from "@sshpool/sshpool/openssh";
import {
  connectorContract,
  contractCommands,
  EmbeddedServer,
} from "@sshpool/sshpool/testing";

const { test } = await import("Bun" in globalThis ? "bun:test" : "node:test");
const NATS = process.env.NATS_SERVER;
/** How many shards the server of the bus maps to. */
const SHARDS = Number(process.env.NATS_SHARDS);
/** Hops are the worker's to dial. */
const NOT_OVER_THE_BUS = "dials through a tunnel, and ends with it";

async function start(connector) {
  const server = await EmbeddedServer.start({
    maxSessions: 2,
    commands: contractCommands,
    acceptEnv: ["LANG", "LC_*"],
  });
  const host = server.host();
  const silent = await EmbeddedServer.start({ neverBanner: true });
  const { hostname, port } = silent.host();
  const sockets = await mkdtemp("/tmp/sshpool-contract-");
  return {
    connector,
    host,
    folder: "/home/ops",
    sockets,
    silent: () => ({ ...host, hostname, port }),
    lose: () => server.dropAll(),
    async [Symbol.asyncDispose]() {
      await silent.close();
      await server.close();
      await rm(sockets, { recursive: true });
    },
  };
}

/** A worker and a client on the bus, around a connector. */
async function overNats(rig) {
  const { connect } = await import("@nats-io/transport-node");
  const buses = [
    await connect({ servers: NATS }),
    await connect({ servers: NATS }),
  ];
  const hosts = new Map();
  const worker = new FleetWorker(buses[0], {
    pool: { route: (host, options) => rig.connector.connect(host, options) },
    host: ({ name }) => hosts.get(name),
    shards: SHARDS,
    freshMs: 60_000,
  });
  await worker.serve({ index: 0, of: 1 });
  const fleet = new NatsConnector(buses[1], { sendSudoPasswords: true });
  return {
    ...rig,
    connector: {
      connect(host, options) {
        const { hostname, port, user } = host;
        const alias = `${user}@${hostname}:${port}`;
        hosts.set(alias, host);
        return fleet.connect({ hostname, port, user, alias }, options);
      },
    },
    async [Symbol.asyncDispose]() {
      fleet.close();
      await worker.close({ drainTimeoutMs: 0 });
      for (const bus of buses) await bus.close();
      await rig[Symbol.asyncDispose]();
    },
  };
}

connectorContract({
  name: "ssh2",
  start: () => start(new Ssh2Connector()),
}, { test });

if (process.env.HAS_SSH !== undefined) {
  connectorContract({
    name: "openssh",
    start: () => start(new OpenSshConnector({ configFile: false })),
  }, { test });
}

if (NATS !== undefined) {
  connectorContract({
    name: "nats",
    start: async () => await overNats(await start(new Ssh2Connector())),
  }, {
    test(name, fn) {
      if (!name.endsWith(NOT_OVER_THE_BUS)) test(name, fn);
    },
  });
}
