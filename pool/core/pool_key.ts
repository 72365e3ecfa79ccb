/**
 * The key of a host: everything that decides who is talking to whom, as a
 * string that holds no secret.
 *
 * @module
 */

import { createHmac, randomBytes } from "node:crypto";
import { hostLabel, type ResolvedHost } from "../../transport/host/host.ts";

// Keyed, and new in every process: nobody who reads a key can test guesses of
// a password against it.
const SECRET = randomBytes(32);

// A function has no content to compare; it is the same if it is the same object.
const functionIds = new WeakMap<object, number>();
let lastFunctionId = 0;

/**
 * Computes the key of a host. Two hosts that differ in any field have different
 * keys; also those that differ in a field that merely tunes: a connection
 * shared by mistake is an authentication bypass, one too many is not. Only
 * `alias` is left out where it is a label and nothing more: a `proxyCommand`
 * may contain it as `%n`, and a `transport` may look it up.
 *
 * @param usesAlias Whether the alias is no mere label, whatever the host is.
 */
export function poolKey(host: ResolvedHost, usesAlias = false): string {
  const text = serialize(usesAlias ? host : withoutLabels(host), functionId);
  return `${hostLabel(host)}#${digest(text)}`;
}

/**
 * Computes the key that a host would have if all functions were the same, or
 * gives `undefined` if it has no function. Hosts that share it and not their
 * key are most likely meant to be one host.
 */
export function poolKeyWithoutFunctions(
  host: ResolvedHost,
): string | undefined {
  let hasFunction = false;
  const text = serialize(withoutLabels(host), () => {
    hasFunction = true;
    return "f";
  });
  return hasFunction ? `${hostLabel(host)}#${digest(text)}` : undefined;
}

/** Without the names of the host and its hops; `env` may well have an `alias`. */
function withoutLabels({ alias, jump, ...rest }: ResolvedHost): object {
  return {
    ...rest,
    ...(rest.proxyCommand === undefined && rest.transport === undefined
      ? {}
      : { alias }),
    ...(jump === undefined ? {} : { jump: jump.map(withoutLabels) }),
  };
}

function serialize(
  value: unknown,
  nameOf: (value: object) => string,
): string {
  switch (typeof value) {
    case "function":
      return nameOf(value);
    case "object":
      return serializeObject(value, nameOf);
    default:
      return `${typeof value}:${JSON.stringify(value) ?? ""}`;
  }
}

function serializeObject(
  value: object | null,
  nameOf: (value: object) => string,
): string {
  if (value === null) return "null";
  if (value instanceof Uint8Array) return `bytes:${digest(value)}`;
  const next = (field: unknown) => serialize(field, nameOf);
  if (Array.isArray(value)) return `[${value.map(next).join(",")}]`;
  const fields = Object.entries(value)
    .filter(([_, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}=${next(field)}`);
  return `{${fields.join(",")}}`;
}

function digest(content: string | Uint8Array): string {
  return createHmac("sha256", SECRET).update(content).digest("base64url");
}

function functionId(value: object): string {
  let id = functionIds.get(value);
  if (id === undefined) functionIds.set(value, id = ++lastFunctionId);
  return `f${id}`;
}
