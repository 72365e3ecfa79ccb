/**
 * The options of the adapter, and what they may hold.
 *
 * @module
 */

import { MAX_TIMER_MS } from "../abort.ts";
import { accepting, between, flag, plainText } from "../options/rules.ts";
import { showType, showValue } from "../options/show_value.ts";
import { type Field, OptionTable, type Rule } from "../options/table.ts";

/** Options for {@linkcode OpenSshConnector}. */
export interface OpenSshConnectorOptions {
  /**
   * The program. It has to be OpenSSH 7.4 or later; fingerprints and functions
   * as `hostKey`, and `askpass`, need 8.5.
   *
   * @default {"ssh"}
   */
  readonly path?: string;
  /**
   * The configuration file (`-F`), in place of the user's and the system's;
   * `false` for none. Default: those that `ssh` reads.
   */
  readonly configFile?: string | false;
  /**
   * Further options of ssh_config, such as `{ GSSAPIAuthentication: "yes" }`.
   * They win over the configuration. What a host or this connector says in
   * another way is not allowed here.
   */
  readonly options?: Readonly<Record<string, string>>;
  /**
   * An existing folder for sockets, at most 69 bytes long. Each connection
   * makes one of its own in it, for its owner alone. Default: the system's
   * temporary folder, or `/tmp` if that path is too long.
   */
  readonly folder?: string;
  /**
   * How long a connection outlives this process if it is killed, in
   * milliseconds, in whole seconds: at least 1000.
   *
   * @default {10_000}
   */
  readonly persistMs?: number;
  /**
   * Whether `ssh` may ask this program: for the password and the passphrase of
   * the host, and its `keyboardInteractive` questions. If not, it never asks
   * (`BatchMode`), and a host with one of these is refused. The answers go
   * through a private socket, never through arguments or the environment.
   *
   * @default {false}
   */
  readonly askpass?: boolean;
}

/** Where what is not allowed in `options` belongs, by its name in lower case. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  addressfamily: "addressFamily of the host",
  batchmode: "the option askpass",
  bindaddress: "bindAddress of the host",
  connecttimeout: "dialTimeoutMs of the pool or the host",
  controlpersist: "the option persistMs",
  globalknownhostsfile: "globalKnownHostsFiles of the host",
  hostkeyalias: "hostKeyAlias of the host",
  hostname: "hostname of the host",
  knownhostscommand: "hostKey of the host",
  nohostauthenticationforlocalhost: "hostKey of the host",
  port: "port of the host",
  proxycommand: "proxyCommand of the host",
  proxyjump: "jump of the host",
  serveralivecountmax: "keepaliveCountMax of the pool or the host",
  serveraliveinterval: "keepaliveIntervalMs of the pool or the host",
  stricthostkeychecking: "hostKey of the host",
  user: "user of the host",
  userknownhostsfile: "knownHostsFiles of the host",
};

/** What the connector depends on. */
const FIXED: readonly string[] = [
  "clearallforwardings",
  "controlmaster",
  "controlpath",
  "dynamicforward",
  "forkafterauthentication",
  "forwardx11",
  "localcommand",
  "localforward",
  "loglevel",
  "logverbose",
  "permitlocalcommand",
  "remotecommand",
  "remoteforward",
  "requesttty",
  "sessiontype",
  "stdinnull",
  "syslogfacility",
  "tunnel",
];

/**
 * Whether a path can stand in a command line of a shell and in an option of
 * ssh as it is.
 */
export function hasSafeCharacters(path: string): boolean {
  return !/[\s"'\\$%`\p{Cc}\p{Cs};&|<>()*?[\]{}!#]/u.test(path);
}

const safePath: Rule = accepting(
  "a path that is not empty, without white space, quotes, and what a shell " +
    "would interpret",
  (value) =>
    typeof value === "string" && value !== "" && !value.startsWith("-") &&
    hasSafeCharacters(value),
);

const sshOptions: Rule = (value, at) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return at.wrong(showType(value), "an object of names and string values");
  }
  return Object.freeze(Object.fromEntries(
    Object.entries(value)
      .filter(([, text]) => text !== undefined)
      .map(([name, text]) => [name, checkOption(name, text, at)]),
  ));
};

function checkOption(name: string, value: unknown, at: Field): string {
  const lower = name.toLowerCase();
  if (!/^[a-z0-9]+$/.test(lower)) {
    return at.wrong(
      `an object with the name ${showValue(name)}`,
      "one with names of ssh_config",
    );
  }
  const place = at.member(name);
  if (Object.hasOwn(ELSEWHERE, lower)) {
    place.wrong("given here", `left out: it is ${ELSEWHERE[lower]}`);
  }
  if (FIXED.includes(lower)) {
    place.wrong("given here", "left out: the connector sets it itself");
  }
  const isText = typeof value === "string" && value.trim() !== "" &&
    !/[\0\r\n\p{Cs}]/u.test(value);
  return isText ? value : place.reject(value, "a string of one line");
}

const configFile: Rule = (value, at) =>
  value === false ? value : plainText(value, at);

const TABLE = new OptionTable<OpenSshConnectorOptions>("make the connector", {
  path: safePath,
  configFile,
  options: sshOptions,
  folder: safePath,
  persistMs: between(1000, MAX_TIMER_MS),
  askpass: flag,
}, {
  synonyms: {
    config: "configFile",
    binary: "path",
    program: "path",
    ssh: "path",
    controlpath: "folder",
    controlpersist: "persistMs",
  },
});

/** The options, checked and filled in. */
export interface Settings {
  readonly path: string;
  readonly configFile: string | false | undefined;
  readonly options: Readonly<Record<string, string>>;
  readonly folder: string | undefined;
  readonly persistMs: number;
  readonly askpass: boolean;
}

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 */
export function checkConnectorOptions(
  given: OpenSshConnectorOptions | undefined,
): Settings {
  const options = TABLE.check(given);
  return Object.freeze({
    path: options.path ?? "ssh",
    configFile: options.configFile,
    options: options.options ?? {},
    folder: options.folder,
    persistMs: options.persistMs ?? 10_000,
    askpass: options.askpass ?? false,
  });
}
