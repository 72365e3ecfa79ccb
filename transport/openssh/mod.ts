/**
 * The adapter over the machine's own OpenSSH.
 *
 * @module
 */

export { OpenSshConnector } from "./connector.ts";
export type { OpenSshConnectorOptions } from "./options.ts";
