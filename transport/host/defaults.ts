/**
 * What holds for every host that does not say otherwise.
 *
 * @module
 */

import { redacted } from "./redacted.ts";
import { withLookupHint } from "./lookup_hint.ts";
import type { HostLike, ResolvedHost, SshHost } from "./host.ts";
import type { HostResolver, ResolveOptions } from "./resolver.ts";
import { frozenCopy, HOST_ADVICE, HOST_RULES } from "./validate_host.ts";
import { OptionTable } from "../options/table.ts";

/** The fields of a host, without those that say which host it is. */
export type HostDefaults = Omit<
  SshHost,
  "hostname" | "port" | "user" | "alias" | "jump"
>;

const { hostname: _, port: __, user: ___, alias: ____, jump: _____, ...RULES } =
  HOST_RULES;
/** Fields that say which host it is, and so have no default. */
const OWN_FIELDS = ["hostname", "port", "user", "alias", "jump"];

const DEFAULTS = new OptionTable<HostDefaults>("use the defaults", RULES, {
  ...HOST_ADVICE,
  elsewhere: (name) =>
    OWN_FIELDS.includes(name) ? "it says which host it is" : undefined,
});

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
  const checked: Record<string, unknown> = {};
  DEFAULTS.read(defaults, (name, value) => checked[name] = frozenCopy(value));
  const fill = (host: ResolvedHost): ResolvedHost =>
    withLookupHint(
      host,
      redacted({
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
