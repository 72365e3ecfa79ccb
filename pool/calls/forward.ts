/**
 * `connect()` and `forward()`: tunnels through the connections of a pool.
 *
 * @module
 */

import type { Connection, Tunnel } from "../../transport/connector.ts";
import { ConnectionLostError } from "../../transport/errors.ts";
import type { Forward, TellFailure } from "../../transport/forward/forward.ts";
import {
  listenLocal,
  listenSocks,
  type OpenTunnel,
} from "../../transport/forward/listen.ts";
import { RemoteForward } from "../../transport/forward/remote.ts";
import { socketOfTunnel } from "../../transport/forward/tunnel_stream.ts";
import {
  type ForwardTarget,
  parseListen,
  parseTarget,
  targetName,
} from "../../transport/host/target.ts";
import * as rules from "../../transport/options/rules.ts";
import { showType } from "../../transport/options/show_value.ts";
import { Field, OptionTable } from "../../transport/options/table.ts";
import type { ForwardOptions, PoolTunnel } from "../forward.ts";
import { isRefusal } from "../lane/backoff.ts";
import { ACQUIRE_OPTIONS, type AcquireOptions } from "../options.ts";
import { givenLabel } from "../telemetry/host_label.ts";
import { sharedConnection } from "./acquire.ts";
import { type CallTarget, rejecting, tracedWhole } from "./call.ts";

/** Returns a connection, which may be one that others use. */
type GetConnection = (signal?: AbortSignal) => Promise<Connection>;

/** Opens a byte stream from the host to a target. */
export function connect(
  target: CallTarget,
  to: string | ForwardTarget,
  options?: AcquireOptions,
): Promise<PoolTunnel> {
  return rejecting(() => {
    const given = ACQUIRE_OPTIONS.check(options);
    const parsed = parseTarget(to);
    return tracedWhole(target, "connect", (operation) => {
      const get = () => sharedConnection(target, given, operation);
      return openThrough(get, parsed, given.signal);
    });
  });
}

/** Opens a tunnel; once more if the connection was lost meanwhile. */
async function openThrough(
  get: GetConnection,
  target: ForwardTarget,
  signal: AbortSignal | undefined,
): Promise<PoolTunnel> {
  try {
    return disposable(await openOnce(get, target, signal));
  } catch (error) {
    if (!(error instanceof ConnectionLostError) || signal?.aborted) throw error;
    // Nothing was sent to the target.
    return disposable(await openOnce(get, target, signal));
  }
}

async function openOnce(
  get: GetConnection,
  target: ForwardTarget,
  signal: AbortSignal | undefined,
): Promise<Tunnel> {
  const connection = await get(signal);
  if (connection.forwardOut === undefined) {
    throw new TypeError(
      "Cannot forward: the connector of the pool does not support it",
    );
  }
  return await connection.forwardOut(target, signal ? { signal } : {});
}

function disposable(tunnel: Tunnel): PoolTunnel {
  return Object.assign(tunnel, {
    node: <Stream>() => socketOfTunnel(tunnel) as Stream,
    [Symbol.asyncDispose](): Promise<void> {
      tunnel.close();
      return tunnel.closed;
    },
  });
}

type OptionsOf<Type extends ForwardOptions["type"]> = Extract<
  ForwardOptions,
  { readonly type: Type }
>;

const COMMON = {
  maxConnections: rules.count,
  // Checked before it chooses the table.
  type: rules.anything,
  // The addresses are checked where they are parsed.
  listen: rules.anything,
  signal: rules.signal,
  onError: rules.callback,
};
const LISTENER = {
  ...COMMON,
  replaceSocket: rules.flag,
};
const TABLES = {
  local: new OptionTable<OptionsOf<"local">>("forward", {
    ...LISTENER,
    to: rules.anything,
  }),
  dynamic: new OptionTable<OptionsOf<"dynamic">>("forward", {
    ...LISTENER,
    handshakeTimeoutMs: rules.duration({ zero: false }),
  }),
  remote: new OptionTable<OptionsOf<"remote">>("forward", {
    ...COMMON,
    to: rules.anything,
  }),
};

const isType = rules.oneOf(...Object.keys(TABLES));

function checkOptions(options: ForwardOptions): ForwardOptions {
  if (
    options !== undefined && (typeof options !== "object" || options === null)
  ) {
    new Field("forward", "options").wrong(showType(options), "an object");
  }
  const { type } = (options ?? {}) as { type?: unknown };
  isType(type, new Field("forward", "type"));
  return TABLES[type as ForwardOptions["type"]].check(options);
}

/** Listens, and leads each connection on; ends with the pool. */
export function forward(
  target: CallTarget,
  given: ForwardOptions,
): Promise<Forward> {
  const { pool } = target;
  return tracedWhole(target, "forward", async (operation) => {
    if (pool.isClosing) throw pool.closedError();
    const get: GetConnection = (signal) =>
      sharedConnection(target, { signal }, operation);
    const options = checkOptions(given);
    const forward = await start(get, options, telling(target, options));
    pool.forwards.add(forward);
    forward.closed.then(() => pool.forwards.delete(forward));
    if (!pool.isClosing) return forward;
    await forward.close();
    throw pool.closedError();
  });
}

/** Makes an event of each failure: a client sees no more than a reset. */
function telling(target: CallTarget, options: ForwardOptions): TellFailure {
  const { pool, host } = target;
  return ({ reason, listen, to, error }) =>
    pool.telemetry.record({
      type: "forward-failed",
      host: pool.directory.known(host)?.name ?? givenLabel(host),
      forward: options.type,
      listen: targetName(listen),
      ...to !== undefined && { to: targetName(to) },
      reason,
      error,
    });
}

async function start(
  get: GetConnection,
  options: ForwardOptions,
  tell: TellFailure,
): Promise<Forward> {
  const open: OpenTunnel = (target, { signal }) =>
    openThrough(get, target, signal);
  if (options.type === "local") return await listenLocal(open, options, tell);
  if (options.type === "dynamic") {
    return await listenSocks(open, options, tell);
  }
  return await RemoteForward.start({
    get,
    listen: parseListen(options.listen),
    to: parseTarget(options.to),
    options,
    tell,
    isFinal: isRefusal,
  });
}
