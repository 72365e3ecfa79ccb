/**
 * From what a configuration says to a host: the mapping, keyword by keyword.
 *
 * @module
 */

import { MAX_TIMER_MS } from "../abort.ts";
import type { Notice } from "../connector.ts";
import type { AuthMethod, SshHost } from "../host/host.ts";
import { readEnv, readWholeEnv } from "../host/local_user.ts";
import { errorAt } from "./errors.ts";
import type { Evaluation } from "./_evaluate.ts";
import { noticeAt } from "./_not_honoured.ts";
import { hasWildcard, matchPattern } from "../host/pattern.ts";
import type { Setting } from "./_parser.ts";
import { expand, type TokenSource } from "./_tokens.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What is filled in: everything of a host that a configuration can say. */
interface Draft {
  readonly host: Mutable<SshHost>;
  readonly evaluation: Evaluation;
  readonly tokens: TokenSource;
  readonly notices: Notice[];
}

const PROXY_TOKENS = "hnpr";

/** Builds the host. What is odd about it goes to `notices`. */
export function toHost(
  name: string,
  evaluation: Evaluation,
  notices: Notice[],
): SshHost {
  const host: Mutable<SshHost> = { hostname: evaluation.hostname };
  if (name !== host.hostname) host.alias = name;
  const tokens = evaluation.tokens();
  const draft: Draft = { host, evaluation, tokens, notices };
  refuse(draft);
  addTarget(draft);
  addIdentity(draft);
  addHostKey(draft);
  addAlgorithms(draft);
  addProxy(draft);
  addEnv(draft);
  addTimes(draft);
  return host;
}

function value(draft: Draft, name: string): string | undefined {
  return draft.evaluation.get(name)?.values[0];
}

/** Stops at what would make the connection less safe if it were passed over. */
function refuse({ evaluation }: Draft): void {
  const refusal = evaluation.get("refuseconnection");
  if (refusal !== undefined) {
    throw errorAt(refusal, `RefuseConnection: ${refusal.values[0]}`);
  }
  const revoked = evaluation.get("revokedhostkeys");
  if (revoked !== undefined && revoked.values[0]!.toLowerCase() !== "none") {
    throw errorAt(
      revoked,
      "RevokedHostKeys cannot be honoured: revoke keys with @revoked in known_hosts",
    );
  }
}

function addTarget(draft: Draft): void {
  const { host, evaluation } = draft;
  if (evaluation.user !== undefined) host.user = evaluation.user;
  host.port = evaluation.port;
  const family = value(draft, "addressfamily");
  if (family === "inet") host.addressFamily = 4;
  if (family === "inet6") host.addressFamily = 6;
  const bind = value(draft, "bindaddress");
  if (bind !== undefined) host.bindAddress = bind;
}

function addIdentity(draft: Draft): void {
  const { host, evaluation, tokens } = draft;
  const paths = (keyword: string) => {
    const settings = evaluation.all(keyword);
    if (settings.length === 0) return undefined;
    return settings.filter((s) => isNotNone(s.values[0]!))
      .map((s) => expand(s.values[0]!, tokens, s, { tilde: true, env: true }));
  };
  const identities = paths("identityfile");
  if (identities !== undefined) host.identityFile = identities;
  const certificates = paths("certificatefile");
  if (certificates !== undefined) host.certificateFile = certificates;
  if (value(draft, "identitiesonly") === "yes") host.identitiesOnly = true;
  const agent = agentOf(draft);
  if (agent !== undefined) host.agent = agent;
  const methods = methodsOf(draft);
  if (methods !== undefined) host.authMethods = methods;
  addAgentForward(draft);
}

/** Gives the agent's socket; `undefined` leaves it to the default. */
function agentOf(draft: Draft): string | false | undefined {
  const setting = draft.evaluation.get("identityagent");
  const text = setting?.values[0];
  if (setting !== undefined && text !== undefined && text !== "SSH_AUTH_SOCK") {
    if (text === "none") return false;
    const legacy = /^\$([A-Za-z_][A-Za-z0-9_]*)$/.exec(text);
    if (legacy !== null) return readEnv(legacy[1]!) || false;
    return expand(text, draft.tokens, setting, { tilde: true, env: true });
  }
  // With an identity file the default would be no agent, but OpenSSH asks the
  // agent nonetheless: the file may be the public half of one of its keys.
  if (draft.host.identityFile === undefined) return undefined;
  return readEnv("SSH_AUTH_SOCK") || undefined;
}

const METHODS: readonly AuthMethod[] = [
  "publickey",
  "keyboard-interactive",
  "password",
];
const SWITCHES: Readonly<Record<string, AuthMethod>> = {
  pubkeyauthentication: "publickey",
  kbdinteractiveauthentication: "keyboard-interactive",
  passwordauthentication: "password",
};

function methodsOf(draft: Draft): readonly AuthMethod[] | undefined {
  const preferred = draft.evaluation.get("preferredauthentications");
  const off = Object.entries(SWITCHES)
    .filter(([name]) => value(draft, name) === "no").map(([, method]) =>
      method
    );
  if (preferred === undefined && off.length === 0) return undefined;
  const wanted = value(draft, "preferredauthentications")?.split(",") ??
    METHODS;
  const methods = METHODS.filter((m) => wanted.includes(m) && !off.includes(m))
    .sort((a, b) => wanted.indexOf(a) - wanted.indexOf(b));
  if (methods.length > 0) return methods;
  const [name] = Object.keys(SWITCHES);
  throw errorAt(
    preferred ?? draft.evaluation.get(name!)!,
    `no authentication method is left, must be one of ${METHODS.join(", ")}`,
  );
}

function addAgentForward(draft: Draft): void {
  const setting = draft.evaluation.get("forwardagent");
  if (setting === undefined) return;
  const text = setting.values[0]!.toLowerCase();
  if (text === "yes" || text === "true") draft.host.agentForward = true;
  else if (text !== "no" && text !== "false") {
    // Forwarding another agent than the one that is named would be worse.
    draft.notices.push(noticeAt(
      setting,
      "ssh-config-agent-forward",
      "with a socket is not honoured: no agent is forwarded",
    ));
  }
}

function addHostKey(draft: Draft): void {
  const { host, evaluation, tokens } = draft;
  const strict = evaluation.get("stricthostkeychecking");
  const mode = strict?.values[0];
  if (mode === "yes" || mode === "ask") host.hostKey = "strict";
  if (mode === "accept-new" || mode === "no") host.hostKey = "accept-new";
  if (mode === "no") {
    draft.notices.push(noticeAt(
      strict!,
      "ssh-config-stricter",
      "no is taken as accept-new: a changed host key is refused",
    ));
  }
  const files = evaluation.get("userknownhostsfile");
  if (files !== undefined) {
    host.knownHostsFiles = files.values.filter(isNotNone)
      .map((f) => expand(f, tokens, files, { tilde: true, env: true }));
  }
  const global = evaluation.get("globalknownhostsfile");
  if (global !== undefined) {
    host.globalKnownHostsFiles = global.values.filter(isNotNone);
  }
  if (tokens.hostKeyAlias !== undefined) {
    host.hostKeyAlias = tokens.hostKeyAlias;
  }
  if (value(draft, "hashknownhosts") === "yes") host.hashKnownHosts = true;
}

function isNotNone(text: string): boolean {
  return text.toLowerCase() !== "none";
}

const ALGORITHMS = {
  kexalgorithms: "kex",
  ciphers: "cipher",
  macs: "mac",
  hostkeyalgorithms: "hostKey",
  pubkeyacceptedalgorithms: "publicKey",
} as const;

function addAlgorithms(draft: Draft): void {
  const found = Object.entries(ALGORITHMS).flatMap(([name, field]) => {
    const list = value(draft, name);
    return list === undefined ? [] : [[field, list]];
  });
  if (found.length > 0) draft.host.algorithms = Object.fromEntries(found);
}

function addProxy(draft: Draft): void {
  const { host, evaluation, tokens } = draft;
  const jump = evaluation.get("proxyjump");
  if (jump !== undefined && jump.values[0] !== "none") {
    host.jump = jump.values.map((hop) =>
      expand(hop, tokens, jump, { tokens: PROXY_TOKENS })
    );
  }
  const proxy = evaluation.get("proxycommand");
  if (proxy !== undefined && isNotNone(proxy.values[0]!)) {
    const command = expand(proxy.values[0]!, tokens, proxy, {
      tokens: PROXY_TOKENS,
      shell: true,
    });
    // The field is a template too: what is expanded here stays as it is there.
    host.proxyCommand = command.replaceAll("%", "%%");
  }
}

function addEnv(draft: Draft): void {
  const env: Record<string, string> = {};
  const patterns = draft.evaluation.all("sendenv");
  for (const setting of patterns) Object.assign(env, sentEnv(draft, setting));
  for (const item of draft.evaluation.get("setenv")?.values ?? []) {
    const at = item.indexOf("=");
    if (at > 0) env[item.slice(0, at)] = item.slice(at + 1);
  }
  if (Object.keys(env).length > 0) draft.host.env = env;
}

function sentEnv(draft: Draft, setting: Setting): Record<string, string> {
  const pattern = setting.values[0]!;
  if (!hasWildcard(pattern)) {
    const found = readEnv(pattern);
    return found === undefined ? {} : { [pattern]: found };
  }
  const all = readWholeEnv();
  if (all !== undefined) {
    return Object.fromEntries(
      Object.entries(all).filter(([name]) => matchPattern(name, pattern)),
    );
  }
  // Stock configurations name the locale: what may be read of it is enough.
  if (!pattern.startsWith("LC_")) {
    draft.notices.push(noticeAt(
      setting,
      "ssh-config-env",
      "with a wildcard needs the whole environment, which may not be read " +
        "(--allow-env)",
    ));
  }
  return Object.fromEntries(
    LOCALE.filter((name) => matchPattern(name, pattern))
      .map((name) => [name, readEnv(name)])
      .filter(([, value]) => value !== undefined),
  );
}

/** The variables of POSIX and glibc that `LC_*` is meant for. */
const LOCALE =
  ("ALL ADDRESS COLLATE CTYPE IDENTIFICATION MEASUREMENT MESSAGES MONETARY " +
    "NAME NUMERIC PAPER TELEPHONE TIME").split(" ").map((it) => `LC_${it}`);

function addTimes(draft: Draft): void {
  const { host } = draft;
  const timeout = Number(value(draft, "connecttimeout") ?? 0);
  // Zero means none to OpenSSH: the pool's own deadline then holds.
  if (timeout > 0) host.dialTimeoutMs = milliseconds(timeout);
  const interval = value(draft, "serveraliveinterval");
  if (interval !== undefined) {
    host.keepaliveIntervalMs = milliseconds(Number(interval));
  }
  const count = Number(value(draft, "serveralivecountmax") ?? -1);
  if (count >= 0) host.keepaliveCountMax = count;
}

function milliseconds(seconds: number): number {
  return Math.min(seconds * 1000, MAX_TIMER_MS);
}
