import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { AcquireTimeoutError, type WaitSnapshot } from "../../pool/mod.ts";
import { DialError } from "../../transport/errors.ts";
import { errorOf, FakeTime, flush, Kit } from "./_kit.ts";

/** Waits for `host` for five seconds of fake time; gives why it was in vain. */
async function waitInVain(
  kit: Kit,
  time: FakeTime,
  host = "ops@db1",
): Promise<WaitSnapshot> {
  const waiting = errorOf(
    kit.pool.acquire(host, { acquireTimeoutMs: 5_000 }),
  );
  await time.advance(5_000);
  const error = await waiting;
  assert(error instanceof AcquireTimeoutError);
  assertEquals([error.code, error.phase], ["SSH_ACQUIRE_TIMEOUT", "acquire"]);
  assertEquals([error.host, error.mayHaveRun], [`${host}:22`, false]);
  assertStringIncludes(error.message, `"${host}:22" within 5000 ms`);
  assertEquals(error.snapshot.waitedMs, 5_000);
  assertEquals(kit.pool.stats().counters.acquireTimeouts, 1);
  return error.snapshot;
}

Deno.test("AcquireTimeoutError says busy when every slot is taken", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  using _held = await kit.pool.acquire("ops@db1");
  assertEquals(await waitInVain(kit, time), {
    reason: "busy",
    waitedMs: 5_000,
    connections: 1,
    slotsInUse: 1,
    slots: 1,
    waiting: 1,
    dialing: 0,
    poolConnections: 1,
    maxConnections: 100,
  });
});

Deno.test("AcquireTimeoutError says dialing when the dial takes too long", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ onDial: () => "never" });
  const { reason, dialing, connections } = await waitInVain(kit, time);
  assertEquals([reason, dialing, connections], ["dialing", 1, 0]);
  assertEquals(kit.connector.aborted, 1, "nobody waits for it any more");
});

Deno.test("AcquireTimeoutError says dial-failing when dials are throttled again and again, and has the last failure as its cause", async () => {
  using time = new FakeTime();
  const throttled = new DialError(
    "banner",
    'Cannot connect to "ops@db1:22": dropped',
    { throttled: true, hint: "raise MaxStartups" },
  );
  await using kit = new Kit({ onDial: () => throttled });
  const waiting = errorOf(
    kit.pool.acquire("ops@db1", { acquireTimeoutMs: 5_000 }),
  );
  await time.advance(5_000);
  const error = await waiting;
  assert(error instanceof AcquireTimeoutError);
  assertEquals(error.snapshot.reason, "dial-failing");
  assertEquals(
    error.message,
    'Cannot acquire "ops@db1:22" within 5000 ms: ' +
      "dials keep failing, the last: dropped",
  );
  assertEquals([error.cause, error.hint], [throttled, "raise MaxStartups"]);
});

Deno.test("AcquireTimeoutError says cap when other hosts have every connection", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { maxConnections: 1 });
  using _held = await kit.pool.acquire("ops@db2");
  const { reason, poolConnections, maxConnections } = await waitInVain(
    kit,
    time,
  );
  assertEquals([reason, poolConnections, maxConnections], ["cap", 1, 1]);
  assertEquals(kit.connector.dials, 1);
});

Deno.test("AcquireTimeoutError says cooling-down when a host lost its connection after a failed dial", async () => {
  using time = new FakeTime();
  const refused = new DialError("tcp", "Connection refused");
  await using kit = new Kit({
    onDial: (host, attempt) =>
      host.hostname === "db1" && attempt === 2 ? refused : "ok",
  }, {
    maxConnections: 2,
    maxSessionsPerConnection: 1,
    backoff: { initialMs: 20_000, jitter: 0 },
  });
  using _busy = await kit.pool.acquire("ops@db1");
  const waiting = errorOf(
    kit.pool.acquire("ops@db1", { acquireTimeoutMs: 5_000 }),
  );
  await time.advance(1_000); // the second connection fails
  assertEquals(kit.connector.dialsByHost.get("ops@db1:22"), 2);
  using _other = await kit.pool.acquire("ops@db2");
  const third = kit.pool.acquire("ops@db3");
  await flush();
  kit.connection(0).drop(); // its permit goes to db3, which came first
  using _third = await third;
  await time.advance(5_000);
  const error = await waiting;
  assert(error instanceof AcquireTimeoutError);
  assertEquals(error.snapshot.reason, "cooling-down");
  assertEquals(error.cause, refused);
  assertStringIncludes(
    error.message,
    "cooling down, the last dial failed: Con",
  );
});

Deno.test("AcquireTimeoutError has no failure as its cause from before the last success", async () => {
  using time = new FakeTime();
  await using kit = new Kit({
    onDial: (_host, attempt) =>
      attempt === 1 ? new DialError("tcp", "refused", { hint: "up?" }) : "ok",
  }, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
    backoff: { initialMs: 0 },
  });
  await errorOf(kit.pool.acquire("ops@db1"));
  using _held = await kit.pool.acquire("ops@db1");
  const waiting = errorOf(
    kit.pool.acquire("ops@db1", { acquireTimeoutMs: 5_000 }),
  );
  await time.advance(5_000);
  const error = await waiting;
  assert(error instanceof AcquireTimeoutError);
  assertEquals([error.cause, error.hint], [undefined, undefined]);
});

Deno.test("ConnectionPool waits for ever with an acquireTimeoutMs of 0", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
    acquireTimeoutMs: 0,
  });
  const held = await kit.pool.acquire("ops@db1");
  const waiter = kit.pool.exec("ops@db1", "echo at last");
  await time.advance(60_000); // twice the default
  held.release();
  assertEquals((await waiter).stdout, "at last\n");
});

Deno.test("each call of a pool that waits keeps to an acquireTimeoutMs of its own", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ onDial: () => "never" });
  const { pool } = kit;
  const options = { acquireTimeoutMs: 500 };
  const calls = [
    pool.acquire("ops@db1", options),
    pool.connect("ops@db1", "db:5432", options),
    pool.exec("ops@db1", "true", options),
    pool.getConnection("ops@db1", options),
    pool.route("ops@db1", options),
    pool.sftp("ops@db1", options),
    pool.shell("ops@db1", options),
    pool.spawn("ops@db1", "true", options),
    pool.upload("ops@db1", "deno.json", "/tmp/x", options),
    pool.download("ops@db1", "/tmp/x", "/no/such/folder/x", options),
  ].map(errorOf);
  await time.advance(500);
  for (const error of await Promise.all(calls)) {
    assert(error instanceof AcquireTimeoutError, String(error));
  }
});

Deno.test("ConnectionPool leaves no timer of a wait that was served", async () => {
  using time = new FakeTime();
  const kit = new Kit({}, { idleTimeoutMs: 0, maxSessionsPerConnection: 1 });
  const first = await kit.pool.acquire("ops@db1");
  const second = kit.pool.acquire("ops@db1");
  await flush();
  assert(time.pending > 0);
  first.release();
  (await second).release();
  await kit.pool.close();
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool fails each of many that wait when its own time is up, in whatever order they came", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const held = await kit.pool.acquire("ops@db1");
  const ends: string[] = [];
  const startedAt = performance.now();
  const wait = (name: string, acquireTimeoutMs: number) => {
    const leased = kit.pool.acquire("ops@db1", { acquireTimeoutMs });
    leased.then(
      (lease) => void (ends.push(`${name} has it`), lease.release()),
      () => ends.push(`${name} ${performance.now() - startedAt}`),
    );
  };
  wait("long", 900);
  wait("short", 300);
  wait("for ever", 0);
  await time.advance(100);
  wait("late", 100);
  wait("middle", 500);
  for (let ms = 100; ms < 700; ms += 50) await time.advance(50);
  assertEquals(ends, ["late 200", "short 300", "middle 600"]);
  held.release();
  await time.advance(0);
  assertEquals(ends.slice(3), ["long has it", "for ever has it"]);
});
