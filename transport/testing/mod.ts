/**
 * Hosts for tests: {@linkcode MemoryConnector}, which needs no network, and
 * {@linkcode EmbeddedServer}, a real SSH server in the process; and
 * {@linkcode connectorContract}, the tests that any adapter has to pass.
 *
 * @module
 */

export {
  connectorContract,
  type ContractAdapter,
  contractCommands,
  type ContractOptions,
  type ContractRig,
} from "./contract/connector_contract.ts";
export type {
  CommandContext,
  CommandHandler,
  CommandResult,
  Commands,
  CommandScript,
  CommandTerminal,
} from "./scripts/command_script.ts";
export { UnscriptedCommandError } from "./scripts/commands.ts";
export { EmbeddedServer } from "./server/embedded_server.ts";
export type { EmbeddedServerOptions } from "./server/embedded_server_options.ts";
export { FileError, type FileErrorCode } from "./files/file_error.ts";
export {
  type MemoryContent,
  type MemoryEntry,
  MemoryFiles,
  type MemoryFilesOptions,
} from "./files/memory_files.ts";
export { MemoryConnection } from "./memory/memory_connection.ts";
export { MemoryConnector } from "./memory/memory_connector.ts";
export type {
  MemoryCall,
  MemoryConnectorOptions,
  ScriptedConnection,
  TargetContext,
  TargetHandler,
  Targets,
} from "./memory/memory_connector_options.ts";
export type { Outcome } from "./scripts/outcome.ts";
export type { SftpOperation, SftpRequest } from "./sftp_server/request.ts";
