import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { DialLimiter } from "../../../pool/limits/dial_limiter.ts";
import { DialError } from "../../../transport/errors.ts";
import { errorOf, FakeTime, flush, gate, Kit, range } from "../_kit.ts";

const never = new AbortController().signal;

Deno.test("DialLimiter gives turns in the order of arrival, a throttled dial's first", async () => {
  const window = new DialLimiter(1);
  const order: string[] = [];
  const take = (name: string, front = false) =>
    window.take(never, front).then(() => order.push(name));
  await take("a");
  take("b");
  take("c");
  take("again", true);
  for (const _ of range(3)) {
    window.give("failed");
    await flush();
  }
  assertEquals(order, ["a", "again", "b", "c"]);
});

Deno.test("DialLimiter lets the one that aborts leave the line", async () => {
  const window = new DialLimiter(1);
  await window.take(never, false);
  const controller = new AbortController();
  const reason = new Error("enough");
  const leaver = errorOf(window.take(controller.signal, false));
  const stayer = window.take(never, false);
  controller.abort(reason);
  assertStrictEquals(await leaver, reason);
  window.give("ok");
  await stayer;
});

Deno.test("DialLimiter refuses a signal that has aborted, also when it is full", async () => {
  const window = new DialLimiter(1);
  await window.take(never, false);
  const reason = new Error("before");
  const late = errorOf(window.take(AbortSignal.abort(reason), false));
  assertStrictEquals(await late, reason);
});

Deno.test("DialLimiter closes by a factor when throttled, once in a burst, and opens by one a round", async () => {
  using time = new FakeTime();
  const window = new DialLimiter(32);
  for (const _ of range(32)) await window.take(never, false);
  for (const _ of range(10)) window.give("throttled");
  assertEquals(window.size, 22, "a burst of drops is one sign");
  await time.advance(60);
  window.give("throttled");
  assertEquals(window.size, 15);
  for (const _ of range(20)) {
    await time.advance(60);
    window.give("throttled");
  }
  window.give("failed"); // the last of the 32
  assertEquals(window.size, 4, "the lowest");
  for (const _ of range(4)) await window.take(never, false);
  for (const _ of range(4)) window.give("failed");
  assertEquals(window.size, 4, "a failure says nothing");
  for (const _ of range(5)) {
    await window.take(never, false);
    window.give("ok");
  }
  assertEquals(window.size, 5);
  for (const _ of range(2_000)) {
    await window.take(never, false);
    window.give("ok");
  }
  assertEquals(window.size, 32, "never more than the option");
});

Deno.test("ConnectionPool keeps to maxConcurrentDials over all hosts", async () => {
  await using kit = new Kit({ dialMs: 1 }, { maxConcurrentDials: 3 });
  await kit.pool.warm(range(20).map((i) => `ops@db${i}`));
  assertEquals([kit.connector.dials, kit.connector.maxDialsInFlight], [20, 3]);
});

Deno.test("ConnectionPool keeps to maxConcurrentDialsPerHost", async () => {
  using time = new FakeTime();
  const open = gate();
  await using kit = new Kit({
    onDial: (_host, attempt) => attempt === 1 ? "ok" : open.promise,
    commands: { wait: () => open.promise },
  }, {
    maxConnectionsPerHost: 10,
    maxConcurrentDialsPerHost: 2,
    maxSessionsPerConnection: 1,
  });
  const all = range(20).map(() => kit.pool.exec("ops@db1", "wait"));
  await time.advance(500);
  assertEquals(kit.connector.maxDialsInFlight, 2);
  assertEquals(kit.connector.dials, 3);
  open.open();
  await time.advance(500);
  await Promise.all(all);
});

Deno.test("ConnectionPool shows in its statistics that the window closed", async () => {
  using time = new FakeTime();
  await using kit = new Kit({
    onDial: (_host, attempt) =>
      attempt < 3 ? new DialError("banner", "x", { throttled: true }) : "ok",
  });
  const connection = kit.pool.getConnection("ops@db1");
  await flush();
  assert(kit.pool.stats().dialWindow < 32);
  await time.advance(5_000);
  await connection;
});
