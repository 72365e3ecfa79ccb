/**
 * From a host to the arguments of `ssh`.
 *
 * @module
 */

import type { ConnectOptions } from "../connector.ts";
import { DialError } from "../errors.ts";
import { expandHome } from "../host/local_user.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";
import type { Settings } from "./options.ts";

/** What a dial decides for itself. */
export interface DialArguments {
  /** The path of the control socket. */
  readonly socket: string;
  /** Paths of the host's keys that are given as text. */
  readonly keyFiles: readonly string[];
  /** What the private socket and the host key policy add; they come first. */
  readonly own: Readonly<Record<string, string>>;
}

/** The fields that `ssh` would have to ask for. */
const ASKED = ["password", "passphrase", "keyboardInteractive"] as const;

/**
 * The arguments of `ssh` for a dial: of options that are given twice, `ssh`
 * takes the first.
 *
 * @throws {DialError} With phase `config` if the host has what cannot be said.
 */
export function argumentsFor(
  host: ResolvedHost,
  options: ConnectOptions,
  settings: Settings,
  dial: DialArguments,
): string[] {
  refuseUnasked(host, settings);
  const lines = [
    ...Object.entries(dial.own),
    ...Object.entries(fixed(options, settings)),
    ...Object.entries(settings.options),
    ...target(host),
    ...credentials(host, dial.keyFiles),
    ...algorithms(host),
  ];
  const { configFile } = settings;
  return [
    ...configFile === undefined
      ? []
      : ["-F", configFile === false ? "none" : expandHome(configFile)!],
    "-v",
    "-f",
    "-N",
    "-M",
    "-S",
    dial.socket,
    ...lines.map(([name, value]) => `-o${name}=${value}`),
    "-p",
    String(host.port),
    "-l",
    host.user,
    "--",
    host.alias ?? host.hostname,
  ];
}

/** What nobody sets. */
function fixed(
  {
    keepaliveIntervalMs = 15_000,
    keepaliveCountMax = 3,
    timeoutMs = 20_000,
  }: ConnectOptions,
  { askpass, persistMs }: Settings,
): Record<string, string> {
  return {
    BatchMode: askpass ? "no" : "yes",
    ControlPersist: seconds(persistMs),
    ConnectTimeout: seconds(timeoutMs),
    ServerAliveInterval: seconds(keepaliveIntervalMs),
    ServerAliveCountMax: `${Math.min(keepaliveCountMax, 2 ** 31 - 1)}`,
    // Each wrong answer counts for a server that locks addresses out.
    NumberOfPasswordPrompts: "1",
    ClearAllForwardings: "yes",
    PermitLocalCommand: "no",
    RemoteCommand: "none",
    RequestTTY: "no",
    ForwardX11: "no",
  };
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)}`;
}

type Line = readonly [name: string, value: string];

function* target(host: ResolvedHost): Generator<Line> {
  // So that ssh goes where the pool believes it does, whatever its own look-up
  // of the alias says.
  if (host.alias !== undefined) {
    yield ["HostName", literal(host, "hostname", host.hostname)];
  }
  if (host.addressFamily !== undefined) {
    yield ["AddressFamily", host.addressFamily === 4 ? "inet" : "inet6"];
  }
  if (host.bindAddress !== undefined) {
    yield ["BindAddress", asOneWord(host, "bindAddress", host.bindAddress)];
  }
  if (host.proxyCommand !== undefined) {
    // It is a line of its own, quotes and all.
    if (/[\0\r\n]/.test(host.proxyCommand)) {
      throw unsayable(host, "proxyCommand", "a line break");
    }
    yield ["ProxyCommand", host.proxyCommand];
  }
  if (host.agentForward === true) yield ["ForwardAgent", "yes"];
}

function* credentials(
  host: ResolvedHost,
  keyFiles: readonly string[],
): Generator<Line> {
  const paths = [...keyFiles, ...[host.identityFile ?? []].flat()];
  for (const path of paths) {
    yield ["IdentityFile", literal(host, "identityFile", path)];
  }
  for (const path of [host.certificateFile ?? []].flat()) {
    yield ["CertificateFile", literal(host, "certificateFile", path)];
  }
  if (host.identitiesOnly === true) yield ["IdentitiesOnly", "yes"];
  const agent = host.agent ?? (hasOtherCredentials(host) ? false : undefined);
  if (agent === false) yield ["IdentityAgent", "none"];
  if (agent === true) yield ["IdentityAgent", "SSH_AUTH_SOCK"];
  if (typeof agent === "string") {
    yield ["IdentityAgent", literal(host, "agent", agent)];
  }
  const methods = host.authMethods?.filter((it) => it !== "none");
  if (methods !== undefined) {
    yield ["PreferredAuthentications", methods.join(",") || "none"];
  }
}

/** With these the agent is not asked unless it is named. */
function hasOtherCredentials(host: ResolvedHost): boolean {
  return host.privateKey !== undefined || host.password !== undefined ||
    host.keyboardInteractive !== undefined;
}

const ALGORITHMS = {
  kex: "KexAlgorithms",
  cipher: "Ciphers",
  mac: "MACs",
  hostKey: "HostKeyAlgorithms",
  publicKey: "PubkeyAcceptedAlgorithms",
} as const;

function* algorithms(host: ResolvedHost): Generator<Line> {
  const names = Object.keys(ALGORITHMS) as (keyof typeof ALGORITHMS)[];
  for (const name of names) {
    const list = host.algorithms?.[name];
    if (list === undefined) continue;
    const text = typeof list === "string" ? list : list.join(",");
    if (!/^[-+^]?[\w.@*?,-]+$/.test(text.replaceAll(/\s/g, ""))) {
      throw unsayable(host, `algorithms.${name}`, "a character of no name");
    }
    yield [ALGORITHMS[name], text.replaceAll(/\s/g, "")];
  }
}

function refuseUnasked(host: ResolvedHost, { askpass }: Settings): void {
  if (askpass) return;
  const field = ASKED.find((name) => host[name] !== undefined);
  if (field === undefined) return;
  const name = hostLabel(host);
  throw new DialError(
    "config",
    `Cannot connect to ${JSON.stringify(name)}: ${field} is given, and ssh ` +
      "may not ask for it",
    {
      host: name,
      hint: `Set askpass: true of the OpenSshConnector, leave ${field} out, ` +
        "or leave transport at ssh2",
    },
  );
}

/** A value in which `%` and spaces stand for themselves. */
export function literal(
  host: ResolvedHost,
  field: string,
  value: string,
): string {
  return asOneWord(host, field, value.replaceAll("%", "%%"));
}

/** A value in which spaces stand for themselves. */
export function asOneWord(
  host: ResolvedHost,
  field: string,
  value: string,
): string {
  if (/["\\\0\r\n]/.test(value)) {
    throw unsayable(host, field, "a quote, a backslash or a line break");
  }
  return `"${value}"`;
}

function unsayable(host: ResolvedHost, field: string, what: string): DialError {
  const name = hostLabel(host);
  return new DialError(
    "config",
    `Cannot connect to ${JSON.stringify(name)}: ${field} has ${what}, which ` +
      "cannot be given to ssh",
    { host: name },
  );
}
