/**
 * A resolver for programs that know the names of hosts and nothing more.
 *
 * @module
 */

import type { HostLike, ResolvedHost } from "./host.ts";
import { hostLabel } from "./host.ts";
import { parseHost, urlAsText } from "./host_string.ts";
import { redacted } from "./redacted.ts";
import {
  type HostResolver,
  RESOLVE_OPTIONS,
  type ResolveOptions,
} from "./resolver.ts";
import { checkedHost } from "./validate_host.ts";

/** What a host may say here. */
const ALLOWED: readonly string[] = ["alias", "hostname", "port", "user"];

/**
 * Resolves names alone, for a pool whose hosts are known elsewhere: to a worker
 * behind a bus, say. Nothing is looked up, and a host that holds more than an
 * address and a user is refused, so that no credential of a program goes where
 * it does not belong. Where no user is named, it is empty.
 *
 * @example Usage
 * ```ts
 * import { NameResolver } from "@sshpool/sshpool";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const resolver = new NameResolver();
 * assertEquals(resolver.resolve("web-1").alias, "web-1");
 * assertThrows(
 *   () => resolver.resolve({ hostname: "web-1", password: "secret" }),
 *   TypeError,
 *   "password",
 * );
 * ```
 */
export class NameResolver implements HostResolver {
  /**
   * Resolves a host.
   *
   * @param named A name, or an object with an address and a user.
   * @param options Not used but for their check: nothing is looked up.
   * @returns A frozen copy, whose `alias` is the name.
   * @throws {TypeError} If the host is malformed, or holds anything else.
   */
  resolve(named: HostLike, options?: ResolveOptions): ResolvedHost {
    RESOLVE_OPTIONS.check(options);
    const host = urlAsText(named);
    if (typeof host === "string") {
      const { hostname, port = 22, user = "" } = parseHost(host);
      return redacted({ hostname, port, user, alias: host });
    }
    const extra = Object.keys(host ?? {}).find((name) =>
      !ALLOWED.includes(name) &&
      (host as unknown as Record<string, unknown>)[name] !== undefined
    );
    if (extra !== undefined) {
      throw new TypeError(
        `Cannot use the host: ${
          JSON.stringify(extra.slice(0, 64))
        } belongs where the host is dialled, only ${
          ALLOWED.join(", ")
        } are allowed here`,
      );
    }
    const { hostname, port = 22, user = "", alias } = checkedHost(host);
    const made = { hostname, port, ...user === "" ? {} : { user } };
    const name = alias ??
      (port === 22 ? hostLabel(made).replace(/:22$/, "") : hostLabel(made));
    return redacted({ hostname, port, user, alias: name });
  }
}
