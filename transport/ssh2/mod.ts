/**
 * The adapter over ssh2.
 *
 * @module
 */

export { Ssh2Connector } from "./connector.ts";
