import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { ConnectionPool } from "../../../pool/mod.ts";
import type { PooledConnection } from "../../../pool/connection/pooled_connection.ts";
import { SessionLimit } from "../../../pool/connection/session_limit.ts";
import { LearnedLimits } from "../../../pool/lane/learned_limits.ts";
import { limitsOf } from "../../../pool/options.ts";
import {
  MemoryConnector,
  type MemoryConnectorOptions,
} from "../../../transport/testing/mod.ts";
import {
  errorOf,
  FakeTime,
  flush,
  gate,
  Kit,
  range,
  stateOf,
} from "../_kit.ts";

const host = "ops@db1";
const alone = { maxConnectionsPerHost: 1 };

/** Commands that take a few milliseconds each. */
const slow = ({ signal }: { signal: AbortSignal }) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, 5);
    signal.addEventListener("abort", () => clearTimeout(timer));
  });

/** Runs `n` commands at once on a server with this limit; all must work. */
async function burst(
  script: MemoryConnectorOptions,
  n = 60,
): Promise<{ learned: number; limit: number; most: number }> {
  using time = new FakeTime();
  await using kit = new Kit({ ...script, commands: { slow } }, alone);
  const all = Promise.all(range(n).map(() => kit.pool.exec(host, "slow")));
  await time.advance(25_000);
  for (const { code } of await all) assertEquals(code, 0);
  const { hosts, counters } = kit.pool.stats();
  return {
    learned: counters.limitsLearned,
    limit: hosts[0]?.sessionLimit ?? NaN,
    most: kit.connector.maxChannels,
  };
}

for (const limit of [1, 2, 4]) {
  Deno.test(`ConnectionPool finds a session limit of ${limit}, and no caller sees a refusal`, async () => {
    const found = await burst({ maxSessions: limit });
    assertEquals([found.limit, found.most], [limit, limit]);
    assert(found.learned >= 1);
  });

  Deno.test(`ConnectionPool finds a session limit of ${limit} of a server that reaps late`, async () => {
    for (const reap of [{ reapTurns: 7 }, { reapMs: 2 }, { reapMs: 12 }]) {
      const found = await burst({ maxSessions: limit, ...reap });
      assertEquals(found.limit, limit, JSON.stringify(reap));
    }
  });
}

Deno.test("ConnectionPool learns nothing from a server that allows what the option says", async () => {
  for (const reap of [{}, { reapTurns: 7 }, { reapMs: 2 }, { reapMs: 12 }]) {
    const found = await burst({ maxSessions: 10, ...reap }, 200);
    assertEquals(
      [found.limit, found.learned, found.most],
      [10, 0, 10],
      JSON.stringify(reap),
    );
  }
});

Deno.test("ConnectionPool tells of a learned limit once, and keeps it for new connections", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ maxSessions: 4, commands: { slow } }, {
    maxConnectionsPerHost: 2,
  });
  const all = Promise.all(range(40).map(() => kit.pool.exec(host, "slow")));
  await time.advance(1_000);
  await all;
  assertEquals(await kit.told("limit-learned"), [
    { type: "limit-learned", host: "ops@db1:22", limit: 4 },
  ]);
  await kit.pool.removeConnection(host);
  const before = kit.pool.stats().counters.retries["channel-open"];
  const again = Promise.all(range(40).map(() => kit.pool.exec(host, "slow")));
  await time.advance(1_000);
  await again;
  assertEquals(kit.pool.stats().counters.retries["channel-open"], before);
});

Deno.test("ConnectionPool retries an opening that the server has not reaped the last session for, without learning", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ maxSessions: 1, reapMs: 3 }, {
    ...alone,
    maxSessionsPerConnection: 1,
  });
  for (const i of range(5)) {
    const run = kit.pool.exec(host, `echo ${i}`);
    await time.advance(100);
    assertEquals((await run).stdout, `${i}\n`);
  }
  const back = range(5).map((i) => kit.pool.exec(host, `echo ${i}`));
  await time.advance(1_000);
  await Promise.all(back);
  const { counters } = kit.pool.stats();
  assertEquals(counters.limitsLearned, 0);
  assert(counters.retries["channel-open"] > 0, "it was refused at times");
});

Deno.test("ConnectionPool fails no caller when refusals overtake earlier confirmations", async () => {
  using time = new FakeTime();
  // As it is: this one refuses at once and confirms a moment later.
  const connector = new MemoryConnector({ maxSessions: 2, commands: { slow } });
  await using pool = new ConnectionPool({ connector, ...alone });
  const all = Promise.all(range(40).map(() => pool.exec(host, "slow")));
  await time.advance(20_000);
  for (const { code } of await all) assertEquals(code, 0);
  assert((pool.stats().hosts[0]?.sessionLimit ?? 0) >= 2);
});

Deno.test("ConnectionPool hands a refused request on an open channel to the caller", async () => {
  await using kit = new Kit({ onExec: () => new Error("forced command only") });
  const error = await errorOf(kit.pool.exec(host, "true"));
  assertInstanceOf(error, ChannelOpenError);
  assertEquals(error.reason, 0);
  assertEquals(kit.connection(0).channelsAsked, 1);
});

Deno.test("ConnectionPool hands the refusal of a server without sessions to the caller", async () => {
  await using kit = new Kit({ maxSessions: 0 });
  const error = await errorOf(kit.pool.exec(host, "true"));
  assertInstanceOf(error, ChannelOpenError);
  assertEquals(error.reason, 2);
  assertEquals(kit.pool.stats().counters.limitsLearned, 0);
});

Deno.test("ConnectionPool waits for a lease's channel where the server has room for one", async () => {
  using time = new FakeTime();
  const end = gate();
  await using kit = new Kit({
    maxSessions: 1,
    commands: { wait: () => end.promise },
  }, alone);
  const lease = await kit.pool.acquire(host);
  const running = lease.connection.exec("wait");
  await flush();
  const waiter = kit.pool.exec(host, "echo later");
  await time.advance(1_000);
  assertEquals(await stateOf(waiter), "pending", "the caller never sees it");
  end.open();
  await running;
  lease.release();
  await time.advance(1_000);
  assertEquals((await waiter).stdout, "later\n");
  assertEquals(kit.pool.stats().counters.limitsLearned, 0);
});

Deno.test("ConnectionPool leaves a connection whose sessions are held by stopped commands", async () => {
  using time = new FakeTime();
  // The server never frees a session: its processes ignore that they were
  // stopped.
  await using kit = new Kit({
    maxSessions: 2,
    reapMs: 3_600_000,
    commands: { wait: () => new Promise(() => {}) },
  }, alone);
  const controller = new AbortController();
  const { signal } = controller;
  const stopped = range(2).map(() =>
    errorOf(kit.pool.exec(host, "wait", { signal }))
  );
  await time.advance(100);
  controller.abort(new Error("stop"));
  await Promise.all(stopped);
  const waiter = kit.pool.exec(host, "echo elsewhere");
  await time.advance(5_000);
  assertEquals((await waiter).stdout, "elsewhere\n");
  assertEquals(kit.connector.dials, 2);
  assert(kit.connection(0).isClosed);
  assertEquals(kit.pool.stats().counters.limitsLearned, 0);
});

const stop = new AbortController();
const STOPPED = [
  ["was aborted", { signal: stop.signal }],
  ["took too long", { timeoutMs: 20 }],
  ["wrote too much", { maxOutputBytes: 10 }],
] as const;

for (const [how, options] of STOPPED) {
  Deno.test(`ConnectionPool takes no limit from the session of a command that ${how}: its process may live on`, async () => {
    using time = new FakeTime();
    const end = gate();
    // The server never frees the session of the first.
    await using kit = new Kit({
      maxSessions: 2,
      reapMs: 3_600_000,
      commands: {
        flood: async ({ write }) => {
          await write("x".repeat(20));
          await new Promise(() => {});
        },
        wait: () => end.promise,
      },
    }, alone);
    const stopped = errorOf(kit.pool.exec(host, "flood", options));
    await time.advance(50);
    if ("signal" in options) stop.abort(new Error("stop"));
    await stopped;
    // Long enough after it for a refusal to be evidence.
    await time.advance(1_000);
    const running = kit.pool.exec(host, "wait");
    await time.advance(1_000);
    const waiter = kit.pool.exec(host, "echo later");
    await time.advance(1_000);
    assertEquals(kit.pool.stats().counters.limitsLearned, 0);
    end.open();
    await running;
    await time.advance(1_000);
    assertEquals((await waiter).stdout, "later\n");
  });
}

for (const verb of ["exec", "spawn"] as const) {
  Deno.test(`ConnectionPool takes no limit from the sessions of a route that is closed during ${verb}(): their processes may live on`, async () => {
    using time = new FakeTime();
    const end = gate();
    await using kit = new Kit({
      maxSessions: 4,
      reapMs: 3_600_000,
      commands: {
        stuck: () => new Promise(() => {}),
        wait: () => end.promise,
      },
    }, alone);
    const route = await kit.pool.route(host);
    const stopped = range(2).map(async () => {
      const process = await route[verb]("stuck");
      if ("status" in process) await process.status;
    }).map(errorOf);
    await time.advance(50);
    await route.close();
    for (const error of await Promise.all(stopped)) {
      assertInstanceOf(error, ConnectionLostError);
    }
    // Long enough after it for a refusal to be evidence.
    await time.advance(1_000);
    const running = range(2).map(() => kit.pool.exec(host, "wait"));
    await time.advance(1_000);
    const waiter = kit.pool.exec(host, "echo later");
    await time.advance(1_000);
    const { limitsLearned } = kit.pool.stats().counters;
    end.open();
    await Promise.all(running);
    await time.advance(1_000);
    assertEquals((await waiter).stdout, "later\n");
    assertEquals(limitsLearned, 0);
  });
}

Deno.test("ConnectionPool gives up waiting for a session at acquireTimeoutMs", async () => {
  using time = new FakeTime();
  await using kit = new Kit({
    maxSessions: 1,
    commands: { wait: () => new Promise(() => {}) },
  }, { ...alone, acquireTimeoutMs: 2_000 });
  const lease = await kit.pool.acquire(host);
  const running = errorOf(lease.connection.exec("wait"));
  await flush();
  const waiter = errorOf(kit.pool.exec(host, "true"));
  await time.advance(2_100);
  assertEquals((await waiter).name, "AcquireTimeoutError");
  kit.connection(0).drop();
  await running;
  lease.release();
});

/** A refusal with a reason of the server's choice. */
const refusal = (reason: number) =>
  new ChannelOpenError("Cannot open a channel: refused", { reason });

for (const reason of [1, 2, 3, 4]) {
  Deno.test(`ConnectionPool takes a refusal with reason ${reason} for a limit, where a session is open`, async () => {
    using time = new FakeTime();
    await using kit = new Kit({
      commands: { slow },
      onOpen: ({ openChannels }) => openChannels > 2 ? refusal(reason) : "ok",
    });
    const first = kit.pool.exec(host, "true");
    await time.advance(100);
    await first;
    const all = Promise.all(range(12).map(() => kit.pool.exec(host, "slow")));
    await time.advance(10_000);
    assertEquals((await all).length, 12);
  });

  Deno.test(`ConnectionPool leaves a connection that takes no more sessions, and learns it, with reason ${reason}`, async () => {
    using time = new FakeTime();
    const perConnection = new Map<object, number>();
    let refusals = 0;
    await using kit = new Kit({
      onOpen: (connection) => {
        const before = perConnection.get(connection) ?? 0;
        if (before === 1) {
          refusals++;
          return refusal(reason);
        }
        perConnection.set(connection, before + 1);
        return "ok";
      },
    });
    for (const _ of range(8)) {
      const running = kit.pool.exec(host, "true");
      await time.advance(2_000);
      await running;
    }
    assertEquals(kit.connector.dials, 8);
    const seen = refusals;
    for (const _ of range(4)) {
      const running = kit.pool.exec(host, "true");
      await time.advance(2_000);
      await running;
    }
    assertEquals(refusals, seen, "what is learned is not asked for again");
  });
}

Deno.test("SessionLimit learns nothing from a server that took longer to answer than the connection was quiet", async () => {
  using time = new FakeTime();
  const limit = new SessionLimit();
  const used = limit.begin();
  limit.opened(used);
  limit.ended(used, false);
  // Its CLOSE and this may have been read together, long after they were sent.
  await time.advance(120);
  const late = limit.begin();
  await time.advance(600);
  assertEquals(limit.refused(late, false), { kind: "wait" });
  await time.advance(1_000);
  const prompt = limit.begin();
  await time.advance(600);
  assertEquals(limit.refused(prompt, false), { kind: "spent", sessions: 1 });
});

Deno.test("ConnectionPool tells the caller where the first session of a connection is refused", async () => {
  for (const reason of [1, 2, 4]) {
    await using kit = new Kit({ onOpen: () => refusal(reason) });
    const error = await errorOf(kit.pool.exec(host, "true"));
    assertInstanceOf(error, ChannelOpenError);
    assertEquals([error.reason, kit.connector.dials], [reason, 1]);
  }
});

Deno.test("maxLifetimeSessions gives a connection so many sessions, and no more", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ commands: { slow } }, { maxLifetimeSessions: 3 });
  for (const _ of range(9)) {
    const running = kit.pool.exec(host, "true");
    await time.advance(100);
    await running;
  }
  assertEquals(kit.connector.dials, 3);
  const all = Promise.all(range(9).map(() => kit.pool.exec(host, "slow")));
  await time.advance(10_000);
  await all;
  assertEquals(kit.connector.maxChannels, 3);
});

Deno.test("ConnectionPool replaces a hop that has carried all its sessions once no tunnel is on it", async () => {
  using time = new FakeTime();
  await using kit = new Kit({}, {
    maxLifetimeSessions: 1,
    maxConnectionsPerHost: 1,
    idleTimeoutMs: 0,
  });
  const tunnel = await kit.pool.connect(host, "db:5432");
  await kit.pool.exec(host, "true");
  const next = kit.pool.exec(host, "true");
  await time.advance(1_000);
  assertEquals(await stateOf(next), "pending", "the tunnel is still on it");
  tunnel.close();
  await time.advance(1_000);
  assertEquals(kit.connector.dials, 2);
  await next;
});

Deno.test("LearnedLimits holds the connections that are open to what it has learned, too", () => {
  const learned = new LearnedLimits(limitsOf({}));
  const open = [{ sessionsInLife: Infinity }, { sessionsInLife: Infinity }];
  const notes = [3, 2, 2].map((sessions) => {
    learned.noteSpent(sessions, open as PooledConnection[]);
    return open.map(({ sessionsInLife }) => sessionsInLife);
  });
  assertEquals(notes, [[Infinity, Infinity], [Infinity, Infinity], [2, 2]]);
});

Deno.test("ConnectionPool dials several at once where a connection carries one session in its life", async () => {
  using time = new FakeTime();
  await using kit = new Kit({ dialMs: 1_000 }, { maxLifetimeSessions: 1 });
  const all = Promise.all(range(12).map(() => kit.pool.exec(host, "true")));
  // As many at once as one host may have dials.
  await time.advance(3_500);
  await all;
  assertEquals(kit.connector.dials, 12);
});

Deno.test("ConnectionPool does not dial on and on where a connection carries one session and dials fail", async () => {
  using time = new FakeTime();
  await using kit = new Kit({
    dialMs: 100,
    onDial: (_host, attempt) =>
      attempt === 1 ? "ok" : new Error("the server is gone"),
  }, { maxLifetimeSessions: 1 });
  const all = Promise.allSettled(
    range(12).map(() => kit.pool.exec(host, "true")),
  );
  await time.advance(60_000);
  const results = await all;
  assertEquals(
    results.filter(({ status }) => status === "fulfilled").length,
    1,
  );
  assert(kit.connector.dials <= 9, `${kit.connector.dials} dials`);
});
