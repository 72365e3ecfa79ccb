// A host of a pool as a connection: the treaty of connections, as far as it is
// not about the end of one connection, and what is different.

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { getEventListeners } from "node:events";
import {
  ConnectionPool,
  type ConnectionPoolOptions,
} from "../../../pool/mod.ts";
import { CallTarget } from "../../../pool/calls/call.ts";
import { route } from "../../../pool/calls/route.ts";
import { PoolCore } from "../../../pool/core/pool_core.ts";
import { ConnectionLostError, DialError } from "../../../transport/errors.ts";
import { markCollected } from "../../../transport/command/call_options.ts";
import type { Connector } from "../../../transport/connector.ts";
import {
  connectorContract,
  type ContractRig,
  MemoryConnector,
} from "../../../transport/testing/mod.ts";
import { errorOf, flush } from "../_kit.ts";
import {
  embeddedSite,
  memoryRig,
  ssh2Connector,
} from "../../transport/contract/_contract.ts";

const HOST = "ops@web-1";

/** A route outlives its connections, and queues what is beyond their sessions. */
const DIFFERENT = [
  "rejects with reason 2 beyond the server's sessions",
  "counts an SFTP session as a channel, until it is closed",
  "fails what is in flight when the connection is lost",
  "fails an SFTP session when the connection is lost",
  "ends a subsystem with the connection",
  "ends a listener and its tunnels with the connection",
  // Its tunnels are those of the pool.
  "dials through a tunnel, and ends with it",
  "refuses to listen twice on one port",
];

/** Routes of a pool over a connector. */
function routed(
  connector: Connector,
  options: ConnectionPoolOptions = {},
): Connector & AsyncDisposable {
  const pool = new ConnectionPool({ ...options, connector });
  return {
    async connect(host, { signal, timeoutMs, tunnel } = {}) {
      tunnel?.close();
      signal?.throwIfAborted();
      if (timeoutMs === undefined) return await pool.route(host);
      const impatient = new ConnectionPool({
        connector,
        dialTimeoutMs: timeoutMs,
      });
      try {
        return await impatient.route(host);
      } finally {
        await impatient.close();
      }
    },
    [Symbol.asyncDispose]: () => pool.close({ drainTimeoutMs: 0 }),
  };
}

async function routedRig(rig: ContractRig): Promise<ContractRig> {
  await Promise.resolve();
  const connector = routed(rig.connector);
  return {
    ...rig,
    connector,
    async [Symbol.asyncDispose]() {
      await connector[Symbol.asyncDispose]();
      await rig[Symbol.asyncDispose]();
    },
  };
}

const test = (name: string, body: () => Promise<void>) => {
  if (!DIFFERENT.some((end) => name.endsWith(end))) Deno.test(name, body);
};
connectorContract({
  name: "a route, memory",
  start: () => routedRig(memoryRig()),
}, { test });
connectorContract({
  name: "a route, ssh2, embedded",
  start: async () =>
    routedRig({ ...await embeddedSite(), connector: await ssh2Connector() }),
}, { test });

Deno.test("ConnectionPool.route() queues what is beyond the sessions of its connections", async () => {
  const connector = new MemoryConnector({ maxSessions: 2 });
  await using pool = new ConnectionPool({
    connector,
    maxConnectionsPerHost: 1,
  });
  const route = await pool.host(HOST).route();
  const held = [await route.spawn("cat"), await route.spawn("cat")];
  const waiting = route.exec("echo late");
  assertEquals(route.openChannels, 3);
  for (const process of held) await process.output();
  assertEquals((await waiting).stdout, "late\n");
  assertEquals([route.openChannels, connector.dials], [0, 1]);
});

Deno.test("a route outlives the connections of its host, and what ran on one is lost", async () => {
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({ connector });
  const route = await pool.route(HOST);
  const running = await route.spawn("cat");
  connector.dropAll("cable cut");
  const error = await assertRejects(() => running.status, ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  assertEquals(route.isClosed, false);
  assertEquals((await route.exec("echo on")).stdout, "on\n");
  assertEquals(connector.dials, 2);
});

Deno.test("closing a route stops what runs on it and says what may have run, and leaves the pool alone", async () => {
  const connector = new MemoryConnector({ maxSessions: 1 });
  await using pool = new ConnectionPool({
    connector,
    maxConnectionsPerHost: 1,
  });
  const route = await pool.route(HOST);
  const running = await route.spawn("cat");
  const waiting = route.exec("echo never").catch((error) => error);
  await route.close();
  const ran = await running.status.catch((error) => error);
  const waited = await waiting;
  assertInstanceOf(ran, ConnectionLostError);
  assertInstanceOf(waited, ConnectionLostError);
  assertEquals([ran.mayHaveRun, waited.mayHaveRun], [true, false]);
  assertEquals(await route.closed, { kind: "local" });
  assertEquals((await pool.exec(HOST, "echo on")).stdout, "on\n");
  assertEquals([connector.dials, pool.size], [1, 1]);
});

Deno.test("a route that is closed while channels open on it counts each of them once", async () => {
  await using pool = new ConnectionPool({ connector: new MemoryConnector() });
  const route = await pool.route(HOST);
  const opening = [route.sftp!(), route.subsystem!("sftp")].map(errorOf);
  assertEquals(route.openChannels, 2);
  await route.close();
  for (const error of await Promise.all(opening)) {
    assertInstanceOf(error, ConnectionLostError);
  }
  await flush();
  assertEquals(route.openChannels, 0);
});

Deno.test("a route ends with its pool, and its first dial fails as any", async () => {
  const connector = new MemoryConnector({
    onDial: () => new Error("no route"),
  });
  const pool = new ConnectionPool({ connector, backoff: { initialMs: 0 } });
  await assertRejects(() => pool.route(HOST), DialError, "no route");
  connector.options.onDial = () => "ok";
  const route = await pool.route(HOST);
  await pool.close();
  assertEquals((await route.closed).kind, "remote");
  await assertRejects(() => route.exec("true"), ConnectionLostError, "closed");
});

Deno.test("a process whose output is collected takes a slot of a route as a command does", async () => {
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({
    connector,
    maxConnectionsPerHost: 1,
  });
  const route = await pool.route(HOST);
  // Streams leave some of the ten slots to commands.
  const all = Array.from({ length: 10 }, () => route.spawn("cat"));
  assertEquals(pool.stats().waiting > 0, true);
  const collecting = await route.spawn("cat", markCollected({}));
  await collecting.output();
  await Promise.all(all.map(async (it) => await (await it).output()));
});

Deno.test("a route leaves nothing on the signal of a call that has ended", async () => {
  await using pool = new ConnectionPool({ connector: new MemoryConnector() });
  const route = await pool.route(HOST);
  const { signal } = new AbortController();
  await route.exec("true", { signal });
  await (await route.spawn("true", { signal })).output();
  assertEquals(getEventListeners(signal, "abort"), []);
});

Deno.test("a route that is closed is not kept by its pool", async () => {
  const core: PoolCore = new PoolCore({
    name: "pool",
    stats: () => core.stats(),
  }, {
    connector: new MemoryConnector(),
  });
  const made = await route(new CallTarget(core, HOST));
  assertEquals(getEventListeners(core.closingSignal, "abort").length, 1);
  await made.close();
  assertEquals(getEventListeners(core.closingSignal, "abort"), []);
  await core.close();
});
