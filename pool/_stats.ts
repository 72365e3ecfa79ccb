/**
 * Statistics: gauges counted by walking, so that they cannot disagree.
 *
 * @module
 */

import type { Engine } from "./_engine.ts";
import type { Lane } from "./_lane.ts";
import type { HostStats, PoolStats } from "./events.ts";

/** What the pool looks like now. */
export function poolStats(engine: Engine): PoolStats {
  const hosts: HostStats[] = [];
  for (const lane of engine.lanes) {
    if (lane.isEmpty && lane.entries.size === 0) continue;
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
    dialWindow: engine.window.size,
    hosts,
    counters: engine.journal.counters(),
  };
}

function hostStats(lane: Lane): HostStats {
  const entries = [...lane.entries];
  const busy = entries.filter((entry) => entry.isBusy).length;
  return {
    host: lane.name,
    connections: entries.length,
    busy,
    idle: entries.length - busy,
    slots: lane.open.length * lane.sessionLimit,
    slotsInUse: entries.reduce((sum, entry) => sum + entry.load, 0),
    waiting: lane.waiting,
    dialing: lane.dialing,
    coolingDownMs: lane.cooldown.remainingMs,
    sessionLimit: lane.sessionLimit,
  };
}
