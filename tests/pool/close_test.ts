import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { ConnectionPool, PoolClosedError } from "../../pool/mod.ts";
import { ConnectionLostError } from "../../transport/errors.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";
import { errorOf, FakeTime, flush, gate, Kit, range, stateOf } from "./_kit.ts";

const host = "ops@db1";
const stuck = { wait: () => new Promise<void>(() => {}) };

Deno.test("ConnectionPool.close() lets running work end, and refuses new work meanwhile", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } });
  const running = kit.pool.exec(host, "wait");
  await kit.pool.exec("ops@idle", "true");
  const closing = kit.pool.close();
  assertEquals(kit.connection(1).isClosed, true, "what is idle ends at once");
  for (
    const call of [
      () => kit.pool.getConnection(host),
      () => kit.pool.acquire(host),
      () => kit.pool.exec(host, "true"),
      () => kit.pool.spawn("ops@db2", "true"),
    ]
  ) assertInstanceOf(await errorOf(call()), PoolClosedError);
  assertEquals(await stateOf(closing), "pending");
  end.open();
  assertEquals((await running).code, 0);
  await closing;
  assertEquals(kit.pool.size, 0);
  assertEquals(kit.connector.live.size, 0);
});

Deno.test("ConnectionPool.close() ends what still runs at its deadline", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ commands: stuck }, { drainTimeoutMs: 5_000 });
  const running = errorOf(kit.pool.exec(host, "wait"));
  await flush();
  const closing = kit.pool.close();
  await time.advance(4_999);
  assertEquals(await stateOf(running), "pending");
  await time.advance(1);
  assertInstanceOf(await running, ConnectionLostError);
  await closing;
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool.close() called again may shorten the wait, and is the same end", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ commands: stuck });
  const running = errorOf(kit.pool.exec(host, "wait"));
  await flush();
  const first = kit.pool.close({ drainTimeoutMs: 60_000 });
  const plain = kit.pool.close();
  await time.advance(1_000);
  const second = kit.pool.close({ drainTimeoutMs: 100 });
  await time.advance(100);
  await Promise.all([running, first, plain, second]);
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool.close() gives every waiter a PoolClosedError, and takes the running ones' results", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnections: 2,
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const running = ["ops@a", "ops@b"].map((host) => kit.pool.exec(host, "wait"));
  await flush();
  const waiting = [
    ...range(3).map(() => kit.pool.exec("ops@a", "true")),
    ...range(3).map((i) => kit.pool.exec(`ops@starved${i}`, "true")),
  ].map(errorOf);
  await flush();
  const closing = kit.pool.close();
  for (const error of await Promise.all(waiting)) {
    assertInstanceOf(error, PoolClosedError);
    assertEquals([error.code, error.phase, error.mayHaveRun], [
      "SSH_POOL_CLOSED",
      "closed",
      false,
    ]);
  }
  end.open();
  await closing;
  for (const { code } of await Promise.all(running)) assertEquals(code, 0);
  assertEquals(kit.connector.dials, 2);
});

Deno.test("ConnectionPool.close() during a dial settles every waiter and aborts the dial", async () => {
  await using kit = new Kit({ onDial: () => "never" });
  const waiting = range(9).map((i) =>
    errorOf([
      () => kit.pool.getConnection(host),
      () => kit.pool.acquire(host),
      () => kit.pool.exec(`ops@db${i}`, "true"),
    ][i % 3]!())
  );
  await flush();
  await kit.pool.close();
  for (const error of await Promise.all(waiting)) {
    assertInstanceOf(error, PoolClosedError);
  }
  assertEquals(kit.connector.dialsInFlight, 0);
  assertEquals(kit.connector.aborted, kit.connector.dials);
});

Deno.test("ConnectionPool.close() settles callers whose host is still being resolved", async () => {
  const found = gate();
  await using kit = new Kit({}, {
    resolver: {
      resolve: () =>
        found.promise.then(() => ({ hostname: "x", user: "u", port: 22 })),
    },
  });
  const waiting = errorOf(kit.pool.exec("x", "true"));
  await kit.pool.close();
  found.open();
  assertInstanceOf(await waiting, PoolClosedError);
  assertEquals(kit.connector.dials, 0);
});

Deno.test("ConnectionPool.close() waits for a lease, and leaves no timer of one that never comes back", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { leakDetectionMs: 60_000, idleTimeoutMs: 0 });
  const lease = await kit.pool.acquire(host);
  const closing = kit.pool.close({ drainTimeoutMs: 1_000 });
  assertEquals(await stateOf(closing), "pending");
  await time.advance(1_000);
  await closing;
  assertEquals(lease.connection.isClosed, true);
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool.close() does not hang on a connector that never closes", async () => {
  using time = new FakeTime();
  const kit = new Kit({ onClose: () => "never" });
  await kit.pool.exec(host, "true");
  const closing = kit.pool.close();
  await time.advance(3_000);
  await closing;
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool ends with its await using block", async () => {
  const kit = new Kit();
  {
    await using pool = kit.pool;
    await pool.exec(host, "true");
    assertEquals(kit.connector.live.size, 1);
  }
  assertEquals(kit.connector.live.size, 0);
  assertInstanceOf(
    await errorOf(kit.pool.exec(host, "true")),
    PoolClosedError,
  );
  await kit.pool.close();
  await kit.pool.closeAll();
});

Deno.test("ConnectionPool.closeAll() ends connections, dials and waits, and leaves the pool usable", async () => {
  await using kit = new Kit({
    onDial: ({ hostname }, attempt) =>
      hostname === "slow" && attempt === 1 ? "never" : "ok",
    commands: stuck,
  }, { maxConnectionsPerHost: 1, maxSessionsPerConnection: 1 });
  const running = errorOf(kit.pool.exec(host, "wait"));
  const waiting = errorOf(kit.pool.exec(host, "true"));
  const dialling = errorOf(kit.pool.getConnection("ops@slow"));
  await flush();
  await kit.pool.closeAll();
  assertInstanceOf(await running, ConnectionLostError);
  assertInstanceOf(await waiting, PoolClosedError);
  assertInstanceOf(await dialling, PoolClosedError);
  assertEquals([kit.pool.size, kit.connector.live.size], [0, 0]);
  assertEquals((await kit.pool.exec(host, "echo on")).stdout, "on\n");
  await kit.pool.getConnection("ops@slow");
});

Deno.test("ConnectionPool.removeConnection() ends one host's connections; those who wait get a fresh one", async () => {
  await using kit = new Kit({ commands: stuck }, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const other = await kit.pool.getConnection("ops@other");
  const running = errorOf(kit.pool.exec(host, "wait"));
  const waiting = kit.pool.exec(host, "echo fresh");
  await flush();
  await kit.pool.removeConnection(host);
  assertInstanceOf(await running, ConnectionLostError);
  assertEquals((await waiting).stdout, "fresh\n");
  assertStrictEquals(await kit.pool.getConnection("ops@other"), other);
  assertEquals(other.isClosed, false);
  await kit.pool.removeConnection("ops@never-seen");
  assert(kit.pool.stats().counters.closed.requested >= 1);
});

Deno.test("ConnectionPool looks no host up once it is closed", async () => {
  let lookups = 0;
  const resolver = {
    resolve: () => ({ hostname: `host${++lookups}`, port: 22, user: "ops" }),
  };
  const pool = new ConnectionPool({
    connector: new MemoryConnector(),
    resolver,
  });
  await pool.close();
  await assertRejects(() => pool.exec("db1", "true"), PoolClosedError);
  await assertRejects(() => pool.getConnection("db1"), PoolClosedError);
  assertEquals(lookups, 0);
});

Deno.test("ConnectionPool.removeConnection() waits until the host's connections have ended", async () => {
  const ended = gate();
  await using kit = new Kit({ onClose: () => ended.promise });
  await kit.pool.exec(host, "true");
  const removed = kit.pool.removeConnection(host);
  assertEquals(await stateOf(removed), "pending");
  ended.open();
  await removed;
});
