/**
 * An SSH connection pool: one dial per host however many callers ask,
 * thousands of commands over a handful of connections, and every promise
 * settles with the truth.
 *
 * @example Run a command on a host of your ssh_config
 * ```ts ignore
 * import { ConnectionPool } from "@sshpool/sshpool";
 *
 * await using pool = new ConnectionPool();
 * const { stdout } = await pool.exec("web-1", ["uptime"]);
 * console.log(stdout);
 * ```
 *
 * @module
 */

import type { ConnectionPoolOptions as PoolOptions } from "./pool/options.ts";
import { ConnectionPool as Pool } from "./pool/pool.ts";
import type { Connector } from "./transport/connector.ts";
import { type HostDefaults, withDefaults } from "./transport/defaults.ts";
import { type HostResolver, PlainResolver } from "./transport/resolver.ts";
import { Ssh2Connector } from "./transport/ssh2/connector.ts";
import {
  SshConfigResolver,
  type SshConfigResolverOptions,
} from "./transport/ssh_config/resolver.ts";

/** Options for {@linkcode ConnectionPool}. */
export interface ConnectionPoolOptions
  extends Omit<PoolOptions, "connector" | "resolver"> {
  /** Makes the connections. Default: an {@linkcode Ssh2Connector}. */
  readonly connector?: Connector;
  /**
   * Turns what callers name into hosts. Default: an
   * {@linkcode SshConfigResolver}, as `config` says.
   */
  readonly resolver?: HostResolver;
  /**
   * Which ssh_config files strings are looked up in; `false` for none, in
   * which case a string is `user@host:port` and nothing else. Default: those
   * that `ssh` reads.
   */
  readonly config?: false | SshConfigResolverOptions;
  /** What holds for every host that does not say otherwise, hops included. */
  readonly defaults?: HostDefaults;
}

/**
 * An SSH connection pool with ssh2, ssh_config and known_hosts built in.
 *
 * Concurrent callers for one host await one dial, commands share a handful of
 * connections, and every promise settles.
 *
 * @example Many commands, few connections
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { EmbeddedServer } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = await EmbeddedServer.start();
 * await using pool = new ConnectionPool();
 * const results = await Promise.all(
 *   Array.from({ length: 50 }, (_, i) => pool.exec(server.host(), `echo ${i}`)),
 * );
 * assertEquals(results[49]?.stdout, "49\n");
 * ```
 */
export class ConnectionPool extends Pool {
  /**
   * Makes a pool. Nothing is dialled and no file is read yet.
   *
   * @param options The limits, and where hosts come from.
   * @throws {TypeError} If an option has the wrong type or is unknown.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(options: ConnectionPoolOptions = {}) {
    const { config, defaults, ...rest } = options ?? {};
    const resolver = rest.resolver ??
      (config === false
        ? new PlainResolver()
        : new SshConfigResolver(config ?? {}));
    super({
      ...rest,
      connector: rest.connector ?? new Ssh2Connector(),
      resolver: defaults === undefined
        ? resolver
        : withDefaults(resolver, defaults),
    });
  }
}

export {
  type AcquireOptions,
  AcquireTimeoutError,
  type AcquireTimeoutErrorOptions,
  type BackoffOptions,
  type CloseCause,
  type CloseOptions,
  type DynamicForwardOptions,
  type FanOutOptions,
  type FanOutResult,
  type FanOutWork,
  HostCooldownError,
  type HostCooldownErrorOptions,
  type HostStats,
  Lease,
  type LocalForwardOptions,
  PoolClosedError,
  type PoolCounters,
  type PoolEvent,
  type PoolExecOptions,
  type PoolForwardOptions,
  type PoolObserver,
  type PoolSpawnOptions,
  type PoolStats,
  type PoolTunnel,
  type RemoteForwardOptions,
  type RetryCause,
  type WaitReason,
  type WaitSnapshot,
  type WarmResult,
} from "./pool/mod.ts";
export type { HostDefaults } from "./transport/defaults.ts";
export {
  type HostResolver,
  PlainResolver,
  type ResolveOptions,
} from "./transport/resolver.ts";
export * from "./transport/mod.ts";
export * from "./transport/ssh2/mod.ts";
export * from "./transport/ssh_config/mod.ts";
