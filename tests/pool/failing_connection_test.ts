import { assertEquals } from "@std/assert";
import { FakeTime, flush, gate, Kit, range, stateOf } from "./_kit.ts";

const host = "ops@db1";

Deno.test("ConnectionPool opens nothing new on a connection that is failing, and lets what runs there run", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } });
  const running = kit.pool.exec(host, "wait");
  await flush();
  const first = kit.connection(0);
  Object.defineProperty(first, "isFailing", { value: true });
  assertEquals((await kit.pool.exec(host, "true")).code, 0);
  const shared = await kit.pool.getConnection(host);
  assertEquals([kit.connector.dials, shared.isClosed], [2, false]);
  assertEquals([await stateOf(running), first.isClosed], ["pending", false]);
  end.open();
  assertEquals((await running).code, 0);
  await flush();
  assertEquals([first.isClosed, kit.pool.size], [true, 1]);
});

Deno.test("ConnectionPool runs one session at a time on each connection to a server that cannot do more", async () => {
  using time = new FakeTime();
  let now = 0;
  let most = 0;
  await using kit = new Kit({
    commands: {
      step: async () => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 5));
        now--;
      },
    },
  }, { maxConnectionsPerHost: 1 });
  const connect = kit.connector.connect.bind(kit.connector);
  kit.connector.connect = async (...args: Parameters<typeof connect>) =>
    Object.defineProperty(await connect(...args), "maxSessions", { value: 1 });
  const all = Promise.all(
    Array.from({ length: 20 }, () => kit.pool.exec(host, "step")),
  );
  await time.advance(5_000);
  await all;
  assertEquals([most, kit.connector.dials], [1, 1]);
  assertEquals(kit.pool.stats().hosts[0]?.sessionLimit, 1);
});

Deno.test("ConnectionPool forgets a learned session limit when the server has ended the last connection", async () => {
  using time = new FakeTime();
  const script = { maxSessions: 2, commands: { slow: () => pause(5) } };
  await using kit = new Kit(script, { maxConnectionsPerHost: 1 });
  const burst = async () => {
    const all = Promise.all(
      Array.from({ length: 30 }, () => kit.pool.exec(host, "slow")),
    );
    await time.advance(5_000);
    await all;
  };
  await burst();
  assertEquals(kit.pool.stats().hosts[0]?.sessionLimit, 2);
  await kit.pool.removeConnection(host);
  await kit.pool.exec(host, "true");
  assertEquals(kit.pool.stats().hosts[0]?.sessionLimit, 2, "our end, not its");
  kit.connection(1).drop();
  await flush();
  await kit.pool.exec(host, "true");
  assertEquals(kit.pool.stats().hosts[0]?.sessionLimit, 10);
});

Deno.test("ConnectionPool keeps a learned session limit while the host has another connection", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({
    maxSessions: 2,
    commands: { wait: () => end.promise },
  }, { maxConnectionsPerHost: 2 });
  const running = range(4).map(() => kit.pool.exec(host, "wait"));
  await time.advance(1_000);
  assertEquals([kit.pool.size, kit.pool.stats().slotsInUse], [2, 4]);
  end.open();
  await Promise.all(running);
  kit.connection(0).drop();
  await flush();
  assertEquals(kit.pool.stats().hosts[0]?.sessionLimit, 2);
});

Deno.test("ConnectionPool closes a connection that has ended by itself, too: its adapter may have something to let go", async () => {
  await using kit = new Kit();
  await kit.pool.exec(host, "true");
  const connection = kit.connection(0);
  const close = connection.close.bind(connection);
  let closes = 0;
  connection.close = () => {
    closes++;
    return close();
  };
  connection.drop();
  await flush();
  assertEquals([kit.pool.size, closes], [0, 1]);
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
