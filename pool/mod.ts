/**
 * The pool, for any connector. Nothing in it depends on npm.
 *
 * @module
 */

export type {
  DiagnosticEvent,
  DiagnosticPool,
  OperationEnd,
  OperationName,
  PoolOperation,
} from "./telemetry/diagnostics.ts";
export {
  AcquireTimeoutError,
  HostCooldownError,
  PoolClosedError,
  type WaitReason,
  type WaitSnapshot,
} from "../transport/pool_errors.ts";
export type {
  CloseCause,
  HostStats,
  PoolCounters,
  PoolEvent,
  PoolObserver,
  PoolStats,
  RetryCause,
} from "./telemetry/events.ts";
export type {
  FanOut,
  FanOutCommandOptions,
  FanOutExecOptions,
  FanOutOptions,
  FanOutProgress,
  FanOutResult,
  FanOutWork,
  WarmResult,
} from "./fan_out.ts";
export type { ForwardOptions, PoolTunnel } from "./forward.ts";
export { Lease } from "./lease.ts";
export type {
  AcquireOptions,
  BackoffOptions,
  CloseOptions,
  ConnectionPoolOptions,
  ExecOptions,
  ExecResultOf,
  PoolSftpOptions,
  PoolTransferOptions,
  ShellOptions,
  SpawnOptions,
} from "./options.ts";
export { ConnectionPool, HostHandle } from "./pool.ts";
export type {
  TemplateOptions,
  TemplateResult,
  TemplateTag,
} from "./template.ts";
export type { HostDefaults } from "../transport/host/defaults.ts";
export * from "../transport/mod.ts";
export type {
  SftpAttributes,
  SftpRangeOptions,
  SftpWriteFromOptions,
} from "../transport/sftp/file.ts";
export type {
  SshConfigResolverOptions,
} from "../transport/ssh_config/config.ts";
