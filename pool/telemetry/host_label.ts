/**
 * How a host is called in what the pool tells.
 *
 * @module
 */

import { urlAsText } from "../../transport/host/host_string.ts";
import { hostLabel, type HostLike } from "../../transport/host/host.ts";

/**
 * Returns the name of a host: a string as it is, an object's `alias` or
 * `user@hostname:port`. A password that was put into the name by mistake is
 * left out. Never throws, also for what is no host.
 */
export function givenLabel(host: HostLike): string {
  try {
    return labelOf(host);
  } catch {
    return "unknown"; // a getter of the caller's object threw
  }
}

function labelOf(named: HostLike): string {
  const host = urlAsText(named);
  if (typeof host === "string") return withoutPassword(host);
  const { alias, hostname, user, port } = (host ?? {}) as {
    alias?: unknown;
    hostname?: unknown;
    user?: unknown;
    port?: unknown;
  };
  if (typeof alias === "string") return withoutPassword(alias);
  if (typeof hostname !== "string") return "unknown";
  return hostLabel({
    hostname: hostname.slice(hostname.lastIndexOf("@") + 1),
    ...(typeof user === "string" ? { user } : {}),
    ...(typeof port === "number" ? { port } : {}),
  });
}

function withoutPassword(name: string): string {
  const at = name.lastIndexOf("@");
  const user = name.slice(0, Math.max(at, 0)).replace(/^ssh:\/\//i, "");
  return user.includes(":") ? name.slice(at + 1) : name;
}

/**
 * Adds the host to a result, as the caller named it, and its name. An object
 * may hold credentials: the field is non-enumerable, so logs do not show it.
 *
 * @param named What the caller gave, such as an entry of an inventory.
 * @param result The result.
 * @param host The host of it, for the name.
 */
export function withHost<T extends object, Named>(
  named: Named,
  result: T,
  host: HostLike = named as HostLike,
): T & { readonly host: Named; readonly name: string } {
  const name = givenLabel(host);
  if (typeof named === "string") return { host: named, name, ...result };
  return Object.defineProperty({ name, ...result }, "host", {
    value: named,
  }) as T & { readonly host: Named; readonly name: string };
}
