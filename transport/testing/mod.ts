/**
 * Hosts for tests: {@linkcode MemoryConnector}, which needs no network.
 *
 * @module
 */

export type {
  CommandContext,
  CommandHandler,
  CommandResult,
  Commands,
  CommandScript,
} from "./commands.ts";
export { MemoryConnection, type MemoryLedger } from "./memory_connection.ts";
export {
  MemoryConnector,
  type MemoryConnectorOptions,
} from "./memory_connector.ts";
export type { Outcome } from "./outcome.ts";
