/**
 * What holds for every host that does not say otherwise.
 *
 * @module
 */

import { discreet } from "./redacted.ts";
import { withLookupHint } from "./lookup_hint.ts";
import type { HostLike, ResolvedHost, SshHost } from "./host.ts";
import {
  type HostResolver,
  PlainResolver,
  type ResolveOptions,
} from "./resolver.ts";

/** The fields of a host, without those that say which host it is. */
export type HostDefaults = Omit<
  SshHost,
  "hostname" | "port" | "user" | "alias" | "jump"
>;

/** Fields that say which host it is, and so have no default. */
const OWN_FIELDS = ["hostname", "port", "user", "alias", "jump"];

/**
 * Fills the gaps that a resolver leaves.
 *
 * @param resolver The resolver.
 * @param defaults What to fill them with.
 * @returns A resolver that fills them.
 * @throws {TypeError} If a default is unknown or malformed.
 */
export function withDefaults(
  resolver: HostResolver,
  defaults: HostDefaults,
): HostResolver {
  for (const field of OWN_FIELDS) {
    if (field in defaults) {
      throw new TypeError(
        `Cannot use the defaults: ${field} is not allowed, it says which host it is`,
      );
    }
  }
  const { hostname: _, port: __, user: ___, ...checked } = new PlainResolver()
    .resolve({ hostname: "defaults", user: "defaults", ...defaults });
  const fill = (host: ResolvedHost): ResolvedHost =>
    withLookupHint(
      host,
      discreet({
        ...checked,
        ...host,
        ...(host.jump === undefined ? {} : { jump: host.jump.map(fill) }),
      }),
    );
  return {
    resolve(host: HostLike, options?: ResolveOptions) {
      const resolved = resolver.resolve(host, options);
      return resolved instanceof Promise ? resolved.then(fill) : fill(resolved);
    },
    isStable: (host: HostLike) => resolver.isStable?.(host) ?? true,
  };
}
