/**
 * Hosts that show no credential when they are printed.
 *
 * @module
 */

import type { ResolvedHost } from "./host.ts";

/** The fields that may be shown. A field that is added later is hidden. */
const SHOWN: ReadonlySet<string> = new Set([
  "hostname",
  "port",
  "user",
  "alias",
  "hostKeyAlias",
  "jump",
  "transport",
]);

/** What Node, Deno and Bun ask an object for when they print it. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

function shown(this: ResolvedHost): Record<string, unknown> {
  const fields = Object.entries(this).filter(([name]) => SHOWN.has(name));
  return Object.fromEntries(fields);
}

const made = new WeakSet<object>();

/**
 * Copies a host so that logs and JSON of it, and of whatever holds it, show
 * the address and the user, and no credential. All fields can be read by name.
 *
 * @param host The host.
 * @returns A frozen copy; the host itself if it is such a copy.
 */
export function redacted(host: ResolvedHost): ResolvedHost {
  if (made.has(host)) return host;
  const { jump } = host;
  const copy = jump === undefined
    ? { ...host }
    : { ...host, jump: Object.freeze(jump.map(redacted)) };
  // Not enumerable: a copy made with `{...host}` is a plain object of all the
  // fields, and two hosts are equal if their fields are.
  Object.defineProperty(copy, INSPECT, { value: shown });
  Object.defineProperty(copy, "toJSON", { value: shown });
  made.add(copy);
  return Object.freeze(copy);
}
