/**
 * The check of host objects, and the frozen copy that is used from then on.
 *
 * @module
 */

import { isIPv6 } from "node:net";
import { MAX_TIMER_MS } from "../abort.ts";
import type { SshHost } from "./host.ts";
import { nearest } from "../options/nearest.ts";

/** What a field may hold. */
interface Field {
  /** Completes the sentence "must be ...". */
  readonly allowed: string;
  /** Whether the value may be used. */
  readonly accepts: (value: unknown) => boolean;
  /** The value is never shown, only its type. */
  readonly secret?: true;
}

// deno-lint-ignore no-control-regex -- control characters are what is refused
const CONTROL = /[\x00-\x1f\x7f]/;
const HOSTNAME = /^(?!-)[\p{L}\p{N}\p{M}_.:%-]+$/u;
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}=?$/;
const METHODS = ["none", "publickey", "password", "keyboard-interactive"];
const POLICIES = ["strict", "accept-new", "insecure-accept-any"];
const ALGORITHMS = ["kex", "cipher", "mac", "hostKey"];

const isText = (v: unknown): v is string =>
  typeof v === "string" && v !== "" && !CONTROL.test(v);
const isBoolean = (v: unknown): boolean => typeof v === "boolean";
const isFunction = (v: unknown): boolean => typeof v === "function";
const isBytes = (v: unknown): boolean => v instanceof Uint8Array;
const isList = (item: (v: unknown) => boolean) => (v: unknown): boolean =>
  Array.isArray(v) && v.every(item);
const isFilledList = (item: (v: unknown) => boolean) => (v: unknown): boolean =>
  Array.isArray(v) && v.length > 0 && v.every(item);
const isFingerprint = (v: unknown): boolean =>
  typeof v === "string" && FINGERPRINT.test(v);
const isKey = (v: unknown): boolean =>
  (typeof v === "string" && v !== "") || isBytes(v);
const isInteger = (low: number, high: number) => (v: unknown): boolean =>
  Number.isInteger(v) && (v as number) >= low && (v as number) <= high;

function isHostname(value: unknown): boolean {
  if (typeof value !== "string" || !HOSTNAME.test(value)) return false;
  // Only an address has colons: "db1:22" belongs into two fields.
  return !value.includes(":") || isIPv6(value.replace(/%.*$/, ""));
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype ||
    Object.getPrototypeOf(prototype) === null;
}

function isEnv(value: unknown): boolean {
  return isPlainObject(value) &&
    Object.entries(value).every(([name, v]) =>
      v === undefined ||
      (name !== "" && !/[=\0]/.test(name) && typeof v === "string" &&
        !v.includes("\0"))
    );
}

function isAlgorithms(value: unknown): boolean {
  return isPlainObject(value) &&
    Object.entries(value).every(([name, v]) =>
      ALGORITHMS.includes(name) &&
      (v === undefined || isText(v) || isFilledList(isText)(v))
    );
}

function isHostLike(value: unknown): boolean {
  return typeof value === "string" || isPlainObject(value);
}

const PATHS: Field = {
  allowed: "an array of paths",
  accepts: isList(isText),
};
const TEXT: Field = {
  allowed: "a string, not empty, without control characters",
  accepts: isText,
};
const FLAG: Field = { allowed: "true or false", accepts: isBoolean };

const FIELDS: { readonly [K in keyof Required<SshHost>]: Field } = {
  hostname: {
    allowed: "a host name or an IP address (without user, brackets or port)",
    accepts: isHostname,
  },
  port: {
    allowed: "an integer from 1 to 65535",
    accepts: isInteger(1, 65535),
  },
  user: {
    allowed:
      "a string, not empty, without control characters, not starting with -",
    accepts: (v) => isText(v) && !v.startsWith("-"),
  },
  alias: TEXT,
  password: {
    allowed: "a string or a function",
    accepts: (v) => typeof v === "string" || isFunction(v),
    secret: true,
  },
  privateKey: {
    allowed: "a key as string or Uint8Array, or an array of these",
    accepts: (v) => isKey(v) || isFilledList(isKey)(v),
    secret: true,
  },
  identityFile: {
    allowed: "a path or an array of paths",
    accepts: (v) => isText(v) || isList(isText)(v),
    // Somebody may put the key itself here: it must not appear in a log.
    secret: true,
  },
  certificateFile: {
    allowed: "a path or an array of paths",
    accepts: (v) => isText(v) || isList(isText)(v),
    secret: true,
  },
  passphrase: {
    allowed: "a string or a function",
    accepts: (v) => typeof v === "string" || isFunction(v),
    secret: true,
  },
  agent: {
    allowed: "the path of a socket, true or false",
    accepts: (v) => isText(v) || isBoolean(v),
  },
  identitiesOnly: FLAG,
  keyboardInteractive: {
    allowed: "a function",
    accepts: isFunction,
    secret: true,
  },
  authMethods: {
    allowed: `an array of ${METHODS.join(", ")}, at least one`,
    accepts: isFilledList((v) => METHODS.includes(v as string)),
  },
  hostKey: {
    allowed: `${POLICIES.map((p) => `"${p}"`).join(", ")}, ` +
      "SHA256 fingerprints as ssh-keygen -l prints them, or a function",
    accepts: (v) =>
      POLICIES.includes(v as string) || isFingerprint(v) || isFunction(v) ||
      isFilledList(isFingerprint)(v),
  },
  knownHostsFiles: PATHS,
  globalKnownHostsFiles: PATHS,
  hostKeyAlias: TEXT,
  hashKnownHosts: FLAG,
  algorithms: {
    allowed: `an object with ${ALGORITHMS.join(", ")}, ` +
      "each a string or an array of names",
    accepts: isAlgorithms,
  },
  agentForward: FLAG,
  env: {
    allowed: "an object of strings, with names that have no =",
    accepts: isEnv,
    // Tokens live in environment variables.
    secret: true,
  },
  jump: {
    allowed: "a host, or an array of hosts",
    accepts: (v) => isHostLike(v) || isList(isHostLike)(v),
    // A hop may be an object with a password in it.
    secret: true,
  },
  proxyCommand: {
    allowed: "a string, not empty",
    accepts: (v) => typeof v === "string" && v !== "" && !v.includes("\0"),
    // Proxy passwords are found on command lines.
    secret: true,
  },
  addressFamily: { allowed: "4 or 6", accepts: (v) => v === 4 || v === 6 },
  bindAddress: TEXT,
  dialTimeoutMs: {
    allowed: `a number of milliseconds above 0, at most ${MAX_TIMER_MS}`,
    accepts: (v) => typeof v === "number" && v > 0 && v <= MAX_TIMER_MS,
  },
  keepaliveIntervalMs: {
    allowed: `a number of milliseconds from 0 (none) to ${MAX_TIMER_MS}`,
    accepts: (v) => typeof v === "number" && v >= 0 && v <= MAX_TIMER_MS,
  },
  keepaliveCountMax: {
    allowed: "an integer, 0 or more",
    accepts: isInteger(0, Number.MAX_SAFE_INTEGER),
  },
};

/** Names that people write instead, in lower case. */
const HINTS: Readonly<Record<string, keyof SshHost>> = {
  host: "hostname",
  address: "hostname",
  name: "alias",
  username: "user",
  login: "user",
  key: "privateKey",
  keyfile: "identityFile",
  privatekeypath: "identityFile",
  identity: "identityFile",
  identityfiles: "identityFile",
  agentforwarding: "agentForward",
  forwardagent: "agentForward",
  hostverifier: "hostKey",
  stricthostkeychecking: "hostKey",
  proxyjump: "jump",
  readytimeout: "dialTimeoutMs",
  timeout: "dialTimeoutMs",
  keepaliveinterval: "keepaliveIntervalMs",
  localaddress: "bindAddress",
};

/** Gives the field that an unknown name is likely to mean. */
function hint(name: string): string {
  const plain = name.toLowerCase().replace(/[_-]/g, "");
  const field = Object.keys(FIELDS).find((f) => f.toLowerCase() === plain) ??
    (Object.hasOwn(HINTS, plain) ? HINTS[plain] : undefined) ??
    nearest(name, Object.keys(FIELDS));
  return field === undefined ? "" : `, did you mean ${field}`;
}

/** Shows a value in a message: short, in one line, and never a whole object. */
function show(value: unknown, secret: boolean): string {
  if (typeof value === "string" && !secret) {
    // As in a string "user:password@host", no password is shown.
    const text = value.replace(/^.*:.*@/s, "…@");
    return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  }
  if (secret && value === "") return "an empty string";
  if (typeof value === "number" && !secret || typeof value === "boolean") {
    return String(value);
  }
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array that does not fit";
  const type = typeof value;
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function fail(host: object, why: string): never {
  const name = (host as { hostname?: unknown }).hostname;
  const which = FIELDS.hostname.accepts(name) ? `the host ${name}` : "the host";
  throw new TypeError(`Cannot use ${which}: ${why}`);
}

/**
 * Checks a host object, and gives a copy that its owner can no longer change:
 * frozen, with its arrays and objects frozen too, and its key bytes copied.
 * `jump` is checked for its shape only and handed on as it is.
 *
 * @throws {TypeError} If a field is unknown, missing, or holds what it may not.
 */
export function checkedHost(host: SshHost): SshHost {
  if (!isPlainObject(host)) {
    throw new TypeError(
      `Cannot use the host: it is ${
        show(host, true)
      }, must be a string or an object`,
    );
  }
  if (host.hostname === undefined && !Object.keys(host).some((k) => hint(k))) {
    fail(host, "hostname is missing");
  }
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(host)) {
    if (!Object.hasOwn(FIELDS, name)) {
      fail(host, `${JSON.stringify(name)} is no field of a host${hint(name)}`);
    }
    if (value === undefined) continue;
    const field = FIELDS[name as keyof SshHost];
    if (!field.accepts(value)) {
      const shown = show(value, field.secret ?? false);
      fail(host, `${name} is ${shown}, must be ${field.allowed}`);
    }
    copy[name] = name === "jump" ? value : frozenCopy(value);
  }
  if (copy.hostname === undefined) fail(host, "hostname is missing");
  return Object.freeze(copy) as unknown as SshHost;
}

function frozenCopy(value: unknown): unknown {
  // A typed array with elements cannot be frozen, only copied.
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return Object.freeze(value.map(frozenCopy));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.freeze(
    Object.fromEntries(entries.map(([k, v]) => [k, frozenCopy(v)])),
  );
}
