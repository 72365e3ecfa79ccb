/**
 * What a pool uses where its options name no connector and no resolver.
 *
 * @module
 */

import type { Connector } from "../transport/connector.ts";
import { withDefaults } from "../transport/defaults.ts";
import { type HostResolver, PlainResolver } from "../transport/resolver.ts";
import type { SshConfigResolverOptions } from "../transport/ssh_config/resolver.ts";
import type { ConnectionPoolOptions } from "./options.ts";

/** The parts that the main entry point brings along. */
export interface PoolDefaults {
  /** Makes the connector. */
  connector(): Connector;
  /** Makes the resolver for the option `config`. */
  resolver(config: SshConfigResolverOptions): HostResolver;
}

let defaults: PoolDefaults | undefined;

/**
 * Sets the defaults of all pools that are made from here on. For the main entry
 * point, so that `./pool` alone needs no npm package.
 */
export function setPoolDefaults(parts: PoolDefaults): void {
  defaults = parts;
}

/**
 * The connector and the resolver of a pool.
 *
 * @throws {TypeError} If there is no connector, or a default is malformed.
 */
export function partsOf(
  options: ConnectionPoolOptions,
): { connector: Connector; resolver: HostResolver } {
  const connector = options.connector ?? defaults?.connector();
  if (connector === undefined) {
    throw new TypeError(
      "Cannot create the pool: connector is undefined, must be an object with " +
        "a connect() method (only the main entry point has a default)",
    );
  }
  const resolver = options.resolver ?? defaultResolver(options);
  return {
    connector,
    resolver: options.defaults === undefined
      ? resolver
      : withDefaults(resolver, options.defaults),
  };
}

function defaultResolver({ config }: ConnectionPoolOptions): HostResolver {
  if (config === false || defaults === undefined) return new PlainResolver();
  return defaults.resolver(config ?? {});
}
