import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { PoolClosedError } from "../../pool/mod.ts";
import type { Lease } from "../../pool/mod.ts";
import { errorOf, flush, Kit, range, stateOf } from "./_kit.ts";

const host = "ops@db1";
/** One connection with two slots: what waits, waits for a slot. */
const two = { maxConnectionsPerHost: 1, maxSessionsPerConnection: 2 };

function slots(kit: Kit) {
  const { slots, slotsInUse, waiting } = kit.pool.stats();
  return { slots, slotsInUse, waiting };
}

Deno.test("ConnectionPool.acquire() takes a slot, and Lease.release() gives it back once", async () => {
  await using kit = new Kit({}, two);
  const a = await kit.pool.acquire(host);
  const b = await kit.pool.acquire(host);
  assertEquals(slots(kit), { slots: 2, slotsInUse: 2, waiting: 0 });
  assertEquals(a.isReleased, false);
  a.release();
  assertEquals(a.isReleased, true);
  a.release();
  a[Symbol.dispose]();
  a.discard();
  assertEquals(slots(kit), { slots: 2, slotsInUse: 1, waiting: 0 });
  assertStrictEquals(a.connection, b.connection);
  b.release();
  assertEquals(slots(kit).slotsInUse, 0);
});

Deno.test("Lease gives its slot back at the end of a using block, also by a throw", async () => {
  await using kit = new Kit({}, two);
  await errorOf((async () => {
    using lease = await kit.pool.acquire(host);
    assertEquals((await lease.connection.exec("echo hi")).stdout, "hi\n");
    throw new Error("of the block");
  })());
  assertEquals(slots(kit).slotsInUse, 0);
});

Deno.test("ConnectionPool.acquire() never has more than all slots out", async () => {
  await using kit = new Kit({}, {
    ...two,
    maxConnectionsPerHost: 3,
    acquireTimeoutMs: 0,
  });
  const held: Lease[] = [];
  const all = range(20).map(async () => {
    const lease = await kit.pool.acquire(host);
    held.push(lease);
    assert(slots(kit).slotsInUse <= slots(kit).slots);
    assert(kit.pool.size <= 3);
    await flush();
    held.splice(held.indexOf(lease), 1);
    lease.release();
    lease.release();
  });
  await Promise.all(all);
  assertEquals(slots(kit).slotsInUse, 0);
});

Deno.test("Lease.release() gives the slot to the oldest waiter", async () => {
  await using kit = new Kit({}, { ...two, maxSessionsPerConnection: 1 });
  const first = await kit.pool.acquire(host);
  const order: number[] = [];
  const waiters = range(5).map(async (i) => {
    using _lease = await kit.pool.acquire(host);
    order.push(i);
    await flush();
  });
  await flush();
  assertEquals(slots(kit), { slots: 1, slotsInUse: 1, waiting: 5 });
  first.release();
  await Promise.all(waiters);
  assertEquals(order, [0, 1, 2, 3, 4]);
});

Deno.test("ConnectionPool.acquire() does not overtake those who wait", async () => {
  await using kit = new Kit({}, { ...two, maxSessionsPerConnection: 1 });
  const first = await kit.pool.acquire(host);
  const waiter = kit.pool.acquire(host);
  await flush();
  first.release();
  // The slot is promised, though its owner has not run yet.
  const late = kit.pool.acquire(host);
  assertEquals(await stateOf(late), "pending");
  (await waiter).release();
  (await late).release();
});

Deno.test("ConnectionPool.acquire() lets this waiter go on abort, and no other", async () => {
  await using kit = new Kit({}, { ...two, maxSessionsPerConnection: 1 });
  const first = await kit.pool.acquire(host);
  const aborts = range(5).map(() => new AbortController());
  const order: number[] = [];
  const waiters = aborts.map(async ({ signal }, i) => {
    using _lease = await kit.pool.acquire(host, { signal });
    order.push(i);
  });
  await flush();
  const reason = new Error("enough");
  aborts[2]!.abort(reason);
  assertStrictEquals(await stateOf(waiters[2]!), reason);
  assertEquals(slots(kit).waiting, 4);
  first.release();
  await Promise.all(waiters.filter((_, i) => i !== 2));
  assertEquals(order, [0, 1, 3, 4]);
});

Deno.test("ConnectionPool.acquire() gives the slot on when its abort crosses the hand-off", async () => {
  await using kit = new Kit({}, { ...two, maxSessionsPerConnection: 1 });
  const first = await kit.pool.acquire(host);
  const controller = new AbortController();
  const leaver = kit.pool.acquire(host, { signal: controller.signal });
  const next = kit.pool.acquire(host);
  await flush();
  first.release(); // handed to the leaver, which has not run yet
  controller.abort(new Error("too late"));
  assertEquals((await errorOf(leaver)).message, "too late");
  const lease = await next;
  assertEquals(slots(kit), { slots: 1, slotsInUse: 1, waiting: 0 });
  lease.release();
  assertEquals(slots(kit).slotsInUse, 0);
});

Deno.test("ConnectionPool.exec() gives the slot on when its abort crosses the hand-off", async () => {
  await using kit = new Kit({}, { ...two, maxSessionsPerConnection: 1 });
  const first = await kit.pool.acquire(host);
  const controller = new AbortController();
  const { signal } = controller;
  const leaver = kit.pool.exec(host, "true", { signal });
  const next = kit.pool.exec(host, "echo next");
  await flush();
  first.release();
  controller.abort(new Error("too late"));
  assertEquals((await errorOf(leaver)).message, "too late");
  assertEquals((await next).stdout, "next\n");
  assertEquals(kit.connector.channelsOpened, 1, "the leaver's never opened");
});

Deno.test("ConnectionPool.acquire() leaves no listener on a signal that lives on", async () => {
  await using kit = new Kit({}, two);
  let listeners = 0;
  const { signal } = new AbortController();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  const leases = range(5).map(() => kit.pool.acquire(host, { signal }));
  for (const lease of leases) (await lease).release();
  assertEquals(listeners, 0);
});

Deno.test("ConnectionPool.acquire() refuses a signal that has aborted, and dials nothing", async () => {
  await using kit = new Kit();
  const reason = new Error("before");
  const signal = AbortSignal.abort(reason);
  for (
    const call of [
      () => kit.pool.acquire(host, { signal }),
      () => kit.pool.getConnection(host, { signal }),
      () => kit.pool.exec(host, "true", { signal }),
      () => kit.pool.spawn(host, "true", { signal }),
    ]
  ) assertStrictEquals(await errorOf(call()), reason);
  assertEquals(kit.connector.dials, 0);
  await kit.pool.getConnection(host);
  for (
    const call of [
      () => kit.pool.acquire(host, { signal }),
      () => kit.pool.getConnection(host, { signal }),
      () => kit.pool.exec(host, "true", { signal }),
    ]
  ) assertStrictEquals(await errorOf(call()), reason, "when warm, too");
  assertEquals(slots(kit).slotsInUse, 0);
});

Deno.test("Lease.discard() takes the connection out of the pool, and lets its work end", async () => {
  await using kit = new Kit({}, two);
  const bad = await kit.pool.acquire(host);
  const other = await kit.pool.acquire(host);
  bad.discard();
  assertEquals(bad.isReleased, true);
  assertEquals(other.connection.isClosed, false, "somebody works on it");
  using fresh = await kit.pool.acquire(host);
  assert(fresh.connection !== bad.connection);
  assertEquals(kit.connector.dials, 2);
  other.release();
  assertEquals(bad.connection.isClosed, true);
  assertEquals(kit.pool.stats().counters.closed.discarded, 1);
});

Deno.test("Lease.release() is harmless when its connection has ended", async () => {
  await using kit = new Kit({}, two);
  const lease = await kit.pool.acquire(host);
  kit.connection(0).drop();
  await flush();
  assertEquals(kit.pool.size, 0);
  lease.release();
  lease.discard();
  (await kit.pool.acquire(host)).release();
  assertEquals(kit.connector.dials, 2);
});

Deno.test("ConnectionPool.acquire() hands a fresh connection to those who wait when theirs is lost", async () => {
  await using kit = new Kit({}, { ...two, maxSessionsPerConnection: 1 });
  const first = await kit.pool.acquire(host);
  const waiter = kit.pool.acquire(host);
  await flush();
  kit.connection(0).drop();
  const lease = await waiter;
  assert(lease.connection !== first.connection);
  lease.release();
  first.release();
});

Deno.test("ConnectionPool.acquire() on a closed pool is a PoolClosedError", async () => {
  const kit = new Kit({}, two);
  await kit.pool.close();
  const error = await errorOf(kit.pool.acquire(host));
  assert(error instanceof PoolClosedError);
  assertEquals(kit.connector.dials, 0);
});
