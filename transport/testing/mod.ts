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
export {
  EmbeddedServer,
  type EmbeddedServerOptions,
} from "./embedded_server.ts";
export { MemoryConnection } from "./memory_connection.ts";
export {
  type MemoryCall,
  MemoryConnector,
  type MemoryConnectorOptions,
} from "./memory_connector.ts";
export type { Outcome } from "./outcome.ts";
