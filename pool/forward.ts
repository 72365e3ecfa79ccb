/**
 * Tunnels and local forwards through a pool.
 *
 * @module
 */

import type { Tunnel } from "../transport/connector.ts";
import type { ForwardOptions } from "../transport/forward/forward.ts";
import type {
  ListenLocalOptions,
  ListenSocksOptions,
} from "../transport/forward/listen.ts";
import type { ForwardTarget } from "../transport/host/target.ts";

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
