/**
 * What a resolver knows about a host whose name cannot be looked up.
 *
 * @module
 */

import type { ResolvedHost } from "./host.ts";

const hints = new WeakMap<ResolvedHost, () => string>();

/**
 * Keeps a hint with a host, for a dial of it that fails in phase `dns`.
 *
 * @param host The host, as a resolver made it.
 * @param hint Makes the text. It is called only when a dial has failed.
 */
export function setLookupHint(host: ResolvedHost, hint: () => string): void {
  hints.set(host, hint);
}

/**
 * Copies the hint of a host to a copy of it.
 *
 * @param from The host.
 * @param to The copy.
 * @returns The copy.
 */
export function withLookupHint(
  from: ResolvedHost,
  to: ResolvedHost,
): ResolvedHost {
  const hint = hints.get(from);
  if (hint !== undefined) hints.set(to, hint);
  return to;
}

/**
 * Returns the hint of a host.
 *
 * @param host The host.
 * @returns The text; `undefined` if there is none.
 */
export function lookupHint(host: ResolvedHost): string | undefined {
  return hints.get(host)?.();
}
