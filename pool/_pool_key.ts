/**
 * The key of a host: everything that decides who is talking to whom, as a
 * string that holds no secret.
 *
 * @module
 */

import { createHmac, randomBytes } from "node:crypto";
import { hostName, type ResolvedHost } from "../transport/host.ts";

// Keyed, and new in every process: nobody who reads a key can test guesses of
// a password against it.
const SECRET = randomBytes(32);

// A function has no content to compare; it is the same if it is the same object.
const functionIds = new WeakMap<object, number>();
let lastFunctionId = 0;

/**
 * Computes the key of a host. Two hosts that differ in any field but `alias`,
 * which is only a label, have different keys; also those that differ in a
 * field that merely tunes: a connection shared by mistake is an
 * authentication bypass, one too many is not.
 */
export function poolKey(host: ResolvedHost): string {
  const hmac = createHmac("sha256", SECRET);
  hmac.update(serialize(unlabelled(host)));
  return `${hostName(host)}#${hmac.digest("base64url")}`;
}

/** Without the labels of the host and its hops; `env` may well have an `alias`. */
function unlabelled({ alias: _, jump, ...rest }: ResolvedHost): object {
  return jump === undefined ? rest : { ...rest, jump: jump.map(unlabelled) };
}

function serialize(value: unknown): string {
  switch (typeof value) {
    case "function":
      return `f${functionId(value)}`;
    case "object":
      return serializeObject(value);
    default:
      return `${typeof value}:${JSON.stringify(value) ?? ""}`;
  }
}

function serializeObject(value: object | null): string {
  if (value === null) return "null";
  if (value instanceof Uint8Array) {
    return `bytes:${digestOf(value)}`;
  }
  if (Array.isArray(value)) return `[${value.map(serialize).join(",")}]`;
  const fields = Object.entries(value)
    .filter(([_, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}=${serialize(field)}`);
  return `{${fields.join(",")}}`;
}

function digestOf(bytes: Uint8Array): string {
  return createHmac("sha256", SECRET).update(bytes).digest("hex");
}

function functionId(value: object): number {
  let id = functionIds.get(value);
  if (id === undefined) functionIds.set(value, id = ++lastFunctionId);
  return id;
}
