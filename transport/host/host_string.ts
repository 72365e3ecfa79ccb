/**
 * The parser of host strings such as `user@host:port`.
 *
 * @module
 */

import { isIPv6 } from "node:net";
import { showValue } from "../options/show_value.ts";

/** The most that the system takes (NI_MAXHOST), and what bounds the checks. */
export const MAX_HOSTNAME = 1025;

/** The parts of a host string; absent where the string does not say. */
export interface HostParts {
  /** The host name or IP address, without brackets. */
  readonly hostname: string;
  /** The remote user. */
  readonly user?: string;
  /** The TCP port. */
  readonly port?: number;
}

/**
 * Parses `user@host:port`, where user and port may be absent, and an IPv6
 * address with a port stands in brackets. The user is all before the last `@`,
 * colons included, as for `ssh`: `user:target@gateway`. A leading `ssh://` makes
 * it a URL, in which special characters of the user are written as `%40`.
 *
 * @param text The string.
 * @returns Its parts; what the string does not say is absent.
 * @throws {TypeError} If the string is no host; the message says why.
 *
 * @example Usage
 * ```ts
 * import { parseHost } from "./host_string.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseHost("ops@[::1]:2222"), {
 *   user: "ops",
 *   hostname: "::1",
 *   port: 2222,
 * });
 * ```
 */
export function parseHost(text: string): HostParts {
  if (typeof text !== "string") {
    throw new TypeError(
      `Cannot parse the host: it is a ${typeof text}, must be a string or an object`,
    );
  }
  let rest = text;
  const isUrl = /^ssh:\/\//i.test(rest);
  if (isUrl) rest = rest.slice(6).replace(/\/$/, "");
  const bad = (why: string) =>
    // A string may hold "user:password@host": nothing of it but the part
    // after the last "@" is ever shown.
    new TypeError(`Cannot parse the host ${showValue(redact(rest))}: ${why}`);
  if (rest === "") throw bad("it is empty, must be like user@host:port");
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  if (/[\s\x00-\x1f\x7f]/.test(rest)) {
    throw bad("white space and control characters are not allowed");
  }
  const at = rest.lastIndexOf("@");
  let user: string | undefined;
  if (at >= 0) {
    user = rest.slice(0, at);
    rest = rest.slice(at + 1);
    // In a URL a password follows it; elsewhere a colon is part of the name, as
    // for `ssh`: gateways take `user:target@gateway`.
    if (isUrl && user.includes(":")) {
      throw bad("a password in it is not allowed, use the password option");
    }
    if (isUrl) user = unescaped(user, bad);
    if (user === "") throw bad("the user before @ is empty");
    if (!user.isWellFormed()) {
      throw bad("the user before @ has half of a character");
    }
  }
  const { hostname, port } = splitPort(rest, bad);
  return {
    hostname,
    ...(user === undefined ? {} : { user }),
    ...(port === undefined ? {} : { port }),
  };
}

/**
 * Returns a host that is a URL as a string.
 *
 * @param host The host.
 * @returns Its text, which is parsed as any string; another host as it is.
 */
export function urlAsText<Host>(host: Host | URL): Host | string {
  return host instanceof URL ? host.href : host;
}

/** In a URL, characters that would end the user are written as `%40`. */
function unescaped(user: string, bad: (why: string) => TypeError): string {
  try {
    return decodeURIComponent(user);
  } catch {
    throw bad("the user before @ has a % that begins no escape");
  }
}

function redact(text: string): string {
  return text.slice(text.lastIndexOf("@") + 1);
}

/**
 * Splits `host:port`, where the port may be absent.
 *
 * @param text The string.
 * @param bad Makes the error of a string that cannot be split.
 * @param lowest The lowest port that is allowed.
 */
export function splitPort(
  text: string,
  bad: (why: string) => TypeError,
  lowest = 1,
): { hostname: string; port?: number } {
  const bracketed = /^\[([^\[\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed) {
    const [, address = "", port] = bracketed;
    checkHostname(address, bad);
    return port === undefined
      ? { hostname: address }
      : { hostname: address, port: parsePort(port, bad, lowest) };
  }
  const colons = text.split(":").length - 1;
  if (colons === 1) {
    const [hostname = "", port = ""] = text.split(":");
    checkHostname(hostname, bad);
    return { hostname, port: parsePort(port, bad, lowest) };
  }
  if (colons > 1 && !isAddress(text)) {
    throw bad("an IPv6 address with a port must be in brackets, as [::1]:22");
  }
  checkHostname(text, bad);
  return { hostname: text };
}

function checkHostname(
  hostname: string,
  bad: (why: string) => TypeError,
): void {
  if (hostname === "") throw bad("the host name is empty");
  if (hostname.length > MAX_HOSTNAME) {
    throw bad(`the host name is longer than ${MAX_HOSTNAME} characters`);
  }
  if (hostname.includes(":") && !isAddress(hostname)) {
    throw bad(`${JSON.stringify(hostname)} is no IPv6 address`);
  }
  if (hostname.startsWith("-")) {
    throw bad("a host name must not start with -");
  }
  const odd = /[^\p{L}\p{N}\p{M}_.:%-]/u.exec(hostname);
  if (odd) throw bad(`${JSON.stringify(odd[0])} is not allowed in a host name`);
}

function parsePort(
  text: string,
  bad: (why: string) => TypeError,
  lowest: number,
): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port >= lowest && port <= 65535)) {
    throw bad(
      `the port is ${JSON.stringify(text)}, must be ${lowest} to 65535`,
    );
  }
  return port;
}

// The name of an interface may stand behind it: fe80::1%eth0.
function isAddress(text: string): boolean {
  return isIPv6(text.replace(/%[\w.-]+$/, ""));
}
