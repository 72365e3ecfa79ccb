// Two groups and a file of permissions, as the page to deploy has it: what a
// client may not do, the bus refuses.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import { fleetPool, FleetWorker } from "../../../pool/nats.ts";
import { DialError } from "../../../transport/errors.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { Ends, PING_MS, testNats, until } from "./_kit.ts";

/** The page has it too: a test compares them. */
const PERMISSIONS = `
authorization {
  users = [
    { user: worker, password: w, permissions: {
        publish: ["ssh.c.>", "ssh.w.*.ping", "$JS.>", "$KV.>"]
        subscribe: ["ssh.shard.>", "ssh.w.>", "_INBOX.>"]
        allow_responses: true } }
    { user: a1, password: a, permissions: {
        publish: ["ssh.shard.*.teama.*", "ssh.w.>"]
        subscribe: ["ssh.c.a1.>"]
        allow_responses: true } }
    { user: b1, password: b, permissions: {
        publish: ["ssh.shard.*.teamb.*", "ssh.w.>"]
        subscribe: ["ssh.c.b1.>"]
        allow_responses: true } }
  ]
}
`;

async function site() {
  const ends = new Ends();
  const server = ends.add(
    await NatsServer.start({ config: PERMISSIONS }),
    (it) => it[Symbol.asyncDispose](),
  );
  const memory = new MemoryConnector();
  const pool = ends.add(
    new ConnectionPool({ connector: memory }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  const worker = ends.add(
    new FleetWorker(await server.connect({ user: "worker", pass: "w" }), {
      pool,
      host: ({ name, group }) => `${group}@${name}`,
      shards: SHARDS,
      pingMs: PING_MS,
      freshMs: 60_000,
    }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  await worker.serve({ index: 0, of: 1 });
  return {
    server,
    memory,
    worker,
    [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose](),
  };
}

const A = { user: "a1", pass: "a" };

testNats("each group reaches its own hosts, under its own names", async () => {
  await using fleet = await site();
  const { server, memory } = fleet;
  await using a = fleetPool(await server.connect(A), {
    group: "teama",
    clientId: "a1",
  });
  await using b = fleetPool(await server.connect({ user: "b1", pass: "b" }), {
    group: "teamb",
    clientId: "b1",
  });
  const results = await Promise.all([
    a.exec("web-1", "echo a"),
    b.exec("web-1", "echo b"),
  ]);
  assertEquals(results.map(({ stdout }) => stdout), ["a\n", "b\n"]);
  assertEquals([...memory.dialsByHost.keys()].sort(), [
    "teama@web-1:22",
    "teamb@web-1:22",
  ]);
});

testNats(
  "a client that asks for hosts of another group is told that it may not",
  async () => {
    await using fleet = await site();
    const bus = await fleet.server.connect(A);
    await using pool = fleetPool(bus, { group: "teamb", clientId: "a1" });
    const error = await assertRejects(
      () => pool.exec("web-1", "true"),
      DialError,
    );
    assertEquals(error.phase, "auth");
    assert(error.message.includes('hosts of the group "teamb"'), error.message);
    // And one that says that it is another.
    const impostor = fleetPool(bus, { group: "teama", clientId: "b1" });
    const refused = await assertRejects(
      () => impostor.exec("web-1", "true"),
      DialError,
    );
    assertEquals(refused.phase, "auth");
    await impostor.close();
    assertEquals(fleet.memory.dials, 0);
  },
);

testNats(
  "a client cannot listen to others, play a worker, or reach the leases",
  async () => {
    await using fleet = await site();
    const bus = await fleet.server.connect(A);
    const refused: string[] = [];
    (async () => {
      for await (const status of bus.status()) {
        if (status.type === "error") refused.push(status.error.message);
      }
    })();
    const subjects = [
      "ssh.>",
      "ssh.c.b1.>",
      "ssh.shard.>",
      "ssh.w.>",
      "_INBOX.>",
    ];
    for (const subject of subjects) {
      bus.subscribe(subject, { callback: () => {} });
    }
    const published = [
      "ssh.c.b1.x.y",
      "ssh.shard.1.teamb.web-1",
      "$KV.ssh_shards.1",
    ];
    for (const subject of published) bus.publish(subject, "x");
    await bus.flush();
    await until(() => refused.length >= published.length);
    for (const subject of published) {
      assert(refused.some((it) => it.includes(subject)), subject);
    }
  },
);

Deno.test("the page to deploy has these permissions, and the mapping of the server", async () => {
  const page = await Deno.readTextFile(
    new URL("../../../transport/nats/README.md", import.meta.url),
  );
  assert(page.includes(PERMISSIONS.trim()));
  assert(page.includes("partition(1024,1,2)"));
});
