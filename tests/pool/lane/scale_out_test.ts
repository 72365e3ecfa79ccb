import { assert, assertEquals } from "@std/assert";
import { ScaleOut } from "../../../pool/lane/scale_out.ts";
import { DialError } from "../../../transport/errors.ts";
import { errorOf, FakeTime, flush, gate, Kit, range } from "../_kit.ts";

const host = "ops@db1";

Deno.test("ConnectionPool dials more connections for a queue that does not move, up to maxConnectionsPerHost", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnectionsPerHost: 3,
    maxSessionsPerConnection: 2,
  });
  const all = range(20).map(() => kit.pool.exec(host, "wait"));
  await flush();
  assertEquals(kit.connector.dials, 1, "one dial for a burst, at first");
  await time.advance(2_000);
  assertEquals([kit.connector.dials, kit.pool.size], [3, 3]);
  assertEquals(kit.connector.maxChannels, 2);
  assertEquals(kit.pool.stats().slotsInUse, 6);
  end.open();
  await time.advance(1_000);
  await Promise.all(all);
});

Deno.test("ConnectionPool dials no connection more than gives everybody a slot, while a server frees sessions late", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ maxSessions: 10, reapMs: 45 });
  // Dials are fast, as it learns: a queue soon counts as one that does not move.
  for (const _ of range(8)) {
    await kit.pool.getConnection(host);
    await kit.pool.removeConnection(host);
  }
  const all = Promise.all(range(15).map(() => kit.pool.exec(host, "true")));
  // Ten are through, the rest are refused, and the queue stands still.
  await time.advance(2_000);
  await all;
  assertEquals(kit.connector.dials, 9);
});

for (
  const [limits, connections] of [[{}, 1], [
    { maxConnectionsPerHost: 3 },
    3,
  ]] as const
) {
  Deno.test(`a host whose login asks a person has ${connections} of the connections that its queue could use, with ${JSON.stringify(limits)}`, async () => {
    using time = new FakeTime();
    const end = gate();
    await using kit = new Kit(
      { commands: { wait: () => end.promise } },
      limits,
    );
    const asking = {
      hostname: "db1",
      keyboardInteractive: () => ["123456"],
    };
    const all = range(40).map(() => kit.pool.exec(asking, "wait"));
    await time.advance(3_000);
    assertEquals([kit.connector.dials, kit.pool.size], [
      connections,
      connections,
    ]);
    end.open();
    await time.advance(1_000);
    await Promise.all(all);
  });
}

Deno.test("ConnectionPool dials no second connection for a queue that drains fast", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, { maxSessionsPerConnection: 2 });
  const all = Promise.all(range(200).map(() => kit.pool.exec(host, "true")));
  await time.advance(2_000);
  await all;
  assertEquals(kit.connector.dials, 1);
});

Deno.test("ConnectionPool shrinks back to few connections when the load is gone", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnectionsPerHost: 4,
    maxSessionsPerConnection: 1,
    idleTimeoutMs: 1_000,
  });
  const all = range(4).map(() => kit.pool.exec(host, "wait"));
  await time.advance(2_000);
  assertEquals(kit.pool.size, 4);
  end.open();
  await Promise.all(all);
  for (const _ of range(30)) {
    await kit.pool.exec(host, "true");
    await time.advance(100);
  }
  assertEquals(kit.pool.size, 1, "light load keeps only one of them in use");
  assertEquals(kit.connection(0).isClosed, false, "the oldest");
});

Deno.test("ConnectionPool gives the least loaded connection to the next command", async () => {
  using time = new FakeTime();
  const gates = range(4).map(() => gate());
  const commands = Object.fromEntries(
    gates.map(({ promise }, i) => [`long${i}`, () => promise]),
  );
  await using kit = new Kit({ commands }, {
    maxConnectionsPerHost: 2,
    maxSessionsPerConnection: 3,
  });
  const loads = () => kit.connector.connections.map((c) => c.openChannels);
  const asked = () => kit.connector.connections.map((c) => c.channelsAsked);
  // Four long ones need two connections.
  const long = range(4).map((i) => kit.pool.exec(host, `long${i}`));
  await time.advance(2_000);
  assertEquals(loads(), [3, 1]);
  gates[0]!.open();
  await long[0];
  assertEquals(loads(), [2, 1]);
  await kit.pool.exec(host, "true");
  assertEquals(asked(), [3, 2], "though the first has room, too");
  gates[1]!.open();
  await long[1];
  await kit.pool.exec(host, "true");
  assertEquals(asked(), [4, 2], "the oldest of equals");
  gates[2]!.open();
  gates[3]!.open();
  await Promise.all(long);
});

Deno.test("ConnectionPool goes on with what it has when a further dial fails", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({
    onDial: (_host, attempt) =>
      attempt === 1 ? "ok" : new DialError("tcp", "refused"),
    commands: { wait: () => end.promise },
  }, { maxSessionsPerConnection: 1 });
  const running = kit.pool.exec(host, "wait");
  const waiting = range(3).map((i) => kit.pool.exec(host, `echo ${i}`));
  await time.advance(1_000);
  assert(kit.connector.dials > 1);
  assertEquals(kit.pool.stats().waiting, 3, "nobody fails with that dial");
  end.open();
  await running;
  assertEquals((await Promise.all(waiting)).map((r) => r.stdout), [
    "0\n",
    "1\n",
    "2\n",
  ]);
});

Deno.test("ConnectionPool stops a further dial when the queue is gone", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({
    onDial: (_host, attempt) => attempt === 1 ? "ok" : "never",
    commands: { wait: () => end.promise },
  }, { maxSessionsPerConnection: 1 });
  const running = kit.pool.exec(host, "wait");
  const controller = new AbortController();
  const waiting = errorOf(
    kit.pool.exec(host, "true", { signal: controller.signal }),
  );
  await time.advance(1_000);
  assertEquals(kit.connector.dialsInFlight, 1);
  controller.abort();
  await waiting;
  await flush();
  assertEquals([kit.connector.dialsInFlight, kit.connector.aborted], [0, 1]);
  end.open();
  await running;
});

Deno.test("ScaleOut asks for as many as fill the queue when nothing drains, and one at a time when it drains slowly", async () => {
  using time = new FakeTime();
  const rule = new ScaleOut();
  await time.advance(100);
  rule.sample(25, 10);
  assertEquals(rule.wanted, 3);
  rule.recordDial(50);
  assertEquals(rule.wanted, 2);
  rule.stop();
  assertEquals(rule.wanted, 0);
  await time.advance(100);
  for (const _ of range(10)) rule.completed();
  rule.sample(5, 10); // 50 ms left: a dial of 50 ms does not pay
  assertEquals(rule.wanted, 0);
  await time.advance(100);
  for (const _ of range(10)) rule.completed();
  rule.sample(500, 10); // five seconds left
  assertEquals(rule.wanted, 1);
  rule.dialFailed(1_000);
  await time.advance(100);
  rule.sample(500, 10);
  assertEquals(rule.wanted, 0, "not while a failed dial is fresh");
});
