/**
 * Tunnels and local forwards through a pool.
 *
 * @module
 */

import type { Connection, Tunnel } from "../transport/connector.ts";
import { ConnectionLostError } from "../transport/errors.ts";
import type { Forward, ForwardOptions } from "../transport/forward/forward.ts";
import {
  listenLocal,
  type ListenLocalOptions,
  listenSocks,
  type ListenSocksOptions,
  type OpenTunnel,
} from "../transport/forward/listen.ts";
import { RemoteForward } from "../transport/forward/remote.ts";
import * as rules from "../transport/options/rules.ts";
import { showType } from "../transport/options/show_value.ts";
import { Field, OptionTable } from "../transport/options/table.ts";
import {
  type ForwardTarget,
  parseListen,
  parseTarget,
} from "../transport/host/target.ts";
import { isRefusal } from "./lane/backoff.ts";

/** What {@linkcode ConnectionPool.connect} returns. */
export interface PoolTunnel extends Tunnel, AsyncDisposable {}

/** A forward from a listener on this side to one target. */
export interface LocalForwardOptions extends ListenLocalOptions {
  /** As `ssh -L` does. */
  readonly type: "local";
}

/** A SOCKS5 proxy on this side. */
export interface DynamicForwardOptions extends ListenSocksOptions {
  /** As `ssh -D` does. */
  readonly type: "dynamic";
}

/**
 * A forward from a listener of the host to a target on this side. When its
 * connection is lost, it is set up again, on the same port, until it is closed;
 * `onError` is told of each attempt that failed. It ends for good when the host
 * refuses the login or shows another host key: its `closed` has the error then.
 * `replaceSocket` is the server's to decide here.
 */
export interface RemoteForwardOptions
  extends Pick<ForwardOptions, "signal" | "onError" | "maxConnections"> {
  /** As `ssh -R` does. */
  readonly type: "remote";
  /** Where the host listens: a port of its 127.0.0.1, `host:port`, or a path. */
  readonly listen: number | string | ForwardTarget;
  /** Where each connection leads to on this side. */
  readonly to: string | ForwardTarget;
}

/** Options of {@linkcode ConnectionPool.forward}. */
export type PoolForwardOptions =
  | LocalForwardOptions
  | DynamicForwardOptions
  | RemoteForwardOptions;

/** Gives a connection, which may be one that others use. */
export type GetConnection = (signal?: AbortSignal) => Promise<Connection>;

/** Opens a tunnel; once more if the connection was lost meanwhile. */
export async function openThrough(
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
    [Symbol.asyncDispose](): Promise<void> {
      tunnel.close();
      return tunnel.closed;
    },
  });
}

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
  local: new OptionTable<LocalForwardOptions>("forward", {
    ...LISTENER,
    to: rules.anything,
  }),
  dynamic: new OptionTable<DynamicForwardOptions>("forward", {
    ...LISTENER,
    handshakeTimeoutMs: rules.duration({ zero: false }),
  }),
  remote: new OptionTable<RemoteForwardOptions>("forward", {
    ...COMMON,
    to: rules.anything,
  }),
};

const isType = rules.oneOf(...Object.keys(TABLES));

function checkOptions(options: PoolForwardOptions): PoolForwardOptions {
  if (
    options !== undefined && (typeof options !== "object" || options === null)
  ) {
    new Field("forward", "options").wrong(showType(options), "an object");
  }
  const { type } = (options ?? {}) as { type?: unknown };
  isType(type, new Field("forward", "type"));
  return TABLES[type as PoolForwardOptions["type"]].check(options);
}

/** The forwards of a pool. */
export class Forwards {
  readonly #open = new Set<Forward>();

  /** Starts one; it is closed with the pool. */
  async start(
    get: GetConnection,
    given: PoolForwardOptions,
  ): Promise<Forward> {
    const options = checkOptions(given);
    const open: OpenTunnel = (target, { signal }) =>
      openThrough(get, target, signal);
    const forward = options.type === "remote"
      ? await RemoteForward.start({
        get,
        listen: parseListen(options.listen),
        to: parseTarget(options.to),
        options,
        isFinal: isRefusal,
      })
      : await listen(open, options);
    this.#open.add(forward);
    forward.closed.then(() => this.#open.delete(forward));
    return forward;
  }

  /** Closes all. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((forward) => forward.close()));
  }
}

function listen(
  open: OpenTunnel,
  options: LocalForwardOptions | DynamicForwardOptions,
): Promise<Forward> {
  return options.type === "local"
    ? listenLocal(open, options)
    : listenSocks(open, options);
}
