/**
 * Where a forward leads to, and where it listens.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { anything, oneOf } from "../options/rules.ts";
import { showType } from "../options/show_value.ts";
import { Field, isPlain, OptionTable } from "../options/table.ts";
import { splitPort } from "./host_string.ts";

/** Where a forwarded connection leads to: a TCP port, or a unix socket. */
export type ForwardTarget =
  | {
    /** The host name or IP address, without brackets. */
    readonly hostname: string;
    /** The port. */
    readonly port: number;
  }
  | {
    /** The absolute path of the socket. */
    readonly path: string;
  };

/** A target that is a TCP port. */
export type TcpTarget = Extract<ForwardTarget, { readonly port: number }>;

/** The longest path of a unix socket, in bytes: Linux has room for 108 with a zero at the end. */
export const PATH_BYTES = 107;

/**
 * Parses the target of a forward: `host:port`, `[IPv6 address]:port`, or the
 * absolute path of a unix socket.
 *
 * @param target The string, or an object, which is checked.
 * @returns The target.
 * @throws {TypeError} If it is no target; the message says why.
 *
 * @example Usage
 * ```ts
 * import { parseTarget } from "./target.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseTarget("[::1]:80"), { hostname: "::1", port: 80 });
 * assertEquals(parseTarget("/run/x.sock"), { path: "/run/x.sock" });
 * ```
 */
export function parseTarget(target: string | ForwardTarget): ForwardTarget {
  return parse(target, "target", 1);
}

/**
 * Parses an address to listen on: as a target, and a number is a port of
 * 127.0.0.1. Port 0 lets the system choose one.
 *
 * @param listen The address.
 * @returns The address, with a host name if it is a port.
 * @throws {TypeError} If it is no address; the message says why.
 */
export function parseListen(
  listen: number | string | ForwardTarget,
): ForwardTarget {
  const address = typeof listen === "number"
    ? { hostname: "127.0.0.1", port: listen }
    : listen;
  return parse(address, "address to listen on", 0);
}

/**
 * Returns a target as it is written.
 *
 * @param target The target.
 * @returns Its path, or `host:port` with an IPv6 address in brackets.
 */
export function targetName(target: ForwardTarget): string {
  if ("path" in target) return target.path;
  const { hostname, port } = target;
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}

// `Deno.Listener.addr` has `transport` as well, and is a target as it is. What
// the others hold is checked with the rest of the text.
const TCP = new OptionTable<TcpTarget & { readonly transport: string }>(
  "parse the target",
  { hostname: anything, port: anything, transport: oneOf("tcp") },
  { noun: "field", synonyms: { host: "hostname" } },
);
const UNIX = new OptionTable<{ readonly path: string; transport: string }>(
  "parse the target",
  { path: anything, transport: oneOf("unix") },
  { noun: "field" },
);

/**
 * Checks which fields a target has, and not what they hold. An instance of a
 * class, such as a server, may have any.
 *
 * @param target The target, which is no string.
 * @param what What it is called in messages.
 * @returns A copy without other fields.
 * @throws {TypeError} If it is no object, or a field is unknown.
 */
export function checkTarget(
  target: ForwardTarget,
  what = "target",
): ForwardTarget {
  if (typeof target !== "object" || target === null) {
    throw new TypeError(
      `Cannot parse the ${what}: it is ${showType(target)}, must be an object`,
    );
  }
  // The message shows no value: a host with a password may have been passed.
  const at = new Field(`parse the ${what}`);
  const isUnix = "path" in target;
  if (isPlain(target)) (isUnix ? UNIX : TCP).check(target, at);
  return isUnix
    ? { path: target.path }
    : { hostname: target.hostname, port: target.port };
}

type Bad = (why: string) => TypeError;

function parse(
  target: string | ForwardTarget,
  what: string,
  lowest: number,
): ForwardTarget {
  const bad: Bad = (why) =>
    new TypeError(`Cannot parse the ${what} ${shown(target)}: ${why}`);
  if (typeof target === "string") return parseText(target, bad, lowest);
  if (typeof target !== "object" || target === null) {
    throw bad(`it is ${showType(target)}, must be a string or an object`);
  }
  const fields = checkTarget(target, what);
  if ("path" in fields) return { path: checkPath(fields.path, bad) };
  const { hostname, port } = fields;
  if (typeof hostname !== "string" || hostname === "") {
    throw bad("hostname must be a string that is not empty");
  }
  // It would be read as the path of a socket below.
  if (hostname.startsWith("/")) throw bad("hostname must not begin with /");
  if (!Number.isInteger(port) || port < lowest || port > 65535) {
    throw bad(`port is ${String(port)}, must be ${lowest} to 65535`);
  }
  return parseText(targetName({ hostname, port }), bad, lowest);
}

function parseText(text: string, bad: Bad, lowest: number): ForwardTarget {
  if (text.startsWith("/")) return { path: checkPath(text, bad) };
  if (text === "") throw bad("it is empty, must be host:port or /path");
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  if (/[\s\x00-\x1f\x7f]/.test(text)) {
    throw bad("white space and control characters are not allowed");
  }
  const { hostname, port } = splitPort(text, bad, lowest);
  if (port === undefined) {
    throw bad("it has no port, must be host:port or /path");
  }
  return { hostname, port };
}

function checkPath(path: unknown, bad: Bad): string {
  if (typeof path !== "string" || !path.startsWith("/")) {
    throw bad("path must be a string that begins with /");
  }
  if (path.includes("\0") || !path.isWellFormed()) {
    throw bad("path must not contain a zero byte or half of a character");
  }
  if (Buffer.byteLength(path) > PATH_BYTES) {
    throw bad(
      `path has ${
        Buffer.byteLength(path)
      } bytes, must have ${PATH_BYTES} at most`,
    );
  }
  return path;
}

function shown(target: unknown): string {
  try {
    return JSON.stringify(target) ?? String(target);
  } catch {
    return String(target);
  }
}
