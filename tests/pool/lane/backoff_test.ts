import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import { HostCooldownError } from "../../../pool/mod.ts";
import {
  AuthenticationError,
  DialError,
  HostKeyError,
} from "../../../transport/errors.ts";
import type { Outcome } from "../../../transport/testing/mod.ts";
import { errorOf, FakeTime, Kit, range } from "../_kit.ts";

const host = "ops@db1";
const refused = new DialError(
  "tcp",
  'Cannot connect to "ops@db1:22": Connection refused',
  { hint: "start it" },
);
const denied = new AuthenticationError("No method left", { host });
const stranger = new HostKeyError("Unknown key", {
  fingerprint: "SHA256:x",
  reason: "unknown",
});
const throttled = new DialError("banner", "Dropped", { throttled: true });

/** A kit without randomness whose n-th dial of a host ends as the list says. */
function scripted(outcomes: Outcome[], backoff = {}): Kit {
  return new Kit({ onDial: (_host, attempt) => outcomes[attempt - 1] }, {
    backoff: { initialMs: 100, maxMs: 350, factor: 2, jitter: 0, ...backoff },
    dialTimeoutMs: 2_000,
  });
}

Deno.test("ConnectionPool leaves a host alone after a failed dial, and says for how long", async () => {
  using time = new FakeTime();
  await using kit = scripted([refused]);
  assertStrictEquals(await errorOf(kit.pool.getConnection(host)), refused);
  await time.advance(40);
  for (
    const call of [
      () => kit.pool.getConnection(host),
      () => kit.pool.acquire(host),
      () => kit.pool.exec(host, "true"),
      () => kit.pool.spawn(host, "true"),
    ]
  ) {
    const error = await errorOf(call());
    assertInstanceOf(error, HostCooldownError);
    assertEquals([error.code, error.phase, error.host], [
      "SSH_HOST_COOLDOWN",
      "cooldown",
      "ops@db1:22",
    ]);
    assertEquals(error.retryAfterMs, 60);
    assertStrictEquals(error.cause, refused);
    assertEquals(
      error.message,
      'Cannot connect to "ops@db1:22": host is cooling down for 60 ms, ' +
        "the last dial failed: Connection refused",
    );
    assertEquals(error.hint, "start it");
  }
  assertEquals(kit.connector.dials, 1);
  const [stats] = kit.pool.stats().hosts;
  assertEquals(stats?.coolingDownMs, 60);
  assertEquals(kit.pool.stats().coolingDown, 1);
  await time.advance(60);
  await kit.pool.getConnection(host);
  assertEquals(kit.pool.stats().coolingDown, 0);
});

Deno.test("ConnectionPool does not let one host's cool-down touch another", async () => {
  await using kit = new Kit({
    onDial: ({ hostname }) => hostname === "db1" ? refused : "ok",
  });
  await errorOf(kit.pool.getConnection(host));
  assertEquals((await kit.pool.exec("ops@db2", "echo x")).stdout, "x\n");
});

Deno.test("ConnectionPool lengthens the pause with each failure up to maxMs, and forgets at a success", async () => {
  using time = new FakeTime();
  await using kit = scripted([
    ...[refused, refused, refused, refused],
    "ok",
    refused,
  ]);
  const pauses: number[] = [];
  for (const _ of range(4)) {
    await errorOf(kit.pool.getConnection(host));
    const error = await errorOf(kit.pool.getConnection(host));
    assertInstanceOf(error, HostCooldownError);
    pauses.push(error.retryAfterMs);
    await time.advance(error.retryAfterMs);
  }
  assertEquals(pauses, [100, 200, 350, 350]);
  await kit.pool.getConnection(host);
  await kit.pool.removeConnection(host);
  await errorOf(kit.pool.getConnection(host));
  const error = await errorOf(kit.pool.getConnection(host));
  assertEquals((error as HostCooldownError).retryAfterMs, 100);
});

Deno.test("ConnectionPool takes the random share off the pause", async () => {
  using _time = new FakeTime();
  const pauses = new Set<number>();
  for (const _ of range(20)) {
    await using kit = scripted([refused], { initialMs: 300, jitter: 0.5 });
    await errorOf(kit.pool.getConnection(host));
    const error = await errorOf(kit.pool.getConnection(host));
    const { retryAfterMs } = error as HostCooldownError;
    assert(retryAfterMs >= 150 && retryAfterMs <= 300, `${retryAfterMs}`);
    pauses.add(retryAfterMs);
  }
  assert(pauses.size > 1);
});

for (const [name, refusal] of Object.entries({ denied, stranger })) {
  Deno.test(`ConnectionPool remembers ${refusal.name} (${name}) and tries no login meanwhile`, async () => {
    using time = new FakeTime();
    await using kit = scripted([refusal], { refusedMs: 5_000 });
    for (const _ of range(3)) {
      const errors = await Promise.all([
        errorOf(kit.pool.getConnection(host)),
        errorOf(kit.pool.exec(host, "true")),
      ]);
      for (const error of errors) assertStrictEquals(error, refusal);
      await time.advance(1_000);
    }
    assertEquals(kit.connector.dials, 1);
    await time.advance(2_000);
    await kit.pool.getConnection(host);
    assertEquals(kit.connector.dials, 2);
  });
}

Deno.test("ConnectionPool remembers a refusal for its credential alone", async () => {
  await using kit = new Kit({
    onDial: ({ password }) => password === "right" ? "ok" : denied,
  });
  const db1 = { hostname: "db1", user: "ops" };
  await errorOf(kit.pool.getConnection({ ...db1, password: "wrong" }));
  await kit.pool.getConnection({ ...db1, password: "right" });
  const again = errorOf(kit.pool.getConnection({ ...db1, password: "wrong" }));
  assertStrictEquals(await again, denied);
  assertEquals(kit.connector.dials, 2);
});

Deno.test("ConnectionPool dials a throttled host again by itself", async () => {
  using time = new FakeTime();
  await using kit = scripted([throttled, throttled, "ok"]);
  const callers = range(5).map((i) => kit.pool.exec(host, `echo ${i}`));
  await time.advance(299);
  assertEquals(kit.connector.dials, 2, "after 100 ms, and 200 ms later");
  await time.advance(1);
  assertEquals((await Promise.all(callers)).length, 5);
  const { counters } = kit.pool.stats();
  assertEquals([counters.dials, counters.dialRetries], [3, 2]);
  assertEquals(counters.dialFailures, {});
  const failed = await kit.told("dial-failed");
  assertEquals(failed.map((e) => e.type === "dial-failed" && e.retryInMs), [
    100,
    200,
  ]);
});

Deno.test("ConnectionPool gives a throttled host up when dialTimeoutMs is spent", async () => {
  using time = new FakeTime();
  await using kit = scripted(range(99).map(() => throttled));
  const caller = errorOf(kit.pool.getConnection(host));
  await time.advance(2_000);
  assertStrictEquals(await caller, throttled);
  const { dials } = kit.connector;
  assert(dials > 3 && dials < 10, `${dials} dials`);
  assertEquals(kit.pool.stats().counters.dialFailures, { banner: 1 });
  assertEquals(kit.pool.stats().dialing, 0);
});

Deno.test("ConnectionPool tells what a throttled host did when the last attempt has no more time", async () => {
  using time = new FakeTime();
  await using kit = scripted([throttled, throttled, "never"]);
  const caller = errorOf(kit.pool.getConnection(host));
  await time.advance(2_000);
  assertStrictEquals(await caller, throttled);
  assertEquals(kit.connector.dials, 3);
});

Deno.test("ConnectionPool never retries a failure that is not throttling", async () => {
  for (const error of [refused, denied, stranger]) {
    await using kit = scripted([error, "ok"]);
    await errorOf(kit.pool.exec(host, "true", { idempotent: true }));
    assertEquals(kit.connector.dials, 1);
  }
});

Deno.test("ConnectionPool stops a throttled dial in its pause when the last caller leaves", async () => {
  using time = new FakeTime();
  await using kit = scripted([throttled]);
  const controller = new AbortController();
  const caller = errorOf(
    kit.pool.getConnection(host, { signal: controller.signal }),
  );
  await time.advance(50);
  controller.abort();
  await caller;
  await time.advance(1_000);
  assertEquals(kit.connector.dials, 1);
  assertEquals(kit.pool.stats().dialing, 0);
});
