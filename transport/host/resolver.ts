/**
 * From what a caller names to a host with nothing left to look up.
 *
 * @module
 */

import type { Notice } from "../connector.ts";
import type { HostLike, ResolvedHost } from "./host.ts";
import { parseHost } from "./host_string.ts";
import { resolveHost } from "./resolve.ts";
import { callback, signal } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";

/** Options for {@linkcode HostResolver.resolve}. */
export interface ResolveOptions {
  /** Called with what is worth a line in a log, and is no error. Must not throw. */
  readonly onNotice?: (notice: Notice) => void;
  /**
   * Ends the wait: the promise is rejected with the signal's reason. A command
   * that runs for this caller alone is stopped. Work that other callers share,
   * such as reading the files, goes on for them.
   */
  readonly signal?: AbortSignal;
}

/** What the options of a resolver may hold. */
export const RESOLVE_OPTIONS = new OptionTable<ResolveOptions>(
  "resolve the host",
  { onNotice: callback, signal },
);

/** Turns what a caller names into a host with nothing left to look up. */
export interface HostResolver {
  /**
   * Resolves a host.
   *
   * A resolver that has no file to read answers at once, without a promise.
   * The pool calls it often, and is fast because of that.
   *
   * @param host A string or an object.
   * @param options The callback for notices, and the caller's signal. A caller
   * must not rely on the signal alone: a resolver may ignore it, so leave the
   * promise when the signal aborts.
   * @returns A frozen copy with user, port and hops filled in. What a resolver
   * made itself is given back as it is.
   * @throws {TypeError} If the host is malformed.
   */
  resolve(
    host: HostLike,
    options?: ResolveOptions,
  ): ResolvedHost | Promise<ResolvedHost>;
  /**
   * Returns whether the last answer for a host depends on nothing but files and
   * options. It does not when a command was asked (`Match exec`), whose answer
   * may change at any time: when a VPN goes up or down, for example.
   *
   * For an unstable host, a pool has to call `resolve()` again for every call
   * that finds no free slot on an open connection, so that every new dial goes
   * where the command says at that time.
   *
   * A resolver without this method is stable for every host.
   *
   * @param host A host that was resolved.
   * @returns `false` if `resolve()` has to be asked again for a new dial.
   */
  isStable?(host: HostLike): boolean;
}

/**
 * Resolves without any file: parses strings, checks objects, fills in port 22
 * and the local user's name, and flattens the hops: a hop's own `jump` comes
 * before it. Synchronous.
 *
 * @example Usage
 * ```ts
 * import { PlainResolver } from "@sshpool/sshpool";
 * import { assertEquals } from "@std/assert";
 *
 * const host = new PlainResolver().resolve({
 *   hostname: "db1",
 *   user: "ops",
 *   jump: "ops@gate:2222",
 * });
 * assertEquals(host.port, 22);
 * assertEquals(host.jump, [{ hostname: "gate", user: "ops", port: 2222 }]);
 * ```
 */
export class PlainResolver implements HostResolver {
  /**
   * Resolves a host.
   *
   * @param host A string or an object.
   * @param options Not used but for their check: there is nothing to notice.
   * @returns A frozen copy, with user, port and hops filled in.
   * @throws {TypeError} If the host is malformed, if its hops lead back to it,
   * or if it names no user and the local user's name cannot be read.
   */
  resolve(host: HostLike, options?: ResolveOptions): ResolvedHost {
    RESOLVE_OPTIONS.check(options);
    return resolveHost(host, (text) => parseHost(text));
  }
}
