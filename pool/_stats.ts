/**
 * Statistics: gauges counted by walking, so that they cannot disagree.
 *
 * @module
 */

import type { PoolCore } from "./_pool_core.ts";
import type { Lane } from "./_lane.ts";
import type { HostStats, PoolStats } from "./events.ts";

/** What the pool shared like now. */
export function poolStats(engine: PoolCore): PoolStats {
  const hosts: HostStats[] = [];
  for (const lane of engine.lanes) {
    if (lane.isEmpty && lane.connections.size === 0) continue;
    hosts.push(hostStats(lane));
  }
  const sum = (field: keyof HostStats): number =>
    hosts.reduce((total, host) => total + (host[field] as number), 0);
  return {
    connections: sum("connections"),
    busy: sum("busy"),
    idle: sum("idle"),
    slots: sum("slots"),
    slotsInUse: sum("slotsInUse"),
    waiting: sum("waiting"),
    dialing: sum("dialing"),
    coolingDown: hosts.filter((host) => host.coolingDownMs > 0).length,
    dialWindow: engine.dialLimiter.size,
    hosts,
    counters: engine.telemetry.counters(),
  };
}

function hostStats(lane: Lane): HostStats {
  const entries = [...lane.connections];
  const busy = entries.filter((pooled) => pooled.isBusy).length;
  return {
    host: lane.name,
    connections: entries.length,
    busy,
    idle: entries.length - busy,
    slots: lane.open.length * lane.sessionLimit,
    slotsInUse: entries.reduce((sum, pooled) => sum + pooled.load, 0),
    waiting: lane.waiting,
    dialing: lane.dialing,
    coolingDownMs: lane.backoff.remainingMs,
    sessionLimit: lane.sessionLimit,
  };
}
