/** What arrives for somebody who has just left: nothing of it stays. */

import { assertEquals } from "@std/assert";
import type { Connection, Connector } from "../../transport/connector.ts";
import { ConnectionPool } from "../../pool/mod.ts";
import { DialError } from "../../transport/errors.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";
import { errorOf, FakeTime, flush, gate, Kit, range } from "./_kit.ts";

/** A connector whose dials of one host end when the test says so, come what may. */
class GatedConnector implements Connector {
  readonly memory = new MemoryConnector();
  readonly gate = gate();
  readonly #gated: string;

  constructor(gated: string) {
    this.#gated = gated;
  }

  async connect(
    ...[host, options]: Parameters<Connector["connect"]>
  ): Promise<Connection> {
    const { signal: _, ...rest } = options ?? {};
    const connection = await this.memory.connect(host, rest);
    if (host.hostname === this.#gated) await this.gate.promise;
    return connection;
  }
}

/** Leaves a dial `turns` microtasks after its connection is there. */
async function leaveAfter(
  turns: number,
  host: { hostname: string; user: string; jump?: string },
): Promise<void> {
  const connector = new GatedConnector("db1");
  await using pool = new ConnectionPool({ connector });
  const controller = new AbortController();
  const { signal } = controller;
  const left = pool.getConnection(host, { signal }).catch(() => {});
  await flush();
  connector.gate.open();
  for (let i = 0; i < turns; i++) await null;
  controller.abort();
  await left;
  await flush();
  const { memory } = connector;
  const stayed = pool.activeHosts.includes("ops@db1:22") ? 1 : 0;
  const hops = host.jump === undefined ? 0 : 1;
  const where = `after ${turns} turns`;
  assertEquals(memory.opened - memory.closed, stayed + hops, where);
  await pool.removeConnection(host);
  const { busy, connections } = pool.stats();
  assertEquals([busy, connections], [0, hops], `${where}: the hop is pinned`);
}

Deno.test("ConnectionPool closes a connection that arrives after its last waiter has left, at whatever moment", async () => {
  for (const turns of range(30)) {
    await leaveAfter(turns, { hostname: "db1", user: "ops" });
  }
});

Deno.test("ConnectionPool lets go of the hop of a connection that arrives after its last waiter has left", async () => {
  for (const turns of range(30)) {
    await leaveAfter(turns, {
      hostname: "db1",
      user: "ops",
      jump: "ops@gate",
    });
  }
});

Deno.test("ConnectionPool.close() waits for a connection that arrives while it closes, at whatever moment", async () => {
  for (const turns of range(30)) {
    const connector = new GatedConnector("db1");
    const pool = new ConnectionPool({ connector });
    const left = pool.getConnection("ops@db1").catch(() => {});
    await flush();
    connector.gate.open();
    for (let i = 0; i < turns; i++) await null;
    await pool.close();
    const { opened, closed } = connector.memory;
    assertEquals([opened, closed], [1, 1], `after ${turns} turns`);
    await left;
  }
});

Deno.test("ConnectionPool lets go of the hop of a dial that is left while it waits for its turn", async () => {
  await using kit = new Kit({
    onDial: ({ hostname }) => hostname === "slow" ? "never" : "ok",
  }, { maxConcurrentDials: 1 });
  const target = { hostname: "db1", user: "ops", jump: "ops@gate" };
  await kit.pool.getConnection("ops@gate");
  const slow = new AbortController();
  const holding = errorOf(
    kit.pool.getConnection("ops@slow", { signal: slow.signal }),
  );
  await flush();
  const controller = new AbortController();
  const { signal } = controller;
  const left = errorOf(kit.pool.getConnection(target, { signal }));
  await flush();
  assertEquals(kit.pool.stats().busy, 1, "the hop is pinned");
  controller.abort();
  await left;
  await flush();
  assertEquals(kit.pool.stats().busy, 0);
  slow.abort();
  await holding;
});

Deno.test("ConnectionPool counts a channel that outlives its lease against the limit", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { wait: () => end.promise } }, {
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 2,
  });
  const lease = await kit.pool.acquire("ops@db1");
  const stray = await lease.connection.spawn("wait");
  lease.release();
  const running = range(3).map(() => kit.pool.exec("ops@db1", "wait"));
  await flush();
  assertEquals(kit.connector.maxChannels, 2);
  assertEquals(kit.pool.stats().waiting, 2, "one runs beside the stray");
  end.open();
  await Promise.all([stray.output(), ...running]);
});

Deno.test("ConnectionPool keeps its waiters when one dial fails and another is under way", async () => {
  using time = new FakeTime();
  const end = gate();
  const dials: PromiseWithResolvers<void>[] = [];
  const memory = new MemoryConnector({ commands: { wait: () => end.promise } });
  const connector: Connector = {
    async connect(host, options) {
      if (memory.dials > 0) {
        const dial = Promise.withResolvers<void>();
        dials.push(dial);
        await dial.promise;
      }
      return await memory.connect(host, options);
    },
  };
  await using pool = new ConnectionPool({
    connector,
    maxSessionsPerConnection: 1,
    maxConnectionsPerHost: 3,
  });
  const lost = errorOf(pool.exec("ops@db1", "wait"));
  await flush();
  const waiting = range(3).map(() => pool.exec("ops@db1", "echo served"));
  await time.advance(1_000);
  assertEquals(dials.length, 2, "nothing moves, so two more are dialled");
  memory.connections[0]!.drop();
  await lost;
  dials[0]!.reject(new DialError("tcp", "Cannot connect: refused"));
  await flush();
  assertEquals(pool.stats().waiting, 3, "the other dial can still serve them");
  dials[1]!.resolve();
  await time.advance(100);
  for (const { stdout } of await Promise.all(waiting)) {
    assertEquals(stdout, "served\n");
  }
  end.open();
});
