/**
 * The treaty, hosts, commands and errors: what every adapter and the pool share.
 *
 * @module
 */

export { type Command, commandLine } from "./command/command.ts";
export * from "./command/errors.ts";
export * from "./connector.ts";
export * from "./errors.ts";
export { ForwardError } from "./forward/errors.ts";
export type { Forward, ForwardEnd, ForwardOptions } from "./forward/forward.ts";
export type {
  ListenLocalOptions,
  ListenSocksOptions,
} from "./forward/listen.ts";
export * from "./host/host.ts";
export { type HostParts, parseHost } from "./host/host_string.ts";
export * from "./process.ts";
export {
  type HostResolver,
  PlainResolver,
  type ResolveOptions,
} from "./host/resolver.ts";
export { RoutingConnector } from "./routing_connector.ts";
export * from "./session/errors.ts";
export * from "./sftp/mod.ts";
export {
  type ForwardTarget,
  parseTarget,
  type TcpTarget,
  type UnixTarget,
} from "./host/target.ts";
export {
  type RawShellText,
  sh,
  type ShellTag,
  type ShellValue,
  type ShellWord,
} from "./command/template.ts";
