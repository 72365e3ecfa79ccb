/**
 * The adapter over ssh2.
 *
 * @module
 */

export { Ssh2Connector, type Ssh2ConnectorOptions } from "./connector.ts";
