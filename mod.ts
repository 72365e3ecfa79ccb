/**
 * An SSH connection pool: one dial per host however many callers ask,
 * thousands of commands over a few connections. Every promise settles, and a
 * failure is never reported as success.
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

import { ConnectionPool as BaseConnectionPool } from "./pool/mod.ts";
import { type ConnectionPoolOptions, POOL_OPTIONS } from "./pool/options.ts";
import type { Connector } from "./transport/connector.ts";
import { OpenSshConnector } from "./transport/openssh/connector.ts";
import { RoutingConnector } from "./transport/routing_connector.ts";
import { Ssh2Connector } from "./transport/ssh2/connector.ts";

export {
  type AcquireOptions,
  AcquireTimeoutError,
  type BackoffOptions,
  type CloseCause,
  type CloseOptions,
  ConnectionPool as BaseConnectionPool,
  type ConnectionPoolOptions,
  type ExecOptions,
  type ExecResultOf,
  type FanOut,
  type FanOutCommandOptions,
  type FanOutExecOptions,
  type FanOutOptions,
  type FanOutProgress,
  type FanOutResult,
  type FanOutWork,
  type ForwardOptions,
  HostCooldownError,
  HostHandle,
  type HostStats,
  Lease,
  PoolClosedError,
  type PoolCounters,
  type PoolEvent,
  type PoolObserver,
  type PoolSftpOptions,
  type PoolStats,
  type PoolTransferOptions,
  type PoolTunnel,
  type RetryCause,
  type ShellOptions,
  type SpawnOptions,
  type TemplateOptions,
  type TemplateResult,
  type TemplateTag,
  type WaitReason,
  type WaitSnapshot,
  type WarmResult,
} from "./pool/mod.ts";
export type { HostDefaults } from "./transport/host/defaults.ts";
export {
  type HostResolver,
  PlainResolver,
  type ResolveOptions,
} from "./transport/host/resolver.ts";
export * from "./transport/mod.ts";
export * from "./transport/ssh2/mod.ts";
export type { SshConfigResolverOptions } from "./transport/ssh_config/config.ts";
export { SshConfigError } from "./transport/ssh_config/errors.ts";
export { SshConfigResolver } from "./transport/ssh_config/resolver.ts";

/**
 * An SSH connection pool: that of `./pool`, with a connector and the files of
 * `ssh` as defaults. Concurrent callers for one host await one dial, commands
 * share a few connections, and every promise settles.
 *
 * Its verbs are those of {@linkcode BaseConnectionPool}, and said there.
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
export class ConnectionPool extends BaseConnectionPool {
  /**
   * Makes a pool. Nothing is dialled and no file is read yet.
   *
   * @param options The limits, and where hosts and connections come from.
   * @throws {TypeError | RangeError} If an option is unknown or out of range.
   */
  constructor(options: ConnectionPoolOptions = {}) {
    super(withConnector(options));
  }
}

function withConnector(
  options: ConnectionPoolOptions,
): ConnectionPoolOptions & { readonly connector: Connector } {
  const given = POOL_OPTIONS.check(options);
  const { connector, config = {} } = given;
  // A connector of the caller's own, such as a fake, is no reason to read files.
  if (connector !== undefined) return { ...given, connector };
  return { ...given, config, connector: defaultConnector(config) };
}

/** ssh2, and the machine's own `ssh` for hosts that name it. */
function defaultConnector(
  config: NonNullable<ConnectionPoolOptions["config"]>,
): Connector {
  // `ssh` reads no other files than the pool. It takes one file at most.
  const files = config === false ? [] : config.files;
  return new RoutingConnector({
    ssh2: new Ssh2Connector(),
    openssh: new OpenSshConnector(
      files === undefined
        ? {}
        : { configFile: files.length === 1 ? files[0]! : false },
    ),
  });
}
