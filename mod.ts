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

import { setDefaultConnector } from "./pool/defaults.ts";
import type { ConnectionPoolOptions } from "./pool/options.ts";
import type { Connector } from "./transport/connector.ts";
import { OpenSshConnector } from "./transport/openssh/connector.ts";
import { RoutingConnector } from "./transport/routing_connector.ts";
import { Ssh2Connector } from "./transport/ssh2/connector.ts";

setDefaultConnector(defaultConnector);

/** ssh2, and the machine's own `ssh` for hosts that name it. */
function defaultConnector({ config }: ConnectionPoolOptions): Connector {
  // `ssh` reads no other files than the pool. It takes one file at most.
  const files = config === false ? [] : config?.files;
  return new RoutingConnector({
    ssh2: new Ssh2Connector(),
    openssh: new OpenSshConnector(
      files === undefined
        ? {}
        : { configFile: files.length === 1 ? files[0]! : false },
    ),
  });
}

export {
  type AcquireOptions,
  AcquireTimeoutError,
  type AcquireTimeoutErrorOptions,
  type BackoffOptions,
  type CloseCause,
  type CloseOptions,
  ConnectionPool,
  type ConnectionPoolOptions,
  type DiagnosticEvent,
  type DiagnosticPool,
  type DynamicForwardOptions,
  type FanOut,
  type FanOutCommandOptions,
  type FanOutExecOptions,
  type FanOutOptions,
  type FanOutProgress,
  type FanOutResult,
  type FanOutWork,
  HostCooldownError,
  type HostCooldownErrorOptions,
  HostHandle,
  type HostStats,
  Lease,
  type LocalForwardOptions,
  type OperationEnd,
  type OperationName,
  PoolClosedError,
  type PoolCounters,
  type PoolEvent,
  type PoolExecOptions,
  type PoolForwardOptions,
  type PoolObserver,
  type PoolOperation,
  type PoolShellOptions,
  type PoolSpawnOptions,
  type PoolStats,
  type PoolTransferOptions,
  type PoolTunnel,
  type RemoteForwardOptions,
  type RetryCause,
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
export * from "./transport/ssh_config/mod.ts";
