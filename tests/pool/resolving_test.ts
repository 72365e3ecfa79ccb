/** Callers that wait for a resolver: abort, timeout and close reach them. */

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { AcquireTimeoutError, PoolClosedError } from "../../pool/mod.ts";
import type { ResolvedHost } from "../../transport/host/host.ts";
import type {
  HostResolver,
  ResolveOptions,
} from "../../transport/host/resolver.ts";
import { errorOf, FakeTime, Kit, stateOf } from "./_kit.ts";

/** A resolver that answers when the test says so. */
class SlowResolver implements HostResolver {
  readonly answers: PromiseWithResolvers<ResolvedHost>[] = [];
  signal: AbortSignal | undefined;

  resolve(_host: unknown, options?: ResolveOptions): Promise<ResolvedHost> {
    const answer = Promise.withResolvers<ResolvedHost>();
    this.answers.push(answer);
    this.signal = options?.signal;
    return answer.promise;
  }
}

const db1: ResolvedHost = { hostname: "db1", user: "ops", port: 22 };

Deno.test("ConnectionPool frees a caller that waits for a resolver when its signal aborts, and only that one", async () => {
  const resolver = new SlowResolver();
  await using kit = new Kit({}, { resolver });
  const controller = new AbortController();
  const { signal } = controller;
  const left = [
    kit.pool.exec("db1", "true", { signal }),
    kit.pool.getConnection("db1", { signal }),
    kit.pool.acquire("db1", { signal }),
    kit.pool.spawn("db1", "true", { signal }),
    kit.pool.sftp("db1", { signal }),
  ];
  const stays = kit.pool.exec("db1", "echo stays");
  controller.abort(new TypeError("the caller's reason"));
  for (const promise of left) {
    await assertRejects(() => promise, TypeError, "the caller's reason");
  }
  assertEquals(resolver.answers.length, 1, "the files are read once for all");
  resolver.answers[0]!.resolve(db1);
  assertEquals((await stays).stdout, "stays\n");
});

Deno.test("ConnectionPool's acquireTimeoutMs covers the wait for a resolver", async () => {
  using time = new FakeTime();
  const resolver = new SlowResolver();
  await using kit = new Kit({}, { resolver, acquireTimeoutMs: 500 });
  const late = errorOf(kit.pool.exec("db1", "true"));
  const never = kit.pool.exec("db1", "true", { acquireTimeoutMs: 0 });
  await time.advance(499);
  assertEquals(await stateOf(late), "pending");
  await time.advance(1);
  const error = await late;
  assertInstanceOf(error, AcquireTimeoutError);
  assertEquals(
    error.message,
    'Cannot acquire "db1" within 500 ms: the host is still being looked up',
  );
  assertEquals(error.snapshot.reason, "resolving");
  await time.advance(10_000);
  assertEquals(await stateOf(never), "pending");
  resolver.answers[0]!.resolve(db1);
  assertEquals((await never).code, 0);
});

Deno.test("ConnectionPool asks a resolver again that has failed", async () => {
  const resolver = new SlowResolver();
  await using kit = new Kit({}, { resolver });
  const first = errorOf(kit.pool.exec("db1", "true"));
  resolver.answers[0]!.reject(new Error("the file is locked"));
  assertEquals((await first).message, "the file is locked");
  const second = kit.pool.exec("db1", "echo found");
  resolver.answers[1]?.resolve(db1);
  assertEquals((await second).stdout, "found\n");
});

Deno.test("ConnectionPool.close() frees callers that wait for a resolver, and tells the resolver", async () => {
  const resolver = new SlowResolver();
  const kit = new Kit({}, { resolver });
  const waiting = errorOf(kit.pool.exec("db1", "true"));
  await kit.pool.close();
  assertInstanceOf(await waiting, PoolClosedError);
  assertEquals(resolver.signal?.aborted, true);
  resolver.answers[0]!.reject(new Error("too late, and nobody's problem"));
});

Deno.test("ConnectionPool dials nothing for a caller whose host is found after the pool was closed", async () => {
  const resolver = new SlowResolver();
  await using kit = new Kit({}, { resolver });
  const waiting = errorOf(kit.pool.exec("db1", "true"));
  const closed = kit.pool.close();
  resolver.answers[0]!.resolve(db1);
  await closed;
  assertInstanceOf(await waiting, PoolClosedError);
  assertEquals(kit.connector.dials, 0);
});
