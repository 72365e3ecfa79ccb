// The shapes of a fan-out: entries that have a host, hosts of any type, and all
// results at once.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  ConnectionPool,
  type FanOutResult,
  type SshHost,
} from "../../../pool/mod.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { gate } from "../_kit.ts";

interface Entry {
  readonly role: string;
  readonly ssh: string | SshHost | URL;
}

const INVENTORY: readonly Entry[] = [
  { role: "web", ssh: "ops@a" },
  { role: "db", ssh: { hostname: "b", user: "ops", password: "hunter2" } },
  { role: "cache", ssh: new URL("ssh://ops@c:2222") },
];

function makePool(): ConnectionPool {
  return new ConnectionPool({ connector: new MemoryConnector() });
}

Deno.test("ConnectionPool.fanOut() with the option host runs a command on the hosts of entries, and its results have the entries", async () => {
  await using pool = makePool();
  const results = await pool.fanOut(INVENTORY, "echo up", {
    host: (entry) => entry.ssh,
  });
  // The type of the entry is kept: a wrong name is an error of the type check.
  const roles: string[] = results.map(({ host }) => host.role);
  assertEquals(roles, ["web", "db", "cache"]);
  assertEquals(results.map(({ name }) => name), [
    "ops@a",
    "ops@b:22",
    "ssh://ops@c:2222",
  ]);
  for (const result of results) {
    assert(result.ok);
    assertEquals(result.value.stdout, "up\n");
  }
  assertEquals(JSON.stringify(results).includes("hunter2"), false);
  assertEquals(pool.activeHosts, ["ops@a:22", "ops@b:22", "ops@c:2222"]);
});

Deno.test("ConnectionPool.fanOut() gives work the entries, in the type that the caller has", async () => {
  await using pool = makePool();
  const seen: Entry[] = [];
  const results = await pool.fanOut(INVENTORY, async (entry, signal) => {
    seen.push(entry);
    const { stdout } = await pool.exec(entry.ssh, ["echo", entry.role], {
      signal,
    });
    return stdout.length;
  }, { host: (entry) => entry.ssh });
  assertEquals(seen, [...INVENTORY]);
  assertEquals(results.map((it) => it.ok && it.value), [4, 3, 6]);
  assertStrictEquals(results[1]?.host, INVENTORY[1]);
});

Deno.test("ConnectionPool.fanOut() keeps a host type of the caller's own", async () => {
  interface Labelled extends SshHost {
    readonly rack: number;
  }
  await using pool = makePool();
  const hosts: Labelled[] = [{ hostname: "a", user: "ops", rack: 7 }];
  const results = await pool.fanOut(hosts, ({ rack }) => rack);
  const rack: number | undefined = results[0]?.host.rack;
  assertEquals([rack, results[0]?.ok && results[0].value], [7, 7]);
  const names: FanOutResult<string, "ops@a" | "ops@b">[] = await pool
    .fanOut(["ops@a", "ops@b"] as const, (host) => host);
  assertEquals(names.map(({ host }) => host), ["ops@a", "ops@b"]);
});

Deno.test("ConnectionPool.fanOut() takes a failure of the option host for that of its entry alone", async () => {
  await using pool = makePool();
  const broken = new EvalError("no address");
  const results = await pool.fanOut(INVENTORY, "true", {
    host: (entry) => {
      if (entry.role === "db") throw broken;
      return entry.ssh;
    },
  });
  assertEquals(results.map(({ ok }) => ok), [true, false, true]);
  const [, failed] = results;
  assert(failed?.ok === false);
  assertStrictEquals(failed.error, broken);
});

Deno.test("awaiting a fan-out gives the results in the order of the hosts, whichever ends first", async () => {
  await using pool = makePool();
  const first = gate();
  const running = pool.fanOut(["a", "b", "c"], async (host) => {
    if (host === "a") await first.promise;
    else if (host === "c") first.open();
    return host;
  });
  const results = await running;
  assertEquals(results.map((it) => it.ok && it.value), ["a", "b", "c"]);
  assertStrictEquals(await running, results);
  assertEquals(await pool.fanOut([], "true"), []);
});

Deno.test("awaiting a fan-out rejects as its loop throws, and begins nothing before", async () => {
  await using pool = makePool();
  let begun = 0;
  const aborted = AbortSignal.abort(new EvalError("enough"));
  const work = () => begun++;
  const running = pool.fanOut(["a"], work, { signal: aborted });
  await Promise.resolve();
  assertEquals(begun, 0);
  await assertRejects(async () => await running, EvalError, "enough");
  const source = (function* () {
    yield "a";
    throw new EvalError("the source");
  })();
  await assertRejects(
    async () => await pool.fanOut(source, work),
    EvalError,
    "the source",
  );
});

Deno.test("a fan-out is looped over or awaited, and says so if it is both", async () => {
  await using pool = makePool();
  const running = pool.fanOut(["a", "b"], (host) => host);
  for await (const { host } of running) {
    assert(host === "a" || host === "b");
    break;
  }
  const error = await running.then(() => undefined, (error) => error);
  assertInstanceOf(error, TypeError);
  assertEquals(
    error.message,
    "Cannot await the fan-out: it is being looped over, must be one of both",
  );
});
