import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { DialError } from "../../transport/errors.ts";
import type { Connector } from "../../transport/connector.ts";
import { ConnectionPool } from "../../pool/mod.ts";
import {
  errorOf,
  FakeTime,
  flush,
  type Gate,
  gate,
  Kit,
  range,
  stateOf,
} from "./_kit.ts";

const host = "ops@db1";

Deno.test("ConnectionPool keeps the dial of a caller that left for the others", async () => {
  const open = gate();
  await using kit = new Kit({ onDial: () => open.promise });
  const controller = new AbortController();
  const { signal } = controller;
  const leaver = kit.pool.getConnection(host, { signal });
  const stayer = kit.pool.getConnection(host);
  const worker = kit.pool.exec(host, "echo hi");
  await flush();
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await stateOf(leaver), reason);
  assertEquals(await stateOf(stayer), "pending");
  open.open();
  await stayer;
  assertEquals((await worker).stdout, "hi\n");
  assertEquals([kit.connector.dials, kit.connector.aborted], [1, 0]);
});

Deno.test("ConnectionPool aborts the dial when the last caller leaves, and dials anew for the next", async () => {
  await using kit = new Kit({
    onDial: (_host, attempt) => attempt === 1 ? "never" : "ok",
  });
  const controllers = range(3).map(() => new AbortController());
  const callers = controllers.map(({ signal }, i) =>
    errorOf(
      i === 0
        ? kit.pool.getConnection(host, { signal })
        : kit.pool.acquire(host, { signal }),
    )
  );
  await flush();
  for (const controller of controllers) {
    assertEquals(kit.connector.aborted, 0);
    controller.abort(new Error("enough"));
  }
  // In the same turn, while the aborted dial is not off the wire yet.
  const fresh = kit.pool.getConnection(host);
  await Promise.all(callers);
  await fresh;
  assertEquals([kit.connector.dials, kit.connector.aborted], [2, 1]);
  assertEquals(kit.pool.stats().counters.dialFailures, { aborted: 1 });
  assertEquals(kit.pool.stats().coolingDown, 0, "an abort is no failure");
});

Deno.test("ConnectionPool aborts the dial when the last caller's wait ends", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ onDial: () => "never" });
  const caller = errorOf(
    kit.pool.getConnection(host, { acquireTimeoutMs: 100 }),
  );
  await time.advance(100);
  await caller;
  await flush();
  assertEquals([kit.connector.aborted, kit.connector.dialsInFlight], [1, 0]);
  assertEquals(kit.pool.stats().dialing, 0);
});

Deno.test("ConnectionPool closes a connection that comes after its last caller left", async () => {
  const open = gate();
  const connections = new Kit();
  // A connector that does not listen to its signal, against the treaty.
  const deaf: Connector = {
    connect: async (host, options) => {
      const { signal: _signal, ...rest } = options ?? {};
      await open.promise;
      return await connections.connector.connect(host, rest);
    },
  };
  const pool = new ConnectionPool({ connector: deaf });
  const controller = new AbortController();
  const caller = errorOf(
    pool.getConnection(host, { signal: controller.signal }),
  );
  await flush();
  controller.abort();
  await caller;
  open.open();
  await flush();
  assertEquals(connections.connector.opened, 1);
  assertEquals(connections.connector.live.size, 0);
  assertEquals(pool.size, 0);
  await pool.close();
  await connections.pool.close();
});

Deno.test("ConnectionPool gives all callers the failure of their one dial", async () => {
  const open = gate();
  const failure = new DialError("tcp", "Connection refused");
  await using kit = new Kit({ onDial: () => open.promise.then(() => failure) });
  const callers = range(10).map((i) =>
    errorOf(
      [
        () => kit.pool.getConnection(host),
        () => kit.pool.acquire(host),
        () => kit.pool.exec(host, "true"),
      ][i % 3]!(),
    )
  );
  await flush();
  open.open();
  for (const error of await Promise.all(callers)) {
    assertStrictEquals(error, failure);
  }
  assertEquals(kit.connector.dials, 1);
  const { waiting, dialing, connections, hosts } = kit.pool.stats();
  assertEquals({ waiting, dialing, connections }, {
    waiting: 0,
    dialing: 0,
    connections: 0,
  });
  assertEquals(hosts.length, 1, "it cools down");
});

Deno.test("ConnectionPool leaves no unhandled rejection of a dial that nobody observes", async () => {
  let unhandled = 0;
  const count = (event: Event) => {
    unhandled++;
    event.preventDefault();
  };
  globalThis.addEventListener("unhandledrejection", count);
  {
    await using kit = new Kit({ onDial: () => new Error("refused") });
    const controller = new AbortController();
    const caller = kit.pool.getConnection(host, { signal: controller.signal });
    const own = caller.catch(() => {});
    controller.abort();
    await own;
    await kit.pool.warm([host, "ops@db2"]);
    await new Promise((resolve) => setTimeout(resolve));
  }
  globalThis.removeEventListener("unhandledrejection", count);
  assertEquals(unhandled, 0);
});

Deno.test("ConnectionPool passes the turn of a failed dial to a host that starves", async () => {
  const gates: Record<string, Gate> = { db1: gate(), db2: gate() };
  await using kit = new Kit({
    onDial: ({ hostname }) =>
      gates[hostname]!.promise.then(() =>
        hostname === "db1" ? new Error("refused") : "ok"
      ),
  }, { maxConnections: 1 });
  const first = errorOf(kit.pool.getConnection("ops@db1"));
  const second = kit.pool.getConnection("ops@db2");
  await flush();
  assertEquals(kit.connector.dials, 1);
  gates.db1!.open();
  gates.db2!.open();
  await first;
  assertEquals((await second).host.hostname, "db2");
});

Deno.test("ConnectionPool gives the permit of an aborted dial on", async () => {
  await using kit = new Kit({
    onDial: ({ hostname }) => hostname === "db1" ? "never" : "ok",
  }, { maxConnections: 1 });
  const controller = new AbortController();
  const first = errorOf(
    kit.pool.getConnection("ops@db1", { signal: controller.signal }),
  );
  const second = kit.pool.getConnection("ops@db2");
  await flush();
  controller.abort();
  await first;
  assertEquals((await second).host.hostname, "db2");
});

Deno.test("ConnectionPool ends a dial at dialTimeoutMs, also of a connector that hangs", async () => {
  using time = new FakeTime();
  const hangs: Connector = { connect: () => new Promise(() => {}) };
  const pool = new ConnectionPool({ connector: hangs, dialTimeoutMs: 1_000 });
  const caller = errorOf(pool.getConnection(host));
  await time.advance(1_500);
  const error = await caller;
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "timeout");
  assertStringIncludes(error.message, "ops@db1:22");
  await pool.close();
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool passes dialTimeoutMs and keepalive on, the host's before its own", async () => {
  const seen: unknown[] = [];
  const connector: Connector = {
    connect: (_host, o) => {
      seen.push([o?.timeoutMs, o?.keepaliveIntervalMs, o?.keepaliveCountMax]);
      return Promise.reject(new DialError("tcp", "refused"));
    },
  };
  await using pool = new ConnectionPool({
    connector,
    dialTimeoutMs: 500,
    keepaliveIntervalMs: 70,
    keepaliveCountMax: 2,
  });
  await errorOf(pool.getConnection(host));
  await errorOf(pool.getConnection({
    hostname: "db2",
    user: "ops",
    dialTimeoutMs: 900,
    keepaliveIntervalMs: 0,
    keepaliveCountMax: 9,
  }));
  assertEquals(seen, [[500, 70, 2], [900, 0, 9]]);
});

Deno.test("ConnectionPool turns whatever a connector throws into a DialError with the cause", async () => {
  for (const thrown of [new Error("weird"), "a string", undefined]) {
    const connector: Connector = { connect: () => Promise.reject(thrown) };
    await using pool = new ConnectionPool({ connector });
    const error = await errorOf(pool.getConnection(host));
    assert(error instanceof DialError, `${thrown}`);
    assertStrictEquals(error.cause, thrown);
    assertEquals(pool.stats().dialing, 0);
  }
});
