/**
 * `acquire()`, `getConnection()` and `warm()`: a slot or a connection, and
 * nothing that runs on it.
 *
 * @module
 */

import type { Connection } from "../../transport/connector.ts";
import type { HostLike } from "../../transport/host/host.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import type { WarmResult } from "../fan_out.ts";
import { Lease } from "../lease.ts";
import { ACQUIRE_OPTIONS, type AcquireOptions } from "../options.ts";
import { withHost } from "../telemetry/host_label.ts";
import { isTraced, type Operation } from "../telemetry/tracing.ts";
import {
  type Call,
  type CallContext,
  CallTarget,
  type CheckedAcquireOptions,
  onLane,
  rejecting,
} from "./call.ts";
import { checkHosts } from "./fan_out.ts";
import { takeTold } from "./slot.ts";

/** Lends a slot. */
export function acquire(
  pool: CallContext,
  host: HostLike,
  options?: AcquireOptions,
): Promise<Lease> {
  if (options === undefined && !isTraced("acquire")) {
    const pooled = pool.directory.known(host)?.tryTake("command");
    if (pooled !== undefined) {
      return Promise.resolve(lease(pool, pooled, undefined));
    }
  }
  return rejecting(() => {
    const call: Call = { ...ACQUIRE_OPTIONS.check(options), name: "acquire" };
    const target = new CallTarget(pool, host);
    return onLane(target, call, async (lane, wait) => {
      const { operation } = wait;
      const { pooled } = await takeTold(lane, "command", wait, operation);
      return lease(pool, pooled, operation);
    });
  });
}

function lease(
  { leases }: CallContext,
  pooled: PooledConnection,
  operation: Operation | undefined,
): Lease {
  const disarm = leases.watch(pooled);
  const group = leases.join(pooled);
  if (operation === undefined) return new Lease(pooled, group, disarm);
  return new Lease(pooled, group, () => {
    disarm?.();
    operation.release();
  });
}

/** Returns the connection that everybody shares. */
export function getConnection(
  pool: CallContext,
  host: HostLike,
  options?: AcquireOptions,
): Promise<Connection> {
  if (options === undefined) {
    const shared = warmConnection(pool, host, undefined);
    if (shared !== undefined) return shared;
  }
  return rejecting(() => {
    const given = ACQUIRE_OPTIONS.check(options);
    return sharedConnection(new CallTarget(pool, host), given);
  });
}

/** Hands out what is there: the same promise to everybody, and nothing new. */
function warmConnection(
  pool: CallContext,
  host: HostLike,
  signal: AbortSignal | undefined,
): Promise<Connection> | undefined {
  const pooled = pool.directory.known(host)?.open[0];
  if (!pooled?.isUsable || signal?.aborted) return undefined;
  pooled.markShared();
  return pooled.shared;
}

/** The same with options that were checked, as a part of another call. */
export function sharedConnection(
  target: CallTarget,
  options: CheckedAcquireOptions,
  parent?: Operation,
): Promise<Connection> {
  const shared = warmConnection(target.pool, target.host, options.signal);
  if (shared !== undefined) return shared;
  const call: Call = { ...options, name: "acquire", parent };
  return onLane(target, call, async (lane, wait) => {
    if (wait.operation !== undefined) wait.operation.waited = true;
    const pooled = await lane.acquire("shared", wait);
    return pooled.shared;
  });
}

/** Dials hosts ahead of need. */
export function warm(
  pool: CallContext,
  hosts: Iterable<HostLike>,
  options?: AcquireOptions,
): Promise<WarmResult[]> {
  return rejecting(() => {
    checkHosts(hosts, "warm");
    const given = ACQUIRE_OPTIONS.check(options);
    return Promise.all(Array.from(hosts, async (host) => {
      try {
        await sharedConnection(new CallTarget(pool, host), given);
        return withHost(host, { ok: true });
      } catch (error) {
        return withHost(host, { ok: false, error });
      }
    }));
  });
}
