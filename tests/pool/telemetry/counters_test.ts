import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  AcquireTimeoutError,
  ConnectionPool,
  type PoolEvent,
  type PoolStats,
} from "../../../pool/mod.ts";
import { DialError } from "../../../transport/errors.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { prepareHostKeyCheck } from "../../../transport/host_key/policy.ts";
import { errorOf, FakeTime, flush, gate, Kit, range } from "../_kit.ts";

const host = "ops@db1";
const name = "ops@db1:22";

Deno.test("ConnectionPool tells its observer what happens, in order", async () => {
  using time = new FakeTime();
  const throttled = new DialError("banner", "Dropped", { throttled: true });
  const refused = new DialError("tcp", "Connection refused");
  await using kit = new Kit({
    onDial: (_host, attempt) =>
      [throttled, "ok" as const, refused][attempt - 1],
  }, { backoff: { initialMs: 100, jitter: 0 } });
  const run = kit.pool.exec(host, "true");
  await time.advance(100);
  await run;
  kit.connection(0).drop("cable cut");
  await errorOf(kit.pool.exec(host, "true"));
  await flush();
  assertEquals(kit.events, [
    { type: "dial", host: name, attempt: 1 },
    {
      type: "dial-failed",
      host: name,
      phase: "banner",
      error: throttled,
      retryInMs: 100,
    },
    { type: "dial", host: name, attempt: 2 },
    { type: "connected", host: name, durationMs: 100 },
    // Seen by the next caller, before the connection has said why.
    { type: "disconnected", host: name, cause: "ended" },
    { type: "dial", host: name, attempt: 1 },
    { type: "dial-failed", host: name, phase: "tcp", error: refused },
    { type: "cooldown", host: name, durationMs: 100, error: refused },
  ]);
});

Deno.test("ConnectionPool tells why a connection ended", async () => {
  await using kit = new Kit();
  await kit.pool.exec(host, "true");
  kit.connection(0).dropByServer("going down");
  assertEquals(await kit.told("disconnected"), [{
    type: "disconnected",
    host: name,
    cause: "ended",
    reason: { kind: "remote", message: "going down" },
  }]);
});

Deno.test("ConnectionPool is not harmed by an observer that throws, rejects or never answers", async () => {
  const observers = [
    () => {
      throw new Error("of the observer");
    },
    () => Promise.reject(new Error("of the observer")),
    () => new Promise(() => {}),
  ];
  for (const observer of observers) {
    await using kit = new Kit({}, { observer });
    const all = range(10).map((i) => kit.pool.exec(`ops@db${i}`, "echo hi"));
    for (const { stdout } of await Promise.all(all)) {
      assertEquals(stdout, "hi\n");
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
});

Deno.test("ConnectionPool may be called by its observer, and never in the middle of its own work", async () => {
  const connector = new MemoryConnector();
  const stats: PoolStats[] = [];
  const ran: Promise<unknown>[] = [];
  let isInside = false;
  const observer = (event: PoolEvent) => {
    assert(!isInside, "told while the pool was at work");
    stats.push(pool.stats());
    if (event.type === "connected" && event.host === name) {
      ran.push(pool.exec(host, "true"), pool.exec("ops@db2", "true"));
    }
    if (event.type === "disconnected") ran.push(pool.removeConnection(host));
  };
  const pool = new ConnectionPool({ connector, observer });
  isInside = true;
  const first = pool.exec(host, "true");
  isInside = false;
  await first;
  await flush();
  await pool.closeAll();
  await flush();
  await Promise.all(ran);
  assertEquals(ran.length >= 3, true);
  assertEquals(stats.at(-1)?.counters.closed.requested, 2);
  await pool.close();
});

Deno.test("ConnectionPool.stats() counts what there is", async () => {
  using _time = new FakeTime();
  const end = gate();
  await using kit = new Kit({
    onDial: ({ hostname }) =>
      hostname === "slow"
        ? "never"
        : hostname === "bad"
        ? new DialError("dns", "No such host")
        : "ok",
    commands: { wait: () => end.promise },
  }, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 2,
    maxConnections: 9,
    backoff: { initialMs: 500, jitter: 0 },
  });
  const running = range(3).map(() => kit.pool.exec(host, "wait"));
  await kit.pool.exec("ops@idle", "true");
  const dialling = errorOf(kit.pool.getConnection("ops@slow"));
  await errorOf(kit.pool.getConnection("ops@bad"));
  const stats = kit.pool.stats();
  const zero = {
    connections: 0,
    busy: 0,
    idle: 0,
    slots: 0,
    slotsInUse: 0,
    waiting: 0,
    dialing: 0,
    coolingDownMs: 0,
    sessionLimit: 2,
  };
  assertEquals(stats.hosts, [
    {
      ...zero,
      host: name,
      connections: 1,
      busy: 1,
      slots: 2,
      slotsInUse: 2,
      waiting: 1,
    },
    { ...zero, host: "ops@idle:22", connections: 1, idle: 1, slots: 2 },
    { ...zero, host: "ops@slow:22", waiting: 1, dialing: 1 },
    { ...zero, host: "ops@bad:22", coolingDownMs: 500 },
  ]);
  const { hosts: _, counters, ...total } = stats;
  assertEquals(total, {
    connections: 2,
    busy: 1,
    idle: 1,
    slots: 4,
    slotsInUse: 2,
    waiting: 2,
    dialing: 1,
    maxConnections: 9,
    coolingDown: 1,
    dialWindow: 32,
  });
  assertEquals(counters, {
    dials: 4,
    dialFailures: { dns: 1 },
    dialRetries: 0,
    opened: 2,
    closed: {
      idle: 0,
      lru: 0,
      lifetime: 0,
      surplus: 0,
      discarded: 0,
      requested: 0,
      ended: 0,
    },
    retries: { "channel-open": 0, "not-sent": 0, "idempotent": 0 },
    limitsLearned: 0,
    reclaimed: 0,
    acquireTimeouts: 0,
    forwardFailures: 0,
  });
  end.open();
  await Promise.all(running);
  await kit.pool.close();
  await dialling;
  assertEquals(kit.pool.stats().counters.closed.requested, 2);
  assertEquals(kit.pool.stats().hosts.length, 1, "what cools down");
});

Deno.test("ConnectionPool.stats() is a copy", async () => {
  await using kit = new Kit();
  const { counters } = kit.pool.stats();
  await kit.pool.exec(host, "true");
  assertEquals(counters.dials, 0);
  (kit.pool.stats().counters.closed as { idle: number }).idle = 99;
  assertEquals(kit.pool.stats().counters.closed.idle, 0);
});

Deno.test("ConnectionPool passes the notices of the connector and of the resolver on", async () => {
  const memory = new MemoryConnector();
  const events: PoolEvent[] = [];
  const notice = { code: "insecure-host-key", message: "Accepting any key" };
  await using pool = new ConnectionPool({
    connector: {
      connect: (host, options) => {
        options?.onNotice?.(notice);
        return memory.connect(host);
      },
    },
    resolver: {
      resolve: (_host, options) => {
        options?.onNotice?.({ code: "ignored-keyword", message: "Line 3" });
        return { hostname: "db1", user: "ops", port: 22 };
      },
    },
    observer: (event) => events.push(event),
  });
  await pool.exec("web", "true");
  await flush();
  assertEquals(
    events.filter((e) => e.type === "notice").map((e) => [
      e.host,
      e.notice.code,
    ]),
    [["web", "ignored-keyword"], [name, "insecure-host-key"]],
  );
});

Deno.test("stats() counts each caller once that gave up waiting, whatever it waited for", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ onDial: () => "never" }, {
    acquireTimeoutMs: 100,
    resolver: {
      resolve: (host) =>
        host === "lookup"
          ? new Promise(() => {})
          : { hostname: "db1", user: "ops", port: 22 },
    },
  });
  const controller = new AbortController();
  const { signal } = controller;
  const calls: [count: number, call: () => Promise<unknown>][] = [
    [1, () => kit.pool.exec("lookup", "true")],
    [2, () => kit.pool.sftp("lookup")],
    [3, () => kit.pool.exec(host, "true")],
    [4, () => kit.pool.sftp(host)],
  ];
  for (const [count, call] of calls) {
    const late = errorOf(call());
    await time.advance(100);
    assertInstanceOf(await late, AcquireTimeoutError);
    assertEquals(kit.pool.stats().counters.acquireTimeouts, count);
  }
  const starter = kit.pool.sftp(host, { acquireTimeoutMs: 1_000, signal });
  const joiners = [errorOf(kit.pool.sftp(host)), errorOf(kit.pool.sftp(host))];
  await time.advance(100);
  for (const late of joiners) assertInstanceOf(await late, AcquireTimeoutError);
  assertEquals(kit.pool.stats().counters.acquireTimeouts, 6);
  controller.abort(new Error("enough"));
  await errorOf(starter);
  assertEquals(kit.pool.stats().counters.acquireTimeouts, 6);
});

Deno.test("a host that accepts any key is told of once, until there were very many others", async () => {
  const told: string[] = [];
  const dial = async (hostname: string) => {
    const check = await prepareHostKeyCheck(
      { hostname, user: "ops", port: 22, hostKey: "insecure-accept-any" },
      () => told.push(hostname),
    );
    await check.verify({
      host: hostname,
      hostname,
      port: 22,
      type: "ssh-ed25519",
      fingerprint: "SHA256:x",
      key: new Uint8Array(),
    });
  };
  await dial("first");
  await dial("first");
  assertEquals(told, ["first"]);
  for (const i of range(50_000)) await dial(`other-${i}`);
  assertEquals(told.length, 50_001);
  await dial("first");
  assertEquals(told.at(-1), "first");
});

Deno.test("ConnectionPool.warm() dials every host, and says which failed", async () => {
  await using kit = new Kit({
    onDial: ({ hostname }) => hostname === "bad" ? new Error("refused") : "ok",
  });
  const results = await kit.pool.warm([host, "ops@bad", "::not a host::"]);
  assertEquals(results.map((r) => [r.host, r.ok]), [
    [host, true],
    ["ops@bad", false],
    ["::not a host::", false],
  ]);
  assertStringIncludes(`${results[1]?.error}`, "refused");
  await kit.pool.exec(host, "true");
  assertEquals(kit.connector.dials, 2);
});

Deno.test("ConnectionPool.warm() refuses what are no hosts, and tells no password of them", async () => {
  await using kit = new Kit();
  const cases: [unknown, string][] = [
    ["ops@web-1", "a string"],
    [{ hostname: "web-1", user: "ops" }, "an object"],
    [new URL("ssh://ops:hunter2@web-1"), "a URL"],
    [undefined, "undefined"],
    // Its hosts come one at a time, and all are dialled at once.
    [async function* () {}(), "an AsyncGenerator"],
  ];
  for (const [hosts, shown] of cases) {
    const error = await errorOf(kit.pool.warm(hosts as never));
    assertInstanceOf(error, TypeError);
    assertEquals(
      error.message,
      `Cannot warm: hosts is ${shown}, must be an iterable of hosts, such as an array`,
    );
  }
  assertEquals(kit.connector.dials, 0);
  assertEquals((await kit.pool.warm(new Set([host]))).length, 1);
});

Deno.test("ConnectionPool.warm() keeps to its signal and its time limit", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ onDial: () => "never" });
  const controller = new AbortController();
  const { signal } = controller;
  const left = kit.pool.warm([host], { signal });
  const late = kit.pool.warm(["ops@db2"], { acquireTimeoutMs: 500 });
  await time.advance(500);
  assertInstanceOf((await late)[0]?.error, AcquireTimeoutError);
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals((await left)[0]?.error, reason);
});

Deno.test("stats() has the option maxConnections, and 0 once the pool is closed", async () => {
  await using kit = new Kit({}, { maxConnections: 7 });
  assertEquals(kit.pool.stats().maxConnections, 7);
  await kit.pool.close();
  assertEquals(kit.pool.stats().maxConnections, 0);
});
