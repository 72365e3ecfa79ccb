/**
 * Tunnels and local forwards through a pool.
 *
 * @module
 */

import type { Tunnel } from "../transport/connector.ts";
import type { ForwardTarget } from "../transport/host/target.ts";

/** What {@linkcode ConnectionPool.connect} returns. */
export interface PoolTunnel extends Tunnel, AsyncDisposable {
  /**
   * Returns the tunnel as a stream of Node, for drivers of databases that take
   * one in the place of a socket. From the first call on its web streams belong
   * to the stream of Node, which is the same at each call.
   *
   * It answers what drivers ask of a socket: `connect()` gives `"connect"` at
   * once, and `setNoDelay()`, `setKeepAlive()`, `setTimeout()`, `ref()` and
   * `unref()` do nothing.
   *
   * @typeParam Stream What the caller takes it for: `Duplex` of `node:stream`, say.
   *   It is that of the driver that it is given to, and needs no types of Node.
   *
   * @throws {TypeError} If the web streams are in use.
   *
   * @example A driver that takes a stream, such as `pg`
   * ```ts ignore
   * const tunnel = await pool.connect("gate", "db.internal:5432");
   * const client = new pg.Client({ user: "app", stream: () => tunnel.node() });
   * ```
   */
  node<Stream = unknown>(): Stream;
}

/**
 * Options of {@linkcode ConnectionPool.forward}: a listener on this side that
 * leads to one target (`"local"`) or is a SOCKS proxy (`"dynamic"`: versions 4,
 * 4a and 5), or one of the host that leads to a target on this side (`"remote"`).
 *
 * The client of a connection that fails sees no more than its end: `onError` is
 * called, and the observer of the pool gets `"forward-failed"`, with the
 * reason.
 *
 * When the connection of a remote forward is lost, it is set up again, on the
 * same port, until it is closed; `onError` is called for each attempt that failed.
 * It ends for good when the host refuses the login or shows another host key:
 * its `closed` has the error then.
 */
export type ForwardOptions =
  | {
    /** As `ssh -L` does. */
    readonly type: "local";
    /** Where to listen: a port of 127.0.0.1, `host:port`, or the path of a unix socket. */
    readonly listen: number | string | ForwardTarget;
    /** Where each connection leads to. */
    readonly to: string | ForwardTarget;
    /** Closes the forward. */
    readonly signal?: AbortSignal;
    /**
     * Called with the error of each connection that failed. What it throws is
     * ignored. Default: nothing is called.
     */
    readonly onError?: (error: unknown) => void;
    /**
     * How many connections may be open at once; one more is reset.
     *
     * @default {1024}
     */
    readonly maxConnections?: number;
    /**
     * Whether a unix socket that is left at the path is replaced, as ssh's
     * `StreamLocalBindUnlink` does. Any other file is never replaced.
     *
     * @default {false}
     */
    readonly replaceSocket?: boolean;
  }
  | {
    /** As `ssh -D` does. */
    readonly type: "dynamic";
    /** Where to listen: a port of 127.0.0.1, `host:port`, or the path of a unix socket. */
    readonly listen: number | string | ForwardTarget;
    /**
     * How long a client may take to say where to, in milliseconds.
     *
     * @default {10_000}
     */
    readonly handshakeTimeoutMs?: number;
    /** Closes the forward. */
    readonly signal?: AbortSignal;
    /**
     * Called with the error of each connection that failed. What it throws is
     * ignored. Default: nothing is called.
     */
    readonly onError?: (error: unknown) => void;
    /**
     * How many connections may be open at once; one more is reset.
     *
     * @default {1024}
     */
    readonly maxConnections?: number;
    /**
     * Whether a unix socket that is left at the path is replaced, as ssh's
     * `StreamLocalBindUnlink` does. Any other file is never replaced.
     *
     * @default {false}
     */
    readonly replaceSocket?: boolean;
  }
  | {
    /** As `ssh -R` does. */
    readonly type: "remote";
    /** Where the host listens: a port of its 127.0.0.1, `host:port`, or a path. */
    readonly listen: number | string | ForwardTarget;
    /** Where each connection leads to on this side. */
    readonly to: string | ForwardTarget;
    /** Closes the forward. */
    readonly signal?: AbortSignal;
    /**
     * Called with the error of each connection that failed. What it throws is
     * ignored. Default: nothing is called.
     */
    readonly onError?: (error: unknown) => void;
    /**
     * How many connections may be open at once; one more is reset.
     *
     * @default {1024}
     */
    readonly maxConnections?: number;
  };
