/**
 * The hop of a dial: a pooled connection that the new one is tunnelled through.
 *
 * @module
 */

import { abortable, Deadline } from "../../transport/abort.ts";
import type { Tunnel } from "../../transport/connector.ts";
import { DialError } from "../../transport/errors.ts";
import { hostLabel, type ResolvedHost } from "../../transport/host/host.ts";
import type { PoolContext } from "./context.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import { hintOf, reasonOf } from "../telemetry/failure.ts";
import type { Operation } from "../telemetry/tracing.ts";

/**
 * Returns the hop of a host, pinned; `undefined` if it has none.
 *
 * @throws {DialError} If there is no connection to the hop.
 */
export async function pinHop(
  context: PoolContext,
  host: ResolvedHost,
  signal: AbortSignal,
  dial: Operation | undefined,
): Promise<PooledConnection | undefined> {
  const jump = host.jump ?? [];
  const last = jump.at(-1);
  if (last === undefined) return undefined;
  const before = jump.slice(0, -1);
  const hop: ResolvedHost = before.length === 0
    ? last
    : { ...last, jump: before };
  try {
    return await context.pinHop(hop, signal, dial);
  } catch (error) {
    signal.throwIfAborted();
    throw hopFailed(host, hop, error);
  }
}

/**
 * Opens a tunnel through a hop. A hop that never answers must not keep the
 * dial's turn beyond its deadline.
 *
 * @throws {DialError} If the hop refuses, or does not answer in time.
 */
export async function tunnelThrough(
  host: ResolvedHost,
  hop: PooledConnection,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Tunnel> {
  const { connection } = hop;
  if (connection.forwardOut === undefined) {
    throw new DialError(
      "proxy",
      `Cannot connect to "${hostLabel(host)}": the connector of hop "${
        hostLabel(connection.host)
      }" cannot forward`,
      { host: hostLabel(host) },
    );
  }
  signal.throwIfAborted();
  const late = () => new Error(`no tunnel in ${Math.round(timeoutMs)} ms`);
  const deadline = new Deadline(timeoutMs, late, signal);
  const { hostname, port } = host;
  const opening = connection.forwardOut({ hostname, port }, {
    signal: deadline.signal,
  });
  try {
    return await abortable(opening, deadline.signal);
  } catch (error) {
    // An adapter that opens it all the same: nobody else would close it.
    opening.then((tunnel) => tunnel.close(), () => {});
    signal.throwIfAborted();
    throw hopFailed(host, connection.host, error);
  } finally {
    deadline.cancel();
  }
}

function hopFailed(
  host: ResolvedHost,
  hop: ResolvedHost,
  cause: unknown,
): DialError {
  return new DialError(
    "proxy",
    `Cannot connect to "${hostLabel(host)}": hop "${hostLabel(hop)}" failed: ${
      reasonOf(cause)
    }`,
    { host: hostLabel(host), cause, hint: hintOf(cause) },
  );
}
