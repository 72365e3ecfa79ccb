import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { ConnectionPool, type FanOutResult } from "../../pool/mod.ts";
import { MemoryConnector } from "../../transport/testing/memory_connector.ts";

function makePool(): ConnectionPool {
  return new ConnectionPool({ connector: new MemoryConnector() });
}

Deno.test("ConnectionPool.fanOut() yields results as they come, failures among them", async () => {
  await using pool = makePool();
  const slow = Promise.withResolvers<void>();
  const seen: FanOutResult<string>[] = [];
  for await (
    const result of pool.fanOut(["u@a", "u@b", "u@c"], async (host) => {
      if (host === "u@a") await slow.promise;
      if (host === "u@b") throw new Error("no luck");
      return (await pool.exec(host, `echo ${host}`)).stdout;
    })
  ) {
    seen.push(result);
    if (seen.length === 2) slow.resolve();
  }
  assertEquals(seen.map((r) => r.host), ["u@b", "u@c", "u@a"]);
  assertEquals(seen.map((r) => r.ok), [false, true, true]);
  assertEquals(seen[2]?.ok === true && seen[2].value, "u@a\n");
});

Deno.test("ConnectionPool.fanOut() works on no more hosts at once than it may", async () => {
  await using pool = makePool();
  let running = 0;
  let most = 0;
  const hosts = Array.from({ length: 20 }, (_, i) => `u@h${i}`);
  let results = 0;
  for await (
    const _ of pool.fanOut(hosts, async (host) => {
      most = Math.max(most, ++running);
      await pool.exec(host, "true");
      running--;
    }, { concurrency: 3 })
  ) results++;
  assertEquals([most, results], [3, 20]);
});

Deno.test("ConnectionPool.fanOut() aborts what is under way when its loop is left", async () => {
  await using pool = makePool();
  const allBegun = Promise.withResolvers<void>();
  const aborted: unknown[] = [];
  const work = async (host: unknown, signal: AbortSignal) => {
    if (host === "u@a") return await allBegun.promise;
    if (host === "u@c") allBegun.resolve();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    aborted.push(host);
  };
  for await (const result of pool.fanOut(["u@a", "u@b", "u@c"], work)) {
    assertEquals(result.host, "u@a");
    break;
  }
  assertEquals(aborted, ["u@b", "u@c"]);
});

Deno.test("ConnectionPool.fanOut() throws the reason of its signal and waits for what runs", async () => {
  await using pool = makePool();
  const controller = new AbortController();
  const reason = new Error("enough");
  let settled = 0;
  const error = await assertRejects(async () => {
    const work = (_: unknown, signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          settled++;
          resolve();
        });
        if (++begun === 2) controller.abort(reason);
      });
    let begun = 0;
    const { signal } = controller;
    for await (const _ of pool.fanOut(["u@a", "u@b"], work, { signal }));
  });
  assertStrictEquals(error, reason);
  assertEquals(settled, 2);
});

Deno.test("ConnectionPool.fanOut() takes hosts from an async source, and passes its error on", async () => {
  await using pool = makePool();
  async function* source() {
    yield "u@a";
    await Promise.resolve();
    throw new TypeError("the inventory is broken");
  }
  const seen: unknown[] = [];
  const error = await assertRejects(async () => {
    for await (const r of pool.fanOut(source(), (host) => host)) {
      seen.push(r.host);
    }
  });
  assertInstanceOf(error, TypeError);
  assertEquals(seen, ["u@a"]);
});

Deno.test("ConnectionPool.fanOut() names a bad concurrency", async () => {
  await using pool = makePool();
  await assertRejects(
    async () => {
      for await (const _ of pool.fanOut([], () => {}, { concurrency: 0 }));
    },
    RangeError,
    "concurrency is 0, must be a whole number of at least 1",
  );
});
