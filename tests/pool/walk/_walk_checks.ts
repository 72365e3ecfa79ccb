// What must hold after each step of a random walk, and after its end.

import { assert, assertEquals } from "@std/assert";
import type { HostStats, PoolStats } from "../../../pool/mod.ts";
import type { Walk } from "./_walk.ts";
import type { Call } from "./_walk_calls.ts";
import { isHop } from "./_walk_script.ts";

/** A lane with work and room for it must move within this time. */
const STILL_MS = 300;

/** The pool lets a turn pass before it evicts what was just handed out. */
const SPARED_MS = 60;

/** Everything that holds after any step. */
export function check(walk: Walk): void {
  const stats = walk.pool.stats();
  assertEquals(walk.troubles, []);
  checkCalls(walk);
  checkGauges(walk, stats);
  checkCaps(walk, stats);
  for (const host of stats.hosts) {
    if (!isHop(host.host)) checkHost(walk, host);
  }
  if (walk.plan.jumps) checkHops(walk, stats);
  else checkStarved(walk, stats);
  checkTurns(walk, stats);
  checkOrder(walk);
}

/** What holds after `close()`, for good. */
export function checkEnd(walk: Walk): void {
  const { memory, neverClosed } = walk.script;
  for (const call of walk.calls) assert(call.isSettled, `${call} hangs`);
  for (const call of walk.calls) assert(!call.isRunning, `${call} runs on`);
  assertEquals([...walk.pending], [], "these never settled");
  assertEquals(memory.dialsInFlight, 0, "dials in flight");
  assertEquals(memory.opened, memory.closed + neverClosed, "opened, closed");
  assertEquals(walk.pool.size, 0, "connections");
  assertEquals(walk.pool.activeHosts, []);
  const { waiting, dialing, slotsInUse } = walk.pool.stats();
  assertEquals([waiting, dialing, slotsInUse], [0, 0, 0]);
  assertEquals(walk.time.armed, [], "timers that are left");
}

/** A pool that is open and has nothing to do has no timer either. */
export function checkRest(walk: Walk): void {
  const { connections, waiting, dialing } = walk.pool.stats();
  if (connections + waiting + dialing > 0) return;
  assertEquals(walk.time.armed, [], "timers of a pool at rest");
}

/** Who has settled did so as it may; who should have left did. */
function checkCalls(walk: Walk): void {
  for (const call of [...walk.open]) {
    const { parts } = call;
    if (!call.isSettled) {
      assert(!isOverdue(walk, call), `${call} waits beyond its time`);
      const isAborted = parts.controller?.signal.aborted ?? false;
      assert(!isAborted, `${call} was aborted and does not settle`);
      continue;
    }
    if (!call.isJudged) {
      call.isJudged = true;
      const why = call.complaint({
        now: walk.time.now,
        closedAt: walk.closedAt,
        lostAt: walk.lostAt.get(parts.host) ?? -1,
        runs: walk.script.runs.get(parts.line ?? "") ?? 0,
      });
      if (why !== undefined) {
        throw new Error(`${call}: ${why}`, { cause: call.error });
      }
    }
    if (!call.isRunning) walk.open.delete(call);
  }
  for (const held of walk.strays) {
    if (held.call?.isSettled !== false) walk.strays.delete(held);
  }
}

function isOverdue(walk: Walk, { parts }: Call): boolean {
  const { kind, acquireTimeoutMs, startedAt } = parts;
  if (kind !== "acquire" && kind !== "shared") return false;
  if (acquireTimeoutMs === 0) return false;
  return walk.time.now > startedAt + acquireTimeoutMs;
}

/** Two ways to count the same thing agree. */
function checkGauges(walk: Walk, stats: PoolStats): void {
  const { opened, closed } = stats.counters;
  const ended = Object.values(closed).reduce((sum, n) => sum + n, 0);
  assertEquals(stats.connections, walk.pool.size, "stats() and size");
  assertEquals(opened - ended, walk.pool.size, "opened - closed and size");
  assertEquals(stats.busy + stats.idle, stats.connections, "busy and idle");
  const live = [...walk.script.memory.live].filter((c) => !c.isClosed);
  assertEquals(live.length, walk.pool.size, "the connector's and the pool's");
  const active = stats.hosts.filter((host) => host.connections > 0);
  assertEquals(
    walk.pool.activeHosts.toSorted(),
    active.map((host) => host.host).toSorted(),
  );
}

function checkCaps(walk: Walk, stats: PoolStats): void {
  const { pool, maxSessions } = walk.plan;
  const { memory } = walk.script;
  const { maxConnections = 100, maxConcurrentDials = 32 } = pool;
  const counted = stats.hosts.filter((host) => !isHop(host.host));
  const live = sum(counted, "connections") + sum(counted, "dialing");
  assert(live <= maxConnections, `${live} connections of ${maxConnections}`);
  assert(
    memory.maxDialsInFlight <= maxConcurrentDials,
    `${memory.maxDialsInFlight} dials of ${maxConcurrentDials} in flight`,
  );
  assert(memory.maxChannels <= maxSessions, "the fake let too many in");
}

function checkHost(walk: Walk, host: HostStats): void {
  const {
    maxConnectionsPerHost = 4,
    maxConcurrentDialsPerHost = 4,
    maxSessionsPerConnection = 10,
  } = walk.plan.pool;
  const name = host.host;
  const open = host.slots / host.sessionLimit;
  assert(open <= host.connections, `${name}: more open than there are`);
  assert(
    open + host.dialing <= maxConnectionsPerHost,
    `${name}: ${open} + ${host.dialing} connections`,
  );
  assert(host.dialing <= maxConcurrentDialsPerHost, `${name}: too many dials`);
  const strays = count(walk.strays, (held) => held.host === name);
  const most = host.connections * maxSessionsPerConnection + strays;
  assert(
    host.slotsInUse <= most,
    `${name}: ${host.slotsInUse} slots of ${most}`,
  );
  const lowest = Math.min(walk.plan.maxSessions, maxSessionsPerConnection);
  assert(host.sessionLimit >= lowest, `${name}: learned ${host.sessionLimit}`);

  // Each caller waits or has a slot, and nobody else does.
  const callers = count(
    walk.open,
    (call) => call.parts.host === name && (call.needsSlot || call.needsLook),
  ) +
    count(
      walk.leases,
      ({ host, lease }) => host === name && !lease.connection.isClosed,
    );
  const served = host.waiting + host.slotsInUse;
  const spare = strays + count(walk.pending, (what) => what.startsWith("warm"));
  assert(
    callers <= served && served <= callers + spare,
    `${name}: ${callers} callers, but ${host.waiting} wait and ${host.slotsInUse} slots are taken`,
  );
  checkMotion(walk, host);
}

/** A lane with waiters and free slots does not sit still. */
function checkMotion(walk: Walk, host: HostStats): void {
  const draining = host.connections * host.sessionLimit - host.slots;
  const hasRoom = host.slotsInUse < host.slots && draining === 0;
  const moved = walk.served.some((call) => call.parts.host === host.host);
  const isStill = host.waiting > 0 && hasRoom && !moved;
  const ms = walk.lasting(`still ${host.host}`, isStill);
  // Only where servers refuse channels is there a reason to hold back at all.
  const { maxSessions, reapMs, reapTurns, pool } = walk.plan;
  const refuses = maxSessions < (pool.maxSessionsPerConnection ?? 10) ||
    reapMs !== undefined || reapTurns !== undefined;
  assert(refuses || !isStill, `${host.host} has room and lets callers wait`);
  assert(ms < STILL_MS, `${host.host} sits still with waiters for ${ms} ms`);
}

/** Who has neither connection nor dial waits for the cap, and for nothing else. */
function checkStarved(walk: Walk, stats: PoolStats): void {
  const { maxConnections = 100 } = walk.plan.pool;
  const starved = stats.hosts.find((host) =>
    host.waiting > 0 && host.connections + host.dialing === 0
  );
  const taken = stats.connections + stats.dialing;
  assert(
    starved === undefined || taken === maxConnections,
    `${starved?.host} starves with ${taken} of ${maxConnections} connections`,
  );
  const isSpared = starved !== undefined && stats.idle > 0;
  const ms = walk.lasting("starved", isSpared);
  assert(ms < SPARED_MS, `${starved?.host} starves beside idle connections`);
}

/** A hop is busy only while something goes through it. */
function checkHops(walk: Walk, stats: PoolStats): void {
  const inUse = (name: string) => {
    const host = stats.hosts.find(({ host }) => host === `ops@${name}:22`);
    return (host?.connections ?? 0) + (host?.dialing ?? 0) > 0;
  };
  const busy = (name: string) =>
    stats.hosts.find(({ host }) => host === `ops@${name}:22`)?.busy ?? 0;
  const jumps = Array.from(
    { length: walk.plan.jumps ?? 0 },
    (_, i) => `db${i}`,
  );
  // As `hostsOf()` chains them: db0 through hop0 and hop1, the others by hop0.
  if (!inUse("db0")) assertEquals(busy("hop1"), 0, "hop1 keeps a pin");
  if ([...jumps.slice(1), "hop1"].every((name) => !inUse(name))) {
    assertEquals(busy("hop0"), 0, "hop0 keeps a pin");
  }
}

/** A dial that waits for its turn waits for a dial in flight, or for a pause. */
function checkTurns(walk: Walk, stats: PoolStats): void {
  const isStuck = stats.dialing > 0 && walk.script.memory.dialsInFlight === 0;
  const ms = walk.lasting("no turn", isStuck);
  // Behind a hop that does not answer, and that behind another, it takes longer.
  const mostMs = walk.plan.jumps ? 1_000 : STILL_MS;
  assert(ms < mostMs, `${stats.dialing} dials wait for ${ms} ms for nothing`);
}

/**
 * Nobody is served before one who came in an earlier step and still waits; but
 * a spawn may wait because streams leave some slots to commands.
 */
function checkOrder(walk: Walk): void {
  const waiting: Call[] = [];
  for (const call of walk.open) {
    const { kind } = call.parts;
    const queues = kind === "exec" || kind === "spawn" || kind === "acquire";
    if (!queues || call.isSettled) continue;
    const isBack = call.refusedAt !== undefined && call.refusedAt < walk.step;
    if (call.servedAt === undefined || isBack) waiting.push(call);
  }
  if (waiting.length === 0) return;
  for (const call of walk.served) {
    if (call.servedAt !== walk.step || call.parts.kind === "on lease") continue;
    const older = waiting.find((other) =>
      other.parts.host === call.parts.host &&
      other.parts.step < call.parts.step &&
      (other.parts.kind !== "spawn" || call.parts.kind === "spawn")
    );
    assert(older === undefined, `${call} overtook ${older}`);
  }
}

function sum(hosts: readonly HostStats[], field: "connections" | "dialing") {
  return hosts.reduce((total, host) => total + host[field], 0);
}

function count<T>(items: Iterable<T>, test: (item: T) => boolean): number {
  let n = 0;
  for (const item of items) if (test(item)) n++;
  return n;
}
