/**
 * Hosts for tests: {@linkcode MemoryConnector}, which needs no network, and
 * {@linkcode EmbeddedServer}, a real SSH server in the process.
 *
 * @module
 */

export type {
  CommandContext,
  CommandHandler,
  CommandResult,
  Commands,
  CommandScript,
  CommandTerminal,
} from "./command_script.ts";
export { UnscriptedCommandError } from "./commands.ts";
export { EmbeddedServer } from "./embedded_server.ts";
export type {
  EmbeddedServerOptions,
  ForwardPermission,
} from "./embedded_server_options.ts";
export { MemoryFiles } from "./files/memory_files.ts";
export type {
  MemoryContent,
  MemoryEntry,
  MemoryFilesOptions,
} from "./files/memory_files_options.ts";
export { MemoryConnection } from "./memory_connection.ts";
export { MemoryConnector } from "./memory_connector.ts";
export type {
  MemoryCall,
  MemoryConnectorOptions,
  ScriptedConnection,
  TargetContext,
  TargetHandler,
  Targets,
} from "./memory_connector_options.ts";
export type { Outcome } from "./outcome.ts";
export type { SftpOperation, SftpRequest } from "../sftp/server/request.ts";
export {
  FileError,
  type FileErrorCode,
  type FileErrorOptions,
} from "../sftp/server/served_files.ts";
