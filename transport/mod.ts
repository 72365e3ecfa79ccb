/**
 * The treaty, hosts, commands and errors: what every adapter and the pool share.
 *
 * @module
 */

export { type Command, commandLine } from "./command/command.ts";
export * from "./command/errors.ts";
export * from "./connector.ts";
export * from "./errors.ts";
export { errorFromJson, type ErrorJson, errorToJson } from "./error_json.ts";
export { ForwardError } from "./forward/errors.ts";
export type {
  Forward,
  ForwardEnd,
  ForwardFailureReason,
} from "./forward/forward.ts";
export * from "./host/host.ts";
export { NameResolver } from "./host/names.ts";
export * from "./process.ts";
export {
  type HostResolver,
  PlainResolver,
  type ResolveOptions,
} from "./host/resolver.ts";
export { RoutingConnector } from "./routing_connector.ts";
export * from "./session/errors.ts";
export type {
  SftpCallOptions,
  SftpDirEntry,
  SftpFile,
  SftpFileInfo,
  SftpFileSystemInfo,
  SftpWalkEntry,
} from "./sftp/file.ts";
export { SftpError, type SftpErrorCode } from "./sftp/errors.ts";
export type {
  EntryFilter,
  SftpGlobOptions,
  SftpMkdirOptions,
  SftpOpenOptions,
  SftpReadFileOptions,
  SftpRemoveOptions,
  SftpSudoOptions,
  SftpWalkOptions,
  SftpWriteFileOptions,
} from "./sftp/options.ts";
export type { Sftp } from "./sftp/sftp.ts";
export type {
  TransferOptions,
  TransferProgress,
  TransferResult,
} from "./sftp/transfer/options.ts";
export type { ForwardTarget } from "./host/target.ts";
export {
  type RawShellText,
  sh,
  type ShellTag,
  type ShellValue,
  type ShellWord,
} from "./command/template.ts";
