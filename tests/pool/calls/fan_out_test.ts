import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  ConnectionPool,
  type FanOutProgress,
  type FanOutResult,
  type HostLike,
  type OutputSource,
  PoolClosedError,
} from "../../../pool/mod.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { errorOf, FakeTime, flush, gate, Kit, stateOf } from "../_kit.ts";

function makePool(): ConnectionPool {
  return new ConnectionPool({ connector: new MemoryConnector() });
}

/** Everything that a fan-out gives. */
async function all<T>(
  results: AsyncIterable<FanOutResult<T>>,
): Promise<FanOutResult<T>[]> {
  const found: FanOutResult<T>[] = [];
  for await (const result of results) found.push(result);
  return found;
}

/** Runs a loop to its end and gives its error. */
function errorIn(results: AsyncIterable<unknown>): Promise<Error> {
  return errorOf((async () => {
    for await (const _ of results);
  })());
}

/** Work that ends when its signal aborts, and not before. */
function untilAborted(_: HostLike, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/** A source that gives some hosts and then waits for ever, and counts. */
class StuckSource implements AsyncIterableIterator<string> {
  readonly #hosts: string[];
  /** How often it was closed. */
  returned = 0;
  /** Ends the wait for the host that it was asked for last. */
  settle: PromiseWithResolvers<IteratorResult<string>> = Promise
    .withResolvers();
  /** Resolves when it is asked for a host that does not come. */
  readonly stuck = gate();
  /** How often it was iterated. */
  opened = 0;

  constructor(...hosts: string[]) {
    this.#hosts = hosts;
  }

  [Symbol.asyncIterator](): this {
    this.opened++;
    return this;
  }

  next(): Promise<IteratorResult<string>> {
    const value = this.#hosts.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    this.stuck.open();
    return this.settle.promise;
  }

  /** As of a generator: it closes when the host that it was asked for is there. */
  async return(): Promise<IteratorResult<string>> {
    this.returned++;
    await this.settle.promise;
    return { done: true, value: undefined };
  }
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

Deno.test("ConnectionPool.fanOut() runs a command, with options of exec(), in place of a function", async () => {
  await using kit = new Kit({
    commands: {
      "cat 'a b'": async ({ stdin }) => ({
        stdout: await new Response(stdin).text(),
        code: 3,
      }),
    },
  });
  const hosts = ["u@a", "u@b"];
  const texts = await all(kit.pool.fanOut(hosts, "echo hi"));
  assertEquals(
    texts.map((result) => result.ok && result.value.stdout),
    ["hi\n", "hi\n"],
  );
  const exec = { stdin: "in", encoding: "bytes" } as const;
  const bytes = await all(kit.pool.fanOut(hosts, ["cat", "a b"], { exec }));
  for (const result of bytes) {
    assert(result.ok);
    const stdout: Uint8Array = result.value.stdout;
    assertEquals(stdout, new TextEncoder().encode("in"));
    assertEquals(result.value.code, 3);
  }
});

Deno.test("ConnectionPool.fanOut() fails a command by host, and gives it the signal of the fan-out", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  await using kit = new Kit({
    commands: { wait: () => new Promise(() => {}) },
    onDial: ({ hostname }) => hostname === "b" ? new Error("refused") : "ok",
  });
  const failed: string[] = [];
  const error = await errorOf((async () => {
    const options = { signal: controller.signal };
    const hosts = ["u@a", "u@b"];
    for await (const result of kit.pool.fanOut(hosts, "wait", options)) {
      if (!result.ok) failed.push(result.name);
      controller.abort(reason);
    }
  })());
  assertStrictEquals(error, reason);
  assertEquals(failed, ["u@b"]);
});

Deno.test("ConnectionPool.fanOut() names each result, and shows no credential of a host", async () => {
  await using pool = makePool();
  const hosts: HostLike[] = [
    "u@a",
    { hostname: "::1", user: "u", port: 2222, password: "hunter2" },
    { hostname: "10.0.0.7", alias: "db", password: "hunter2" },
    { hostname: "ops:hunter2@b" },
  ];
  const results = await all(pool.fanOut(hosts, () => "x", { concurrency: 1 }));
  assertEquals(results.map(({ name }) => name), [
    "u@a",
    "u@[::1]:2222",
    "db",
    "b:22",
  ]);
  for (const [i, result] of results.entries()) {
    assertStrictEquals(result.host, hosts[i]);
  }
  assert(!Deno.inspect(results, { depth: 9 }).includes("hunter2"));
  assert(!JSON.stringify(results).includes("hunter2"));
  const warmed = await pool.warm(["u@a", { hostname: "b", user: "u" }]);
  assertEquals(warmed.map(({ name }) => name), ["u@a", "u@b:22"]);
});

Deno.test("ConnectionPool.fanOut() gives the callbacks another source when a command is run again", async () => {
  let runs = 0;
  const connector: MemoryConnector = new MemoryConnector({
    commands: {
      hello: async ({ write, writeError }) => {
        runs++;
        await write("hel");
        await writeError("oh");
        if (runs === 1) await flush();
        if (runs === 1) connector.dropAll();
        await write("lo");
      },
    },
  });
  await using pool = new ConnectionPool({ connector });
  const sources: OutputSource[] = [];
  const ended: OutputSource[] = [];
  const told: string[] = [];
  const tell = (chunk: string, source: OutputSource) => {
    if (!sources.includes(source)) {
      sources.push(source);
      source.ended.then(() => ended.push(source));
    }
    const state = ended.includes(source) ? "ended" : "open";
    told.push(`${chunk} ${sources.indexOf(source)} ${source.host} ${state}`);
  };
  await pool.fanOut(["u@a"], "hello", {
    exec: { idempotent: true, onStdout: tell, onStderr: tell },
  });
  assertEquals(told, [
    "hel 0 u@a open",
    "oh 0 u@a open",
    "hel 1 u@a open",
    "oh 1 u@a open",
    "lo 1 u@a open",
  ]);
});

Deno.test("ConnectionPool.fanOut() gives what is no host a result, too", async () => {
  await using pool = makePool();
  const hosts = [null, 5, {}, { hostname: 7 }] as unknown as HostLike[];
  const results = await all(pool.fanOut(hosts, "true"));
  assertEquals(results.map(({ ok }) => ok), [false, false, false, false]);
  for (const result of results) {
    assert(!result.ok);
    assertInstanceOf(result.error, TypeError);
  }
});

Deno.test("ConnectionPool.fanOut() and warm() give a host whose getter throws a result, and go on", async () => {
  await using pool = makePool();
  const thrower = (name: string) =>
    Object.defineProperty({ hostname: "a", user: "ops" }, name, {
      enumerable: true,
      get() {
        throw new Error(`the getter of ${name}`);
      },
    });
  const everything = new Proxy({}, {
    get() {
      throw new Error("the getter of the proxy");
    },
  });
  const hosts = [
    ...["hostname", "alias", "user", "port"].map(thrower),
    everything as never,
    "ops@last",
  ];
  const results = await all(pool.fanOut(hosts, "true"));
  assertEquals(results.length, 6);
  assertEquals(results.filter(({ ok }) => ok).map(({ name }) => name), [
    "ops@last",
  ]);
  for (const result of results) {
    if (result.ok) continue;
    assertEquals([result.name, (result.error as Error).message.slice(0, 10)], [
      "unknown",
      "the getter",
    ]);
  }
  const warmed = await pool.warm(hosts);
  assertEquals(warmed.map(({ ok }) => ok), [
    ...Array(5).fill(false),
    true,
  ]);
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

Deno.test("ConnectionPool.fanOut() begins a host when the loop has left the result whose place it takes", async () => {
  await using pool = makePool();
  const begun: HostLike[] = [];
  const b = gate();
  const work = (host: HostLike) => {
    begun.push(host);
    return host === "u@b" ? b.promise : undefined;
  };
  const hosts = ["u@a", "u@b", "u@c", "u@d"];
  const begunAt: number[] = [];
  for await (const result of pool.fanOut(hosts, work, { concurrency: 2 })) {
    await flush();
    begunAt.push(begun.length);
    if (result.host === "u@c") b.open();
  }
  // While the first result is looked at, its place is not free.
  assertEquals(begunAt, [2, 3, 4, 4]);
});

Deno.test("ConnectionPool.fanOut() asks a source for no more hosts than there is room for", async () => {
  await using pool = makePool();
  const stop = gate();
  let asked = 0;
  function* endless() {
    for (;;) yield `u@h${asked++}`;
  }
  const results = pool.fanOut(endless(), () => stop.promise, {
    concurrency: 4,
  })[Symbol.asyncIterator]();
  const first = results.next();
  await flush();
  assertEquals(asked, 4);
  stop.open();
  assertEquals((await first).done, false);
  await results.return?.();
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

Deno.test("ConnectionPool.fanOut() stops the commands that run when its loop is left", async () => {
  // The clock stands still: nothing here waits for time to pass.
  using _time = new FakeTime();
  await using kit = new Kit({
    commands: {
      wait: ({ host }) => host === "u@a:22" ? {} : new Promise(() => {}),
    },
  });
  for await (const { name } of kit.pool.fanOut(["u@a", "u@b"], "wait")) {
    assertEquals(name, "u@a");
    break;
  }
  assertEquals(kit.pool.stats().slotsInUse, 0);
});

Deno.test("ConnectionPool.fanOut() waits a second for work that does not react to its signal", async () => {
  using time = new FakeTime();
  await using pool = makePool();
  const never = new Promise<void>(() => {});
  const results = pool.fanOut(
    ["u@a", "u@b"],
    (host) => host === "u@a" ? undefined : never,
  )[Symbol.asyncIterator]();
  assertEquals((await results.next()).value?.host, "u@a");
  const left = results.return!();
  await time.advance(999);
  assertEquals(await stateOf(left), "pending");
  await time.advance(1);
  assertEquals(await stateOf(left), { done: true, value: undefined });
  assertEquals(time.pending, 0);
});

Deno.test("ConnectionPool.fanOut() ignores what becomes of work that it did not wait for", async () => {
  using time = new FakeTime();
  await using pool = makePool();
  const late = Promise.withResolvers<void>();
  const told: FanOutProgress[] = [];
  const results = pool.fanOut(["u@a"], () => late.promise, {
    onProgress: (progress) => void told.push(progress),
  })[Symbol.asyncIterator]();
  const next = results.next();
  const left = results.return!();
  await time.advance(1_000);
  await left;
  assertEquals(await next, { done: true, value: undefined });
  const calls = told.length;
  late.reject(new Error("too late"));
  await flush();
  assertEquals(told.length, calls);
  assertEquals(told.at(-1)?.ended, true);
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
          assertStrictEquals(signal.reason, reason);
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

Deno.test("ConnectionPool.fanOut() throws the reason of a signal that has aborted, and asks for no host", async () => {
  await using pool = makePool();
  const source = new StuckSource();
  const signal = AbortSignal.abort(new Error("before"));
  const error = await errorIn(pool.fanOut(source, "true", { signal }));
  assertEquals(error.message, "before");
  assertEquals(await stateOf(source.stuck.promise), "pending");
});

Deno.test("ConnectionPool.fanOut() drops results that nobody has seen when its signal aborts", async () => {
  await using pool = makePool();
  const controller = new AbortController();
  const reason = new Error("enough");
  const seen: HostLike[] = [];
  const { signal } = controller;
  const error = await errorOf((async () => {
    const hosts = ["u@a", "u@b"];
    for await (const result of pool.fanOut(hosts, () => 1, { signal })) {
      seen.push(result.host);
      controller.abort(reason);
    }
  })());
  assertStrictEquals(error, reason);
  assertEquals(seen, ["u@a"]);
});

Deno.test("ConnectionPool.fanOut() throws no error of its own in a loop that is left", async () => {
  await using pool = makePool();
  const controller = new AbortController();
  const { signal } = controller;
  for await (const _ of pool.fanOut(["u@a", "u@b"], () => 1, { signal })) {
    controller.abort(new Error("enough"));
    break;
  }
});

Deno.test("ConnectionPool.fanOut() throws its error once, and is at its end then", async () => {
  await using pool = makePool();
  const signal = AbortSignal.abort(new Error("before"));
  const results = pool.fanOut(["u@a"], () => 1, { signal });
  assertEquals((await errorIn(results)).message, "before");
  assertEquals(await all(results), []);
});

Deno.test("ConnectionPool.fanOut() does not listen to a signal any more when it has ended", async () => {
  await using pool = makePool();
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  Object.assign(signal, {
    addEventListener: (...args: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(signal, args);
    },
    removeEventListener: (...args: Parameters<typeof removeEventListener>) => {
      listeners--;
      removeEventListener.apply(signal, args);
    },
  });
  const results = pool.fanOut(["u@a"], () => listeners, { signal });
  const [result] = await all(results);
  assertEquals([result?.ok && result.value, listeners], [1, 0]);
});

Deno.test("ConnectionPool.fanOut() is left at once while its source is pending", async () => {
  // The clock stands still: no grace ends the wait for the source.
  using _time = new FakeTime();
  await using pool = makePool();
  const source = new StuckSource("u@a");
  for await (const { host } of pool.fanOut(source, () => 1)) {
    assertEquals(host, "u@a");
    await source.stuck.promise;
    break;
  }
  assertEquals(source.returned, 1);
});

Deno.test("ConnectionPool.fanOut() is left by return() while next() is pending", async () => {
  // The clock stands still: no grace ends the wait for the source.
  using _time = new FakeTime();
  await using pool = makePool();
  const source = new StuckSource();
  const results = pool.fanOut(source, () => 1)[Symbol.asyncIterator]();
  const next = results.next();
  await source.stuck.promise;
  assertEquals(await results.return!(), { done: true, value: undefined });
  assertEquals(await next, { done: true, value: undefined });
  assertEquals(source.returned, 1);
});

Deno.test("ConnectionPool.fanOut() ends with its signal while its source is pending", async () => {
  // The clock stands still: no grace ends the wait for the source.
  using _time = new FakeTime();
  await using pool = makePool();
  const source = new StuckSource("u@a");
  const controller = new AbortController();
  const reason = new Error("enough");
  const options = { signal: controller.signal };
  const error = errorIn(pool.fanOut(source, untilAborted, options));
  await source.stuck.promise;
  controller.abort(reason);
  assertStrictEquals(await error, reason);
  assertEquals(source.returned, 1);
});

Deno.test("ConnectionPool.fanOut() ends with its pool while its source is pending", async () => {
  const pool = makePool();
  const source = new StuckSource("u@a");
  const seen: HostLike[] = [];
  const error = errorOf((async () => {
    for await (const { host } of pool.fanOut(source, "true")) seen.push(host);
  })());
  await source.stuck.promise;
  await flush();
  await pool.close();
  assertInstanceOf(await error, PoolClosedError);
  assertEquals([seen, source.returned], [["u@a"], 1]);
});

Deno.test("ConnectionPool.fanOut() lets what runs end when its pool closes, and begins nothing", async () => {
  const end = gate();
  const running = gate();
  const kit = new Kit({
    commands: {
      wait: async ({ host }) => {
        if (host === "u@b:22") running.open();
        await end.promise;
        return { stdout: host };
      },
    },
  });
  const seen: unknown[] = [];
  const error = errorOf((async () => {
    const hosts = ["u@a", "u@b", "u@c"];
    const options = { concurrency: 2 };
    for await (const result of kit.pool.fanOut(hosts, "wait", options)) {
      seen.push(result.ok ? result.value.stdout : result.error);
    }
  })());
  await running.promise;
  const closed = kit.pool.close();
  await flush();
  assertEquals(seen, []);
  end.open();
  assertInstanceOf(await error, PoolClosedError);
  assertEquals(seen, ["u@a:22", "u@b:22"]);
  await closed;
});

Deno.test("ConnectionPool.fanOut() tells that its pool closed, and not what its source said later", async () => {
  const pool = makePool();
  const end = gate();
  const source = new StuckSource("u@a");
  const error = errorIn(pool.fanOut(source, () => end.promise));
  await source.stuck.promise;
  await pool.close();
  source.settle.reject(new Error("too late"));
  await flush();
  end.open();
  assertInstanceOf(await error, PoolClosedError);
});

Deno.test("ConnectionPool.fanOut() ends well if all hosts were begun when its pool closes", async () => {
  const pool = makePool();
  const end = gate();
  const results = all(pool.fanOut(["u@a"], () => end.promise));
  await flush();
  await pool.close();
  end.open();
  assertEquals((await results).map(({ ok }) => ok), [true]);
});

Deno.test("ConnectionPool.fanOut() of a closed pool asks for no host", async () => {
  const pool = makePool();
  await pool.close();
  const source = new StuckSource();
  assertInstanceOf(
    await errorIn(pool.fanOut(source, "true")),
    PoolClosedError,
  );
  assertEquals(await stateOf(source.stuck.promise), "pending");
});

Deno.test("ConnectionPool.fanOut() takes no host and no error from a source that was left", async () => {
  await using pool = makePool();
  for (const isError of [false, true]) {
    const source = new StuckSource("u@a");
    const begun: HostLike[] = [];
    for await (const _ of pool.fanOut(source, (host) => begun.push(host))) {
      await source.stuck.promise;
      break;
    }
    if (isError) source.settle.reject(new Error("too late"));
    else source.settle.resolve({ done: false, value: "u@late" });
    await flush();
    assertEquals(begun, ["u@a"]);
  }
});

Deno.test("ConnectionPool.fanOut() closes a source that it does not wait for, and passes on what that throws", async () => {
  await using pool = makePool();
  const closed = gate();
  let isClosed = false;
  async function* source() {
    try {
      yield* ["u@a", "u@b"];
    } finally {
      await closed.promise;
      isClosed = true;
    }
  }
  const left = (async () => {
    const options = { concurrency: 1 };
    for await (const _ of pool.fanOut(source(), () => 1, options)) break;
  })();
  assertEquals(await stateOf(left), "pending");
  closed.open();
  await left;
  assertEquals(isClosed, true);
  function* failing() {
    try {
      yield* ["u@a", "u@b"];
    } finally {
      // deno-lint-ignore no-unsafe-finally -- what the test is about
      throw new TypeError("cannot close");
    }
  }
  const error = await errorOf((async () => {
    const options = { concurrency: 1 };
    for await (const _ of pool.fanOut(failing(), () => 1, options)) break;
  })());
  assertEquals(error.message, "cannot close");
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

Deno.test("ConnectionPool.fanOut() works once, however often it is iterated", async () => {
  await using pool = makePool();
  let works = 0;
  const results = pool.fanOut(["u@a", "u@b"], () => works++);
  assertEquals((await all(results)).length, 2);
  assertEquals((await all(results)).length, 0);
  assertEquals(works, 2);
});

Deno.test("ConnectionPool.fanOut() does nothing before it is asked for a result", async () => {
  await using pool = makePool();
  let works = 0;
  const results = pool.fanOut(["u@a"], () => works++);
  await flush();
  await results[Symbol.asyncIterator]().return?.();
  assertEquals(await all(results), []);
  assertEquals(works, 0);
  const source = new StuckSource();
  const left = pool.fanOut(source, "true")[Symbol.asyncIterator]();
  await left.return?.();
  assertEquals((await left.next()).done, true);
  assertEquals([source.opened, source.returned], [0, 0]);
});

Deno.test("ConnectionPool.fanOut() answers calls of next() that wait together, in their order", async () => {
  await using pool = makePool();
  const results = pool.fanOut(["u@a", "u@b"], (host) => host)
    [Symbol.asyncIterator]();
  const three = [results.next(), results.next(), results.next()];
  const found = await Promise.all(three);
  assertEquals(found.map(({ value }) => value?.host), [
    "u@a",
    "u@b",
    undefined,
  ]);
});

Deno.test("ConnectionPool.fanOut() tells how far it is", async () => {
  await using pool = makePool();
  const told: FanOutProgress[] = [];
  const work = (host: HostLike) => {
    if (host === "u@b") throw new Error("no luck");
  };
  const results = pool.fanOut(["u@a", "u@b"], work, {
    concurrency: 1,
    onProgress: (progress) => void told.push(progress),
  });
  await all(results);
  const total = 2;
  assertEquals(told, [
    { done: 0, failed: 0, running: 1, total, ended: false },
    { done: 1, failed: 0, running: 0, total, ended: false },
    { done: 1, failed: 0, running: 1, total, ended: false },
    { done: 2, failed: 1, running: 0, total, ended: false },
    { done: 2, failed: 1, running: 0, total, ended: true },
  ]);
});

Deno.test("ConnectionPool.fanOut() tells the total when it is known", async () => {
  await using pool = makePool();
  async function* some() {
    yield* ["u@a", "u@b"];
  }
  function* many() {
    yield* ["u@a", "u@b"];
  }
  const sources: [AsyncIterable<string> | Iterable<string>, boolean][] = [
    [["u@a", "u@b"], true],
    [new Set(["u@a", "u@b"]), true],
    [some(), false],
    [many(), false],
  ];
  for (const [source, isKnown] of sources) {
    const totals: unknown[] = [];
    await all(pool.fanOut(source, () => 1, {
      onProgress: ({ total }) => void totals.push(total),
    }));
    assertEquals(totals[0], isKnown ? 2 : undefined);
    assertEquals(totals.at(-1), 2);
  }
});

Deno.test("ConnectionPool.fanOut() tells the total as soon as a pending source ends", async () => {
  await using pool = makePool();
  const source = new StuckSource("u@a");
  const end = gate();
  const totals: unknown[] = [];
  const results = all(pool.fanOut(source, () => end.promise, {
    onProgress: ({ total }) => void totals.push(total),
  }));
  await source.stuck.promise;
  assertEquals(totals, [undefined]);
  source.settle.resolve({ done: true, value: undefined });
  await flush();
  assertEquals(totals, [undefined, 1]);
  end.open();
  await results;
});

Deno.test("ConnectionPool.fanOut() tells its end however it ends, when nothing runs any more", async () => {
  await using pool = makePool();
  const hosts = ["u@a", "u@b", "u@c"];
  const work = (host: HostLike, signal: AbortSignal) =>
    host === "u@a" ? undefined : untilAborted(host, signal);
  const controller = new AbortController();
  const leave = async (onProgress: (progress: FanOutProgress) => void) => {
    for await (const _ of pool.fanOut(hosts, work, { onProgress })) break;
  };
  const abort = async (onProgress: (progress: FanOutProgress) => void) => {
    const options = { onProgress, signal: controller.signal };
    for await (const _ of pool.fanOut(hosts, work, options)) {
      controller.abort();
    }
  };
  for (const end of [leave, abort]) {
    const told: FanOutProgress[] = [];
    await end((progress) => void told.push(progress)).catch(() => {});
    assertEquals(told.filter(({ ended }) => ended), [
      { done: 3, failed: 2, running: 0, total: 3, ended: true },
    ]);
    assertEquals(told.at(-1)?.ended, true);
  }
});

Deno.test("ConnectionPool.fanOut() ends with what onProgress throws", async () => {
  await using pool = makePool();
  for (const at of [0, 1, 2]) {
    let calls = 0;
    const onProgress = () => {
      if (calls++ === at) throw new Error(`call ${at}`);
    };
    const error = await errorIn(
      pool.fanOut(["u@a"], () => 1, { onProgress }),
    );
    assertEquals(error.message, `call ${at}`);
  }
});

Deno.test("ConnectionPool.fanOut() refuses what it cannot work with, before anything runs", async () => {
  await using pool = makePool();
  // deno-lint-ignore no-explicit-any -- what a caller without types may give
  const fanOut = (...args: any[]) => () =>
    (pool.fanOut as (...args: unknown[]) => unknown).apply(pool, args);
  const stdin = new ReadableStream();
  const cases: [unknown[], string][] = [
    [["u@a", "true"], "hosts is a string, must be an iterable of hosts"],
    [[undefined, "true"], "hosts is undefined, must be an iterable"],
    [[[]], "work is undefined, must be a command or a function"],
    [[[], ""], "Cannot run the command: it is empty"],
    [[[], ["a", 5]], "item 1 is a number, must be a string"],
    [[[], "x", { exec: { stdin } }], "exec.stdin is a stream, must be text"],
    [[[], "x", { exec: { timeout: 5 } }], `did you mean "timeoutMs"`],
    [
      [[], "x", { exec: { signal: new AbortController().signal } }],
      "give the signal to the fan-out",
    ],
    [[[], "x", { exec: 5 }], "options"],
    [[[], () => {}, { exec: {} }], "the option exec has no effect"],
    [[[], "x", { onProgress: 1 }], "onProgress is 1, must be a func"],
    [
      [[], "x", { concurency: 1 }],
      `there is no option "concurency", did you mean "concurrency"?`,
    ],
  ];
  for (const [args, message] of cases) {
    assertThrows(fanOut(...args), TypeError, message);
  }
  assertThrows(
    fanOut([], "x", { concurrency: 0 }),
    RangeError,
    "concurrency is 0, must be a whole number of at least 1",
  );
  await stdin.cancel();
});
