/**
 * The check of host objects, and the frozen copy that is used from then on.
 *
 * @module
 */

import { isIPv6 } from "node:net";
import { MAX_TIMER_MS } from "../abort.ts";
import { MAX_HOSTNAME } from "./host_string.ts";
import type { Algorithms, SshHost } from "./host.ts";
import {
  accepting,
  flag,
  isGarbled,
  isPlainText,
  secret,
} from "../options/rules.ts";
import { showType } from "../options/show_value.ts";
import {
  Field,
  OptionTable,
  type Rules,
  type TableAdvice,
} from "../options/table.ts";

// A lone surrogate is half of a character: it would be sent as another one.
// deno-lint-ignore no-control-regex -- control characters are what is refused
const CONTROL = /[\x00-\x1f\x7f\ud800-\udfff]/u;
const HOSTNAME = /^(?!-)[\p{L}\p{N}\p{M}_.:%-]+$/u;
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}=?$/;
const METHODS = ["none", "publickey", "password", "keyboard-interactive"];
const POLICIES = ["strict", "accept-new", "insecure-accept-any"];

const isText = (v: unknown): v is string =>
  typeof v === "string" && v !== "" && !CONTROL.test(v);
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
  if (typeof value !== "string" || value.length > MAX_HOSTNAME) return false;
  if (!HOSTNAME.test(value)) return false;
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
      (name !== "" && !name.includes("=") && !isGarbled(name) &&
        typeof v === "string" && !isGarbled(v))
    );
}

function isHostLike(value: unknown): boolean {
  return typeof value === "string" || value instanceof URL ||
    isPlainObject(value);
}

const paths = accepting("an array of paths", isList(isText));
const text = accepting(
  "a string, not empty, without control characters and lone surrogates",
  isText,
);
/** A user may put the key itself here: it must not appear in a log. */
const keyPaths = secret(accepting(
  "a path or an array of paths",
  (v) => isText(v) || isList(isText)(v),
));
const stringOrFunction = secret(accepting(
  "a string or a function",
  (v) => typeof v === "string" ? v.isWellFormed() : isFunction(v),
));

/** Names that people write instead, in lower case. */
const SYNONYMS: Readonly<Record<string, keyof SshHost>> = {
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

const names = accepting(
  "a string or an array of names, at least one",
  (v) => isText(v) || isFilledList(isText)(v),
);
const ALGORITHMS = new OptionTable<Algorithms>("use the host", {
  kex: names,
  cipher: names,
  mac: names,
  hostKey: names,
  publicKey: names,
}, { noun: "field" });

/** What the fields of a host may hold. */
export const HOST_RULES: Rules<SshHost> = {
  hostname: accepting(
    "a host name or an IP address (without user, brackets or port)",
    isHostname,
  ),
  port: accepting("an integer from 1 to 65535", isInteger(1, 65535)),
  user: accepting(
    "a string, not empty, without control characters and lone surrogates, " +
      "not starting with -",
    (v) => isText(v) && !v.startsWith("-"),
  ),
  alias: text,
  password: stringOrFunction,
  privateKey: secret(accepting(
    "a key as string or Uint8Array, or an array of these",
    (v) => isKey(v) || isFilledList(isKey)(v),
  )),
  identityFile: keyPaths,
  certificateFile: keyPaths,
  passphrase: stringOrFunction,
  agent: accepting(
    "the path of a socket, true or false",
    (v) => isText(v) || typeof v === "boolean",
  ),
  identitiesOnly: flag,
  keyboardInteractive: secret(accepting("a function", isFunction)),
  authMethods: accepting(
    `an array of ${METHODS.join(", ")}, at least one`,
    isFilledList((v) => METHODS.includes(v as string)),
  ),
  hostKey: accepting(
    `${POLICIES.map((p) => `"${p}"`).join(", ")}, ` +
      "SHA256 fingerprints as ssh-keygen -l prints them, or a function",
    (v) =>
      POLICIES.includes(v as string) || isFingerprint(v) || isFunction(v) ||
      isFilledList(isFingerprint)(v),
  ),
  knownHostsFiles: paths,
  globalKnownHostsFiles: paths,
  hostKeyAlias: text,
  hashKnownHosts: flag,
  algorithms: ALGORITHMS.asRule(
    `an object with ${ALGORITHMS.names.join(", ")}`,
  ),
  agentForward: flag,
  // Tokens live in environment variables.
  env: secret(accepting(
    "an object of strings, with names that have no =",
    isEnv,
  )),
  transport: text,
  // A hop may be an object with a password in it.
  jump: secret(accepting(
    "a host, or an array of hosts",
    (v) => isHostLike(v) || isList(isHostLike)(v),
  )),
  // Proxy passwords are found on command lines.
  proxyCommand: secret(accepting("a string, not empty", isPlainText)),
  addressFamily: accepting("4 or 6", (v) => v === 4 || v === 6),
  bindAddress: text,
  dialTimeoutMs: accepting(
    `a number of milliseconds above 0, at most ${MAX_TIMER_MS}`,
    (v) => typeof v === "number" && v > 0 && v <= MAX_TIMER_MS,
  ),
  keepaliveIntervalMs: accepting(
    `a number of milliseconds from 0 (none) to ${MAX_TIMER_MS}`,
    (v) => typeof v === "number" && v >= 0 && v <= MAX_TIMER_MS,
  ),
  keepaliveCountMax: accepting(
    "an integer, 0 or more",
    isInteger(0, Number.MAX_SAFE_INTEGER),
  ),
};

/** What the error for an unknown field says. */
export const HOST_ADVICE: TableAdvice = { noun: "field", synonyms: SYNONYMS };

const FIELDS = new OptionTable<SshHost>(
  "use the host",
  HOST_RULES,
  HOST_ADVICE,
);

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
        showType(host)
      }, must be a string or a plain object`,
    );
  }
  const { hostname } = host as { hostname?: unknown };
  const at = new Field(
    isHostname(hostname) ? `use the host ${hostname}` : "use the host",
  );
  const copy: Record<string, unknown> = {};
  FIELDS.read(host, (name, value) => {
    copy[name] = name === "jump" ? value : frozenCopy(value);
  }, at);
  if (copy.hostname === undefined) {
    throw new TypeError(`Cannot ${at.doing}: hostname is missing`);
  }
  return Object.freeze(copy) as unknown as SshHost;
}

/** Copies a value that was checked; its owner can no longer change it. */
export function frozenCopy(value: unknown): unknown {
  // A typed array with elements cannot be frozen, only copied.
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return Object.freeze(value.map(frozenCopy));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.freeze(
    Object.fromEntries(entries.map(([k, v]) => [k, frozenCopy(v)])),
  );
}
