import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { FakeTime, flush, Kit } from "../_kit.ts";

const host = "ops@db1";

async function acquireInHere(kit: Kit) {
  return await kit.pool.acquire(host);
}

Deno.test("ConnectionPool reports a lease that is held too long, with the stack of its acquire", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { leakDetectionMs: 1_000 });
  await kit.pool.getConnection(host);
  const forgotten = await acquireInHere(kit);
  using released = await kit.pool.acquire(host);
  await time.advance(999);
  released.release();
  assertEquals(await kit.told("leak"), []);
  await time.advance(1);
  const [leak, ...others] = await kit.told("leak");
  assertEquals(others, []);
  assert(leak?.type === "leak");
  assertEquals([leak.host, leak.heldMs], ["ops@db1:22", 1_000]);
  assertStringIncludes(leak.stack, "lease_tracker_test.ts");
  assertStringIncludes(leak.stack, "acquireInHere");
  await time.advance(60_000);
  assertEquals((await kit.told("leak")).length, 1, "once");
  forgotten.release();
});

Deno.test("ConnectionPool reports the stack of an acquire that had to wait", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { leakDetectionMs: 1_000 });
  const lease = await acquireInHere(kit); // cold: it waits for the dial
  await time.advance(1_000);
  const [leak] = await kit.told("leak");
  assert(leak?.type === "leak");
  assertStringIncludes(leak.stack, "acquireInHere");
  lease.release();
});

Deno.test("ConnectionPool reports no lease that was released, also while acquire() is traced", async () => {
  using time = new FakeTime();
  const name = "tracing:sshpool:acquire:start";
  const listener = () => {};
  subscribe(name, listener);
  try {
    await using kit = new Kit({}, { leakDetectionMs: 1_000 });
    (await kit.pool.acquire(host)).release();
    await time.advance(1_000);
    assertEquals(await kit.told("leak"), []);
  } finally {
    unsubscribe(name, listener);
  }
});

Deno.test("ConnectionPool reports no lease by default, and arms no timer for it", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { idleTimeoutMs: 0 });
  const lease = await kit.pool.acquire(host);
  assertEquals(time.pending, 0);
  await time.advance(3_600_000);
  await flush();
  assertEquals(await kit.told("leak"), []);
  lease.release();
});

Deno.test("ConnectionPool gives the slots of leases that were garbage collected back", async () => {
  // The collector can be called only where a flag allows it.
  const script = new URL("../_forgotten_leases.ts", import.meta.url);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--v8-flags=--expose-gc", script.href],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  assertEquals(JSON.parse(new TextDecoder().decode(stdout)), {
    before: 3,
    after: 1,
    isKeptReleased: false,
    reclaimed: 2,
    told: [{ type: "reclaimed", host: "ops@db1:22", slots: 2 }],
  });
});
