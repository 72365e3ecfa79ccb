// Thousands of random steps, each followed by everything that must hold.
//
// For other walks: SSHPOOL_SEED=random. For longer ones: SSHPOOL_STEPS=<steps of
// each>. What replays a failure is printed with it.

import { assertEquals } from "@std/assert";
import { Walk } from "./_walk.ts";
import type { Odds, WalkPlan } from "./_walk_script.ts";
import { Random, replay, seed } from "../../kit/random.ts";
import { VirtualTime } from "./_walk_time.ts";

const steps = Number(Deno.env.get("SSHPOOL_STEPS") ?? 5_000);

/** Steps in the life of one pool; a walk is several lives. */
const LIFE = 250;

const mixed: Odds = { ok: 12, slow: 4, fail: 2, never: 1 };
const mild: Odds = { ok: 12, slow: 4 };
const all = { dial: mixed, open: mixed, exec: mixed, end: mixed };
const quick = {
  dialTimeoutMs: 200,
  backoff: { initialMs: 5, maxMs: 40, refusedMs: 30 },
};

const plans: WalkPlan[] = [
  {
    name: "one connection, one slot",
    hosts: 1,
    pool: { ...quick, maxConnections: 1, maxSessionsPerConnection: 1 },
    maxSessions: 1,
    gates: all,
  },
  {
    name: "few connections for many hosts",
    hosts: 6,
    pool: {
      ...quick,
      maxConnections: 2,
      maxConnectionsPerHost: 2,
      maxSessionsPerConnection: 2,
    },
    maxSessions: 2,
    gates: all,
  },
  {
    name: "no faults, so that nothing may fail",
    hosts: 3,
    pool: { maxConnections: 5, maxConnectionsPerHost: 2, idleTimeoutMs: 40 },
    maxSessions: 10,
    gates: { dial: mild, open: mild, exec: mild, end: mild },
    steps: { drop: 0, freeze: 0, remove: 0, closeAll: 0 },
  },
  {
    name: "servers that allow fewer sessions than believed",
    hosts: 2,
    pool: {
      ...quick,
      maxConnections: 5,
      maxConnectionsPerHost: 2,
      maxSessionsPerConnection: 10,
    },
    maxSessions: 3,
    gates: { dial: mild, end: mild, exec: mixed },
  },
  {
    name: "servers that free sessions late",
    hosts: 2,
    pool: {
      ...quick,
      maxConnectionsPerHost: 2,
      maxSessionsPerConnection: 4,
    },
    maxSessions: 3,
    reapMs: 15,
    gates: { dial: mild, open: mild },
  },
  {
    name: "channels that are opened ahead of need",
    hosts: 2,
    pool: {
      ...quick,
      maxConnections: 3,
      maxConnectionsPerHost: 2,
      maxSessionsPerConnection: 6,
    },
    maxSessions: 5,
    reapMs: 10,
    spares: true,
    gates: { dial: mild, open: mixed, exec: mixed, end: mild },
  },
  {
    name: "short lives and short wait",
    hosts: 4,
    pool: {
      ...quick,
      maxConnections: 5,
      maxConnectionsPerHost: 4,
      maxSessionsPerConnection: 2,
      idleTimeoutMs: 20,
      maxLifetimeMs: 60,
      acquireTimeoutMs: 50,
      maxConcurrentDials: 2,
      maxConcurrentDialsPerHost: 2,
    },
    maxSessions: 2,
    reapTurns: 3,
    gates: { ...all, close: { ok: 4, slow: 2, fail: 1, never: 0.1 } },
  },
  {
    name: "dead links",
    hosts: 3,
    pool: {
      ...quick,
      maxConnections: 5,
      maxConnectionsPerHost: 2,
      maxSessionsPerConnection: 4,
      keepaliveIntervalMs: 20,
      keepaliveCountMax: 1,
    },
    maxSessions: 4,
    gates: { dial: mild },
    steps: { drop: 6, freeze: 6, remove: 2, closeAll: 1 },
  },
  {
    name: "hosts behind hops",
    hosts: 4,
    jumps: 3,
    pool: {
      ...quick,
      maxConnections: 3,
      maxConnectionsPerHost: 2,
      maxSessionsPerConnection: 2,
      idleTimeoutMs: 50,
    },
    maxSessions: 2,
    gates: { dial: mixed, open: mixed, end: mild },
    steps: { drop: 4 },
  },
  {
    name: "leases given back with a channel open",
    hosts: 3,
    pool: {
      ...quick,
      maxConnections: 3,
      maxConnectionsPerHost: 2,
      maxSessionsPerConnection: 4,
      idleTimeoutMs: 30,
      maxLifetimeMs: 200,
    },
    maxSessions: 3,
    reapMs: 10,
    strays: true,
    gates: { dial: mild, end: mild },
    steps: { acquire: 20, use: 20, discard: 3 },
  },
];

/** Walks a plan; gives where every walk ended. */
async function walk(
  plan: WalkPlan,
  seed: number,
  steps: number,
): Promise<string[]> {
  const ends: string[] = [];
  const stray: unknown[] = [];
  const onStray = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    stray.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onStray);
  try {
    for (let life = 0; life * LIFE < steps; life++) {
      ends.push(await live(plan, seed + life, stray));
    }
  } finally {
    globalThis.removeEventListener("unhandledrejection", onStray);
  }
  return ends;
}

async function live(
  plan: WalkPlan,
  seed: number,
  stray: readonly unknown[],
): Promise<string> {
  const chance = new Random(seed);
  using time = new VirtualTime(chance, Deno.env.has("SSHPOOL_STACKS"));
  const walk = new Walk(plan, chance, time);
  try {
    await walk.run(LIFE);
    assertEquals(stray, [], "rejections that nobody handled");
    const { counters } = walk.pool.stats();
    return `${time.now} ms, ${walk.calls.length} calls, ${counters.opened} connections`;
  } catch (cause) {
    throw new Error(
      `Walk "${plan.name}" failed in step ${walk.step}; replay with ${
        replay(seed)
      } SSHPOOL_STEPS=1\n${walk.trace.join("\n")}\n${(cause as Error).message}`,
      { cause },
    );
  }
}

for (const plan of plans) {
  Deno.test(`ConnectionPool keeps its promises on a random walk: ${plan.name} (seed ${seed})`, async () => {
    await walk(plan, seed, steps);
  });
}

Deno.test("A random walk goes the same way again from the same seed", async () => {
  const plan = plans[1]!;
  assertEquals(await walk(plan, seed, LIFE), await walk(plan, seed, LIFE));
});
