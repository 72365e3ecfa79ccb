/**
 * What a pool uses where its options have no name, connector or resolver.
 *
 * @module
 */

import type { Connector } from "../transport/connector.ts";
import { withDefaults } from "../transport/host/defaults.ts";
import {
  type HostResolver,
  PlainResolver,
} from "../transport/host/resolver.ts";
import { SshConfigResolver } from "../transport/ssh_config/resolver.ts";
import { checkOptions, type ConnectionPoolOptions } from "./options.ts";

let poolsMade = 0;
let makeConnector: ((options: ConnectionPoolOptions) => Connector) | undefined;

/**
 * Sets what makes the connector of pools that are given none. For the main
 * entry point, so that `./pool` alone needs no npm package.
 */
export function setDefaultConnector(
  make: (options: ConnectionPoolOptions) => Connector,
): void {
  makeConnector = make;
}

/**
 * The name, the connector and the resolver of a pool.
 *
 * @throws {TypeError | RangeError} If an option is unknown or wrong, or there
 * is no connector.
 */
export function partsOf(
  options: ConnectionPoolOptions,
): { name: string; connector: Connector; resolver: HostResolver } {
  checkOptions(options);
  const connector = options.connector ?? makeConnector?.(options);
  if (connector === undefined) {
    throw new TypeError(
      "Cannot create the pool: connector is undefined, must be an object with " +
        "a connect() method (only the main entry point has a default)",
    );
  }
  const resolver = options.resolver ?? defaultResolver(options);
  return {
    name: options.name ?? `sshpool-${++poolsMade}`,
    connector,
    resolver: options.defaults === undefined
      ? resolver
      : withDefaults(resolver, options.defaults),
  };
}

/** A connector of the caller's own, such as a fake, is no reason to read files. */
function defaultResolver(
  { config, connector }: ConnectionPoolOptions,
): HostResolver {
  const readsFiles = config === undefined ? connector === undefined : config;
  if (readsFiles === false) return new PlainResolver();
  return new SshConfigResolver(config || {});
}
