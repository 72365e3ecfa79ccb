import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { Directory } from "../../../pool/core/directory.ts";
import type { Lane } from "../../../pool/lane/lane.ts";
import type { ResolvedHost, SshHost } from "../../../transport/host/host.ts";
import { PlainResolver } from "../../../transport/host/resolver.ts";
import { flush, gate, Kit, range } from "../_kit.ts";

const db1 = { hostname: "db1", user: "ops" };

Deno.test("Directory finds one lane for a string and an object that mean the same host", async () => {
  await using kit = new Kit();
  const all = await Promise.all([
    kit.pool.getConnection("ops@db1"),
    kit.pool.getConnection("ssh://ops@db1:22"),
    kit.pool.getConnection(db1),
    kit.pool.getConnection({ ...db1, port: 22, alias: "a label" }),
  ]);
  assertEquals(new Set(all).size, 1);
  assertEquals(kit.connector.dials, 1);
});

Deno.test("Directory takes a host object that was changed for another host", async () => {
  await using kit = new Kit();
  const host: { -readonly [K in keyof SshHost]: SshHost[K] } = {
    ...db1,
    password: "right",
    jump: [{ hostname: "gate", user: "ops" }],
  };
  const first = await kit.pool.getConnection(host);
  assertStrictEquals(await kit.pool.getConnection(host), first);
  host.password = "wrong";
  const second = await kit.pool.getConnection(host);
  assert(second !== first);
  assertEquals(second.host.password, "wrong");
  assertEquals(first.host.password, "right", "the first has its own copy");
  (host.jump as SshHost[])[0] = { hostname: "gate2", user: "ops" };
  const third = await kit.pool.getConnection(host);
  assert(third !== second);
  assertEquals(third.host.jump?.[0]?.hostname, "gate2");
});

Deno.test("Directory sees that the bytes of a key were changed in place", async () => {
  await using kit = new Kit();
  const privateKey = Buffer.from("the first key");
  const first = await kit.pool.getConnection({ ...db1, privateKey });
  const host = { ...db1, privateKey };
  assertStrictEquals(await kit.pool.getConnection(host), first);
  privateKey.write("THE");
  assert(await kit.pool.getConnection(host) !== first);
});

Deno.test("Directory dials each of many cold hosts once, however often it is named", async () => {
  // More than what makes the directory look for lanes to forget.
  const hosts = [...range(200), ...range(200)].map((i) => `ops@db${i}`);
  const open = gate();
  await using kit = new Kit({ onDial: () => open.promise });
  const all = hosts.map((host) => kit.pool.getConnection(host));
  await flush();
  open.open();
  const connections = await Promise.all(all);
  assertEquals(new Set(connections).size, 200);
  assertEquals(kit.connector.dials, 200);
  assertEquals(kit.pool.activeHosts.length, 100, "maxConnections");
});

Deno.test("Directory keeps lanes that are found while a resolver is asked", async () => {
  const plain = new PlainResolver();
  const resolver = {
    resolve: (host: string | SshHost): Promise<ResolvedHost> =>
      Promise.resolve(plain.resolve(host)),
  };
  await using kit = new Kit({}, { resolver, maxConnections: 500 });
  const hosts = [...range(200), ...range(200)].map((i) => `ops@db${i}`);
  await Promise.all(hosts.map((host) => kit.pool.exec(host, "true")));
  assertEquals(kit.connector.dials, 200);
  assertEquals(kit.pool.stats().hosts.length, 200);
});

Deno.test("Directory forgets lanes that nobody uses, and takes them back", async () => {
  await using kit = new Kit();
  const host = { ...db1, password: "x" };
  await kit.pool.exec(host, "true");
  await kit.pool.closeAll();
  for (const i of range(500)) {
    await kit.pool.exec(`ops@web${i}`, "true");
    await kit.pool.removeConnection(`ops@web${i}`);
  }
  const again = await kit.pool.getConnection(host);
  const equal = await kit.pool.getConnection({ ...host });
  assertStrictEquals(again, equal, "one lane, by the object and by its key");
  assertEquals(kit.pool.stats().hosts.length, 1);
});

/** A directory by itself, whose lanes are in use, and what it has done. */
function setUp() {
  const asked: unknown[] = [];
  const notices: string[] = [];
  const plain = new PlainResolver();
  const directory = new Directory(
    {
      resolve: (host) => {
        asked.push(host);
        return typeof host === "string"
          ? { ...db1, port: 22 }
          : plain.resolve(host);
      },
    },
    (host, key) => ({ host, key, isLive: true, isEmpty: false }) as Lane,
    (_host, { code }) => notices.push(code),
    new AbortController().signal,
    false,
  );
  return { directory, asked, notices };
}

/** More than a directory remembers. */
const MANY = 20_001;

Deno.test("Directory forgets names of a host that is in use when they are too many, and looks them up again", () => {
  const { directory, asked } = setUp();
  const lanes = new Set(range(MANY).map((i) => directory.find(`job-${i}`)));
  assertEquals([lanes.size, asked.length], [1, MANY]);
  assertEquals(directory.known("job-0"), undefined);
  lanes.add(directory.find("job-0"));
  directory.find("job-0");
  assertEquals([lanes.size, asked.length], [1, MANY + 1]);
});

Deno.test("Directory forgets which hosts have functions when they are too many, and still tells that they differ", () => {
  const { directory, notices } = setUp();
  const password = () => "p";
  for (const i of range(MANY)) {
    directory.find({ ...db1, hostname: `db${i}`, password });
  }
  const differs = () =>
    directory.find({ ...db1, hostname: "db0", password: () => "q" });
  differs();
  assertEquals(notices, []);
  differs();
  assertEquals(notices, ["host-functions-differ"]);
});

Deno.test("Directory has one lane for a host whose lane was forgotten between finding and using it", async () => {
  const plain = new PlainResolver();
  const answer = Promise.withResolvers<void>();
  await using kit = new Kit({}, {
    maxConnections: 500,
    resolver: {
      resolve: (host) =>
        host === "ops@db1"
          ? answer.promise.then(() => plain.resolve(host))
          : plain.resolve(host),
    },
  });
  // Others make it look for lanes to forget, as soon as the lane is found.
  const others: Promise<unknown>[] = [];
  let second: Promise<unknown> | undefined;
  const first = kit.pool.exec("ops@db1", "true");
  (async () => {
    await answer.promise;
    for (let turn = 0; turn < 4; turn++) await null;
    for (const i of range(200)) {
      others.push(kit.pool.exec(`ops@web${i}`, "true"));
    }
    second = kit.pool.exec({ ...db1 }, "true");
  })();
  answer.resolve();
  await first;
  await second;
  await Promise.all(others);
  const dials = kit.events.filter((it) =>
    it.type === "dial" && it.host === "ops@db1:22"
  );
  assertEquals(dials.length, 1);
});

Deno.test("Directory keeps a lane whose last connection is draining", async () => {
  const open = gate();
  await using kit = new Kit({ commands: { wait: () => open.promise } });
  const running = kit.pool.exec(db1, "wait");
  await flush();
  const lease = await kit.pool.acquire(db1);
  lease.discard();
  for (const i of range(200)) {
    await kit.pool.exec(`ops@web${i}`, "true");
    await kit.pool.removeConnection(`ops@web${i}`);
  }
  assertEquals(kit.pool.activeHosts, ["ops@db1:22"]);
  assertEquals(kit.pool.stats().connections, 1);
  open.open();
  assertEquals((await running).code, 0);
  assertEquals(kit.pool.size, 0);
});

Deno.test("Directory asks the resolver again for a string whose lane is not in use", async () => {
  let port = 22;
  const plain = new PlainResolver();
  await using kit = new Kit({}, {
    resolver: {
      resolve: (host) => plain.resolve({ ...db1, port, alias: `${host}` }),
    },
  });
  assertEquals((await kit.pool.getConnection("web")).host.port, 22);
  port = 2222;
  assertEquals((await kit.pool.getConnection("web")).host.port, 22);
  await kit.pool.removeConnection("web");
  assertEquals((await kit.pool.getConnection("web")).host.port, 2222);
});

Deno.test("ConnectionPool refuses a malformed host with a TypeError, and names why", async () => {
  await using kit = new Kit();
  const bad = ["", "ops@db1:0", "ops@::1:22x", null, 7, {}, { hostname: 1 }];
  for (const host of bad as SshHost[]) {
    await assertRejects(() => kit.pool.getConnection(host), TypeError);
    await assertRejects(() => kit.pool.acquire(host), TypeError);
    await assertRejects(() => kit.pool.exec(host, "true"), TypeError);
  }
  assertEquals(kit.connector.dials, 0);
});

Deno.test("ConnectionPool reports a failing resolver to the caller alone", async () => {
  await using kit = new Kit({}, {
    resolver: { resolve: () => Promise.reject(new TypeError("bad file")) },
  });
  await assertRejects(() => kit.pool.exec("x", "true"), TypeError, "bad file");
  assertEquals(kit.pool.stats().hosts, []);
});
