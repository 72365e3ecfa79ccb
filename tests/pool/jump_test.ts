import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { type ForwardTarget, targetName } from "../../transport/host/target.ts";
import {
  AuthenticationError,
  ConnectionLostError,
  DialError,
} from "../../transport/errors.ts";
import type { Connector, Tunnel } from "../../transport/connector.ts";
import { ConnectionPool } from "../../pool/mod.ts";
import { errorOf, FakeTime, flush, gate, Kit, range } from "./_kit.ts";

const via = (name: string, ...hops: string[]) => ({
  hostname: name,
  user: "ops",
  jump: hops.map((hop) => `ops@${hop}`),
});

Deno.test("ConnectionPool dials a hop once for all targets behind it", async () => {
  await using kit = new Kit({ dialMs: 1 });
  const all = range(20).map((i) =>
    kit.pool.exec(via(`db${i}`, "gate"), "true")
  );
  await Promise.all(all);
  assertEquals(kit.connector.dialsByHost.get("ops@gate:22"), 1);
  assertEquals(kit.connector.dials, 21);
  const hop = kit.connection(0);
  assertEquals(hop.host.hostname, "gate");
  assertEquals(
    hop.forwards.toSorted(),
    range(20).map((i) => `db${i}:22`).toSorted(),
  );
});

Deno.test("ConnectionPool closes the tunnel of a dial that failed, whatever its connector does", async () => {
  for (
    const fail of [
      () => Promise.reject(new Error("no")),
      () => {
        throw new Error("no");
      },
    ]
  ) {
    await using kit = new Kit();
    const tunnels: Tunnel[] = [];
    const connector: Connector = {
      connect(host, options) {
        if (options?.tunnel === undefined) {
          return kit.connector.connect(host, options);
        }
        tunnels.push(options.tunnel);
        return fail();
      },
    };
    await using pool = new ConnectionPool({ connector });
    await assertRejects(() => pool.exec(via("db", "gate"), "true"), DialError);
    await tunnels[0]?.closed;
    assertEquals([tunnels.length, pool.stats().busy], [1, 0]);
  }
});

Deno.test("ConnectionPool closes a tunnel that its hop opens after the dial was given up", async () => {
  await using kit = new Kit();
  const asked = gate();
  const answer = Promise.withResolvers<Tunnel>();
  const connector: Connector = {
    async connect(host, options) {
      const connection = await kit.connector.connect(host, options);
      const open = connection.forwardOut.bind(connection);
      // An adapter that does not keep to the signal.
      connection.forwardOut = (target) => {
        open(target).then(answer.resolve);
        asked.open();
        return released.promise.then(() => answer.promise);
      };
      return connection;
    },
  };
  const released = gate();
  await using pool = new ConnectionPool({ connector });
  const controller = new AbortController();
  const { signal } = controller;
  const call = errorOf(pool.exec(via("db", "gate"), "true", { signal }));
  await asked.promise;
  controller.abort(new Error("left"));
  assertEquals((await call).message, "left");
  released.open();
  await (await answer.promise).closed;
  assertEquals(pool.stats().busy, 0);
});

Deno.test("ConnectionPool takes the time that a tunnel took off the deadline of the dial through it", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ onForward: () => ({ delayMs: 600 }) });
  const deadlines: (number | undefined)[] = [];
  const connector: Connector = {
    connect(host, options) {
      deadlines.push(options?.timeoutMs);
      return kit.connector.connect(host, options);
    },
  };
  await using pool = new ConnectionPool({ connector, dialTimeoutMs: 1_000 });
  const running = pool.exec(via("db", "gate"), "true");
  await time.advance(600);
  await running;
  assertEquals(deadlines, [1_000, 400]);
});

Deno.test("ConnectionPool goes through a chain of hops in order", async () => {
  await using kit = new Kit();
  await kit.pool.exec(via("db", "outer", "middle", "inner"), "true");
  const opened = kit.connector.connections.map((c) => [
    c.host.hostname,
    c.forwards,
  ]);
  assertEquals(opened, [
    ["outer", ["middle:22"]],
    ["middle", ["inner:22"]],
    ["inner", ["db:22"]],
    ["db", []],
  ]);
  // The first hop is the same for those who ask for it by itself.
  await kit.pool.exec("ops@outer", "true");
  await kit.pool.exec(via("middle", "outer"), "true");
  assertEquals(kit.connector.dials, 4);
});

Deno.test("ConnectionPool counts a hop as busy while a tunnel lives on it", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 1_000 });
  const lease = await kit.pool.acquire(via("db", "gate"));
  await time.advance(60_000);
  assertEquals(kit.pool.size, 2);
  const [gateStats] = kit.pool.stats().hosts.filter((h) =>
    h.host === "ops@gate:22"
  );
  assertEquals([gateStats?.busy, gateStats?.slotsInUse], [1, 0]);
  lease.release();
  await time.advance(1_200);
  assertEquals(kit.pool.activeHosts, ["ops@gate:22"], "first the target");
  await time.advance(1_200);
  assertEquals(kit.pool.size, 0, "then the hop");
});

Deno.test("ConnectionPool cannot be deadlocked by chains at a cap of 1", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ dialMs: 1 }, {
    maxConnections: 1,
    maxConcurrentDials: 1,
  });
  const all = Promise.all(
    range(6).map((i) =>
      kit.pool.exec(via(`db${i}`, "outer", "inner"), `echo ${i}`)
    ),
  );
  await time.advance(10_000);
  assertEquals((await all).map((r) => r.stdout), range(6).map((i) => `${i}\n`));
  assertEquals(kit.connector.dialsByHost.get("ops@outer:22"), 1);
});

Deno.test("ConnectionPool dials one hop beyond the cap, however many calls the hop has of its own", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ dialMs: 10 }, {
    maxConnections: 1,
    // Each call needs a connection.
    maxLifetimeSessions: 1,
  });
  const all = Promise.all([
    kit.pool.exec(via("db", "gate"), "true"),
    ...range(4).map(() => kit.pool.exec("ops@gate", "sleep 0.1")),
  ]);
  let most = 0;
  for (const _ of range(200)) {
    await time.advance(5);
    most = Math.max(most, kit.connector.live.size);
  }
  await all;
  assertEquals(most, 2);
});

Deno.test("ConnectionPool fails the targets of a dead hop with a chain of causes that names it", async () => {
  const refused = new DialError("tcp", "Connection refused");
  await using kit = new Kit({
    onDial: ({ hostname }) => hostname === "inner" ? refused : "ok",
  });
  const errors = await Promise.all(
    ["db1", "db2"].map((name) =>
      errorOf(kit.pool.exec(via(name, "outer", "inner"), "true"))
    ),
  );
  for (const [i, error] of errors.entries()) {
    assertInstanceOf(error, DialError);
    assertEquals([error.phase, error.host], ["proxy", `ops@db${i + 1}:22`]);
    assertStringIncludes(error.message, `"ops@db${i + 1}:22"`);
    assertStringIncludes(error.message, `hop "ops@inner:22"`);
    assertEquals(error.cause, refused);
  }
  assertEquals(kit.connector.dialsByHost.get("ops@inner:22"), 1);
  // A third target is told by the hop's cool-down.
  const third = await errorOf(kit.pool.exec(via("db3", "outer", "inner"), "x"));
  assertStringIncludes(third.message, "ops@inner:22");
  assertEquals(kit.connector.dialsByHost.get("ops@inner:22"), 1);
});

Deno.test("ConnectionPool remembers a hop's refused credential for its targets", async () => {
  const denied = new AuthenticationError("No method left");
  await using kit = new Kit({
    onDial: ({ hostname }) => hostname === "gate" ? denied : "ok",
  });
  for (const name of ["db1", "db1", "db2"]) {
    const error = await errorOf(kit.pool.exec(via(name, "gate"), "true"));
    assertEquals(error.cause, denied);
  }
  assertEquals(kit.connector.dials, 1, "one login was tried");
});

Deno.test("ConnectionPool names the hop whose end took a target's connection with it", async () => {
  await using kit = new Kit({
    commands: { wait: () => new Promise(() => {}) },
  });
  const running = errorOf(kit.pool.exec(via("db", "gate"), "wait"));
  await flush();
  kit.connection(0).drop("cable cut");
  const error = await running;
  assertInstanceOf(error, ConnectionLostError);
  assertStringIncludes(error.message, `hop "ops@gate:22"`);
  assertEquals(error.mayHaveRun, true);
  assert(error.cause instanceof ConnectionLostError);
  assertEquals(kit.pool.size, 0);
  assertEquals((await kit.pool.exec(via("db", "gate"), "echo on")).code, 0);
});

Deno.test("ConnectionPool fails a target whose hop refuses the forward, and keeps the hop", async () => {
  await using kit = new Kit({
    onForward: (_hop, target) =>
      targetName(target) === "db1:22"
        ? new Error("administratively prohibited")
        : "ok",
  });
  const error = await errorOf(kit.pool.exec(via("db1", "gate"), "true"));
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "proxy");
  assertStringIncludes(error.message, "administratively prohibited");
  await kit.pool.exec(via("db2", "gate"), "true");
  assertEquals(kit.connector.dialsByHost.get("ops@gate:22"), 1);
  assertEquals(kit.pool.stats().busy, 1, "the hop, under db2's tunnel");
});

Deno.test("ConnectionPool tells a hop where its target is, and nothing more of it", async () => {
  const targets: ForwardTarget[] = [];
  await using kit = new Kit({
    onForward: (_hop, target) => void targets.push(target),
  });
  const host = { ...via("db", "gate"), password: "s3cret" };
  await kit.pool.exec(host, "true");
  assertEquals(targets, [{ hostname: "db", port: 22 }]);
});

Deno.test("ConnectionPool lets a hop's dial go when the target's last caller leaves", async () => {
  await using kit = new Kit({
    onDial: ({ hostname }) => hostname === "gate" ? "never" : "ok",
  });
  const controllers = range(2).map(() => new AbortController());
  const callers = controllers.map(({ signal }, i) =>
    errorOf(kit.pool.exec(via(`db${i}`, "gate"), "true", { signal }))
  );
  await flush();
  controllers[0]!.abort();
  await callers[0];
  await flush();
  assertEquals(kit.connector.aborted, 0, "db1 waits for it, too");
  controllers[1]!.abort();
  await callers[1];
  await flush();
  assertEquals([kit.connector.dials, kit.connector.aborted], [1, 1]);
  assertEquals(kit.pool.stats().dialing, 0);
});

Deno.test("ConnectionPool gives the pin on a hop back when a target's dial fails or is left", async () => {
  using time = new FakeTime();
  const open = gate();
  await using kit = new Kit({
    onDial: ({ hostname }) =>
      hostname === "bad"
        ? new Error("refused")
        : hostname === "slow"
        ? open.promise
        : "ok",
  }, { idleTimeoutMs: 1_000 });
  await errorOf(kit.pool.exec(via("bad", "gate"), "true"));
  const controller = new AbortController();
  const { signal } = controller;
  const left = errorOf(kit.pool.exec(via("slow", "gate"), "true", { signal }));
  await flush();
  controller.abort();
  await left;
  await time.advance(2_000);
  assertEquals(kit.pool.size, 0, "the hop fell idle");
});

Deno.test("ConnectionPool says so when a hop's connector cannot forward", async () => {
  const memory = new Kit();
  const connector: Connector = {
    connect: async (host, options) => {
      const connection = await memory.connector.connect(host, options);
      Object.assign(connection, { forwardOut: undefined });
      return connection;
    },
  };
  await using pool = new ConnectionPool({ connector });
  const error = await errorOf(pool.exec(via("db", "gate"), "true"));
  assertInstanceOf(error, DialError);
  assertStringIncludes(error.message, `hop "ops@gate:22" cannot forward`);
  await memory.pool.close();
});

Deno.test("ConnectionPool names the hop that failed, and says once that it cannot connect", async () => {
  const refused = new DialError(
    "tcp",
    'Cannot connect to "ops@gate:22": connection refused',
    { hint: "start it" },
  );
  await using kit = new Kit({ onDial: () => refused });
  const error = await errorOf(kit.pool.exec(via("db", "gate"), "true"));
  assertInstanceOf(error, DialError);
  assertEquals(
    error.message,
    'Cannot connect to "ops@db:22": hop "ops@gate:22" failed: connection refused',
  );
  assertEquals([error.hint, error.cause], ["start it", refused]);
});
