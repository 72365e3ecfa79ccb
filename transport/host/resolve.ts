/**
 * What every resolver does: look up, fill in defaults, flatten the hops.
 *
 * @module
 */

import { urlAsText } from "./host_string.ts";
import { redacted } from "./redacted.ts";
import {
  hostLabel,
  type HostLike,
  type ResolvedHost,
  type SshHost,
} from "./host.ts";
import { localUser } from "./local_user.ts";
import { checkedHost } from "./validate_host.ts";

/** How a resolver reads a string. */
export interface Lookup {
  /**
   * Gives the host that a string names.
   *
   * @param text The string.
   * @param options `tunnelled`: the host is reached through the hop before it,
   * so what a file says about proxies does not apply.
   */
  (text: string, options: { readonly tunnelled: boolean }): SshHost;
}

// Much more than any real chain has. It ends a loop.
const MAX_HOPS = 32;

/** Hosts that this module made. They are complete. */
const resolved = new WeakSet<object>();

/** Returns whether a host is one that a resolver made. */
export function isResolved(host: HostLike): host is ResolvedHost {
  return typeof host === "object" && host !== null && resolved.has(host);
}

/** Returns whether a string occurs in a host: at its top, or among its hops. */
export function hasString(host: HostLike, depth = 0): boolean {
  if (typeof host === "string" || host instanceof URL) return true;
  if (isResolved(host) || depth > MAX_HOPS) return false;
  return jumpList(host?.jump).some((hop) => hasString(hop, depth + 1));
}

/** Resolves a host and its hops. */
export function resolveHost(host: HostLike, lookup: Lookup): ResolvedHost {
  return resolve(host, lookup, [], false);
}

function resolve(
  given: HostLike,
  lookup: Lookup,
  path: readonly HostLike[],
  tunnelled: boolean,
): ResolvedHost {
  const host = urlAsText(given);
  if (isResolved(host)) return host;
  if (path.includes(host)) throw cycle(path, host);
  if (path.length > MAX_HOPS) throw tooLong(path);
  const found = checkedHost(
    typeof host === "string" ? lookup(host, { tunnelled }) : host,
  );
  const { jump, ...rest } = found;
  const user = found.user ?? requireLocalUser(found);
  const base = { ...rest, user, port: found.port ?? 22 };
  const hops = flatten(jumpList(jump), lookup, [...path, host]);
  checkChain(base, hops);
  const result = redacted(
    hops.length === 0 ? base : { ...base, jump: hops },
  );
  resolved.add(result);
  return result;
}

/** Makes one flat list: the hops of a hop come before it. */
function flatten(
  jumps: readonly HostLike[],
  lookup: Lookup,
  path: readonly HostLike[],
): ResolvedHost[] {
  const hops: ResolvedHost[] = [];
  for (const [index, entry] of jumps.entries()) {
    const { jump = [], ...hop } = resolve(entry, lookup, path, index > 0);
    const alone = redacted(hop);
    resolved.add(alone);
    hops.push(...jump, alone);
    if (hops.length > MAX_HOPS) throw tooLong(path);
  }
  return hops;
}

function checkChain(host: ResolvedHost, hops: readonly ResolvedHost[]): void {
  const chain = [...hops, host];
  for (const [index, hop] of chain.entries()) {
    if (index === 0) continue;
    if (hop.proxyCommand !== undefined) {
      throw new TypeError(
        `Cannot reach ${hostLabel(hop)} through a hop and a proxyCommand: ` +
          "must be one of them",
      );
    }
    // The same host twice in a row is a loop, as in OpenSSH. With another host
    // between, the name may stand for another machine in another network.
    if (hostLabel(hop) === hostLabel(chain[index - 1]!)) {
      throw new TypeError(
        `Cannot reach ${hostLabel(hop)} through itself: jump makes a loop`,
      );
    }
  }
}

function jumpList(jump: SshHost["jump"]): readonly HostLike[] {
  if (jump === undefined) return [];
  return Array.isArray(jump) ? jump : [jump as HostLike];
}

function requireLocalUser(host: SshHost): string {
  const user = localUser();
  if (user !== undefined) return user;
  throw new TypeError(
    `Cannot find the local user's name for ${host.hostname}: name the user, ` +
      `as in "user@${host.hostname}", or allow reading it (--allow-sys or --allow-env=USER)`,
  );
}

function tooLong(path: readonly HostLike[]): TypeError {
  return new TypeError(
    `Cannot resolve the hops of ${describe(path[0])}: more than ${MAX_HOPS}`,
  );
}

function cycle(path: readonly HostLike[], host: HostLike): TypeError {
  const names = [...path.slice(path.indexOf(host)), host].map(describe);
  return new TypeError(
    `Cannot resolve the hops of ${describe(path[0])}: they lead back to it ` +
      `(${names.join(" -> ")})`,
  );
}

function describe(host: HostLike | undefined): string {
  if (host === undefined) return "the host";
  // A string may be "user:password@host": only what follows the "@" is shown.
  if (typeof host === "string") return host.slice(host.lastIndexOf("@") + 1);
  return host instanceof URL ? describe(host.href) : hostLabel(host);
}
