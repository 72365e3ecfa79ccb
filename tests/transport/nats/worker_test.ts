// What a worker does where two things cross: a client leaves, a shard is given
// away, or the worker ends, while something is being opened.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { fleetPool, FleetWorker } from "../../../pool/nats.ts";
import type { PoolEvent } from "../../../pool/mod.ts";
import type {
  Connection,
  RemoteListener,
  Tunnel,
} from "../../../transport/connector.ts";
import { busFrame, Frame } from "../../../transport/nats/_frames.ts";
import { RemoteError } from "../../../transport/errors.ts";
import { until } from "../../kit/until.ts";
import { FakeTime } from "../../pool/_kit.ts";
import { startFleet, testNats } from "./_kit.ts";
import { MemoryBus } from "./_memory_bus.ts";

const HOST = { hostname: "web-1", port: 22, user: "ops", alias: "web-1" };
const TARGET = { hostname: "db", port: 5432 };
const encode = (value: unknown) =>
  new TextEncoder().encode(JSON.stringify(value));
const never = new Promise<never>(() => {});

/** A connection that does nothing but what a test gives it to do. */
function scripted(parts: Partial<Connection> = {}) {
  let closes = 0;
  const connection = {
    host: HOST,
    closed: never,
    close: () => Promise.resolve(void closes++),
    ...parts,
  };
  return {
    connection: connection as unknown as Connection,
    closes: () => closes,
  };
}

/** A gate that says when somebody waits at it. */
function gate<T>() {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<T>();
  const pass = () => {
    reached.resolve();
    return opened.promise;
  };
  return { pass, reached: reached.promise, open: opened.resolve };
}

const aborted = (promise: Promise<unknown>, stop: AbortController) => {
  stop.abort(new Error("enough"));
  return assertRejects(() => promise, Error, "enough");
};

testNats(
  "a connection that comes when its client has left is closed",
  async () => {
    const dial = gate<Connection>();
    await using fleet = await startFleet({ route: dial.pass });
    const stop = new AbortController();
    const { signal } = stop;
    const connecting = fleet.connector.connect(HOST, { signal });
    connecting.catch(() => {});
    await dial.reached;
    await aborted(connecting, stop);
    await until(() => fleet.worker.stats().connections === 0);
    const { connection, closes } = scripted();
    dial.open(connection);
    await until(() => closes() === 1);
  },
);

Deno.test("a host whose shard went after it was offered is given away once it is dialled", async () => {
  const bus = new MemoryBus();
  const { connection } = scripted();
  const worker = new FleetWorker(bus, {
    pool: { route: () => Promise.resolve(connection) },
    host: ({ name }) => name,
    shards: 1,
  });
  await worker.serve({ index: 0, of: 1 });
  const from = `ssh.c.a.${"0".repeat(32)}`;
  const sent = (to: string) => bus.sent.filter(({ subject }) => subject === to);
  bus.publish("ssh.shard.0.default.web-1", encode({ from }), {
    reply: `${from}.x`,
  });
  await until(() => sent(`${from}.x`).length === 1);
  const [answer] = sent(`${from}.x`);
  const offer = JSON.parse(new TextDecoder().decode(answer!.payload));
  worker.give(0);
  bus.publish(
    `${offer.worker}.${offer.ticket}`,
    busFrame(Frame.open, 0, encode({ kind: "connection" })),
    { reply: `${from}.${offer.ticket}` },
  );
  await until(() => sent(`${from}.${offer.ticket}`).length >= 2);
  const types = sent(`${from}.${offer.ticket}`).map((it) => it.payload[0]);
  assertEquals(types, [Frame.started, Frame.drain]);
  await worker.close({ drainTimeoutMs: 0 });
  bus.close();
});

testNats(
  "what a client no longer waits for is closed when it is there",
  async () => {
    const tunnels = gate<Tunnel>();
    const listeners = gate<RemoteListener>();
    const { connection } = scripted({
      forwardOut: tunnels.pass,
      forwardIn: listeners.pass,
    });
    const route = () => Promise.resolve(connection);
    await using fleet = await startFleet({ route });
    const client = await fleet.connector.connect(HOST);
    const closed: string[] = [];
    {
      const stop = new AbortController();
      const { signal } = stop;
      const opening = client.forwardOut!(TARGET, { signal });
      opening.catch(() => {});
      await tunnels.reached;
      await aborted(opening, stop);
    }
    {
      const stop = new AbortController();
      const { signal } = stop;
      const listening = client.forwardIn!(TARGET, () => {}, { signal });
      listening.catch(() => {});
      await listeners.reached;
      await aborted(listening, stop);
    }
    // Their frames come in order: with this one those before it are there.
    await client.forwardIn!({ path: "" }, () => {}).catch(() => {});
    tunnels.open(
      {
        close: () => void closed.push("tunnel"),
        closed: never,
      } as unknown as Tunnel,
    );
    listeners.open({
      address: TARGET,
      closed: Promise.resolve(),
      close: () => Promise.resolve(void closed.push("listener")),
    });
    await until(() => closed.length === 2);
    assertEquals(closed.sort(), ["listener", "tunnel"]);
    await client.close();
  },
);

testNats(
  "a command whose client has left waits for no password of sudo",
  async () => {
    const password = gate<undefined>();
    const { connection } = scripted();
    await using fleet = await startFleet(
      { route: () => Promise.resolve(connection) },
      { worker: { sudoPassword: password.pass } },
    );
    const client = await fleet.connector.connect(HOST);
    const stop = new AbortController();
    const running = client.exec("id", { sudo: true, signal: stop.signal });
    running.catch(() => {});
    await password.reached;
    assertEquals(fleet.worker.stats().sessions, 1);
    await aborted(running, stop);
    await until(() => fleet.worker.stats().sessions === 0);
    await client.close();
  },
);

testNats(
  "what fails on a worker in a way that nobody knows may have run",
  async () => {
    const { connection } = scripted({
      spawn: () => Promise.reject(new Error("odd")),
    });
    await using fleet = await startFleet({
      route: () => Promise.resolve(connection),
    });
    const client = await fleet.connector.connect(HOST);
    const error = await client.exec("true").catch((error) => error);
    assertInstanceOf(error, RemoteError);
    assertEquals(error.mayHaveRun, true);
    await client.close();
  },
);

testNats(
  "a failure with more words than a message of the bus has room for is told all the same",
  async () => {
    const words = "x".repeat(2 ** 21);
    const fail = () => Promise.reject(new Error(words));
    const { connection } = scripted({ spawn: fail, subsystem: fail });
    await using fleet = await startFleet({
      route: () => Promise.resolve(connection),
    });
    const client = await fleet.connector.connect(HOST);
    const failures: Error[] = [];
    client.subsystem!("netconf").catch((error) => failures.push(error));
    client.exec("true").catch((error) => failures.push(error));
    await until(() => failures.length === 2);
    for (const failure of failures) {
      assertInstanceOf(failure, RemoteError);
      assert(words.startsWith(failure.message));
    }
    await client.close();
  },
);

Deno.test("a worker that ends waits for those who were offered a host, for as long as the offer stands", async () => {
  // Kept from here: below the clock is moved by the test.
  const realTimeout = setTimeout;
  const ticks = () => new Promise((resolve) => realTimeout(resolve, 60));
  using time = new FakeTime();
  const bus = new MemoryBus();
  const worker = new FleetWorker(bus, {
    pool: { route: () => never },
    host: ({ name }) => name,
    shards: 1,
    pingMs: 10,
  });
  await worker.serve({ index: 0, of: 1 });
  const from = `ssh.c.a.${"0".repeat(32)}`;
  bus.publish("ssh.shard.0.default.web-1", encode({ from }), {
    reply: `${from}.x`,
  });
  await ticks();
  const answer = bus.sent.find(({ subject }) => subject === `${from}.x`);
  assert(new TextDecoder().decode(answer?.payload).includes("ticket"));
  let isClosed = false;
  const closing = worker.close({ drainTimeoutMs: 600_000 })
    .then(() => isClosed = true);
  await time.advance(9_000);
  await ticks();
  assertEquals(isClosed, false);
  await time.advance(1_001);
  await ticks();
  assertEquals(isClosed, true);
  await closing;
  assertEquals(bus.subscriptions, 0);
  bus.close();
});

Deno.test("a worker ends within 5 s though the server of the bus is frozen", async () => {
  using time = new FakeTime();
  const bus = new MemoryBus();
  const worker = new FleetWorker(bus, {
    pool: { route: () => never },
    host: ({ name }) => name,
    shards: 1,
  });
  await worker.serve({ index: 0, of: 1 });
  bus.flushed = never;
  let isClosed = false;
  const closing = worker.close().then(() => isClosed = true);
  await time.advance(4_999);
  assertEquals([isClosed, bus.subscriptions], [false, 0]);
  await time.advance(1);
  assertEquals(isClosed, true);
  await closing;
  bus.close();
});

Deno.test("a worker does not show a password that should be a function", () => {
  const bus = new MemoryBus();
  const { connection } = scripted();
  const error = assertThrows(
    () =>
      new FleetWorker(bus, {
        pool: { route: () => Promise.resolve(connection) },
        host: ({ name }) => name,
        sudoPassword: "hunter2" as never,
      }),
    TypeError,
    "sudoPassword is a string, must be a function",
  );
  assert(!error.message.includes("hunter2"));
  bus.close();
});

Deno.test("fleetPool() leaves nothing on the bus if an option of the pool is wrong", () => {
  const bus = new MemoryBus();
  assertThrows(() => fleetPool(bus, { maxConnections: -1 }), RangeError);
  assertEquals(bus.subscriptions, 0);
  bus.close();
});

Deno.test("fleetPool() asks again soon, unless backoff says otherwise", async () => {
  for (const initialMs of [undefined, 30_000]) {
    const bus = new MemoryBus();
    const dials: PoolEvent[] = [];
    await using pool = fleetPool(bus, {
      ...initialMs !== undefined &&
        { backoff: { initialMs, maxMs: initialMs } },
      acquireTimeoutMs: 500,
      observer: (event) => void (event.type === "dial" && dials.push(event)),
    });
    await assertRejects(() => pool.exec("web-1", "true"));
    assertEquals(dials.length > 1, initialMs === undefined, `${dials.length}`);
    bus.close();
  }
});
