/**
 * What a host's authentication will try, in which order.
 *
 * @module
 */

import { basename } from "node:path";
import { homedir } from "node:os";
import process from "node:process";
import { access } from "node:fs/promises";
import type { Notice } from "../connector.ts";
import type { AuthMethod, ResolvedHost } from "../host.ts";
import { AgentClient, type AgentKey } from "./_agent.ts";
import {
  fingerprint,
  type Identity,
  readIdentity,
  textIdentity,
} from "./_keys.ts";

/** One credential, whose turn may come. */
export type Attempt =
  | { readonly method: "none" }
  | { readonly method: "password" }
  | { readonly method: "keyboard-interactive" }
  | AgentAttempt
  | KeyAttempt;

/** A key that an agent holds. */
export interface AgentAttempt {
  readonly method: "publickey";
  readonly key: AgentKey;
  readonly label: string;
}

/** A key that is read and used in this process. */
export interface KeyAttempt {
  readonly method: "publickey";
  readonly identity: Identity;
  readonly label: string;
}

/** A plan, and what had to be left out of it. */
export interface Plan {
  readonly attempts: Attempt[];
  readonly agent: AgentClient | undefined;
  readonly problems: Error[];
}

/** The files that are tried when nothing else was given, as `ssh` has them. */
const DEFAULT_FILES: readonly string[] = ["id_ed25519", "id_ecdsa", "id_rsa"];
const DEFAULT_METHODS: readonly AuthMethod[] = [
  "publickey",
  "keyboard-interactive",
  "password",
];
const AGENT_TIMEOUT_MS = 3_000;

/**
 * Collects the credentials of a host. Nothing is decrypted and nobody is asked.
 *
 * @param host The host.
 * @param onNotice Told of what was left out.
 * @param onAgent Given the agent before it is talked to, so that it can be let go.
 * @returns The plan.
 */
export async function makePlan(
  host: ResolvedHost,
  onAgent: (agent: AgentClient) => void,
): Promise<Plan> {
  const problems: Error[] = [];
  const methods = host.authMethods ?? DEFAULT_METHODS;
  const path = agentPath(host);
  const agent = path === undefined || !methods.includes("publickey")
    ? undefined
    : new AgentClient(path);
  if (agent !== undefined) onAgent(agent);
  const attempts: Attempt[] = [];
  for (const method of methods) {
    if (method === "publickey") {
      attempts.push(...await publicKeys(host, agent, problems));
    } else if (canTry(method, host)) attempts.push({ method } as Attempt);
  }
  return { attempts, agent, problems };
}

/** Whether any credential was given for the host. */
export function isExplicit(host: ResolvedHost): boolean {
  return host.password !== undefined || host.privateKey !== undefined ||
    host.identityFile !== undefined || typeof host.agent === "string" ||
    host.agent === true || host.keyboardInteractive !== undefined;
}

function canTry(method: AuthMethod, host: ResolvedHost): boolean {
  if (method === "none") return true;
  if (method === "password") return host.password !== undefined;
  return host.keyboardInteractive !== undefined || host.password !== undefined;
}

/** The agent's socket, if there is one to be used for the host's login. */
export function agentPath(host: ResolvedHost): string | undefined {
  if (typeof host.agent === "string") return host.agent;
  if (host.agent === false) return undefined;
  if (
    host.agent === undefined && isExplicit(host) &&
    host.identityFile === undefined
  ) {
    return undefined;
  }
  // A password or a key of the caller's own speaks for itself, also beside files.
  if (
    host.agent === undefined &&
    (host.password !== undefined || host.privateKey !== undefined)
  ) {
    return undefined;
  }
  return environmentAgent();
}

/** `SSH_AUTH_SOCK`, if it is set and may be read. */
export function environmentAgent(): string | undefined {
  try {
    return process.env["SSH_AUTH_SOCK"] || undefined;
  } catch {
    return undefined; // Deno without --allow-env: as good as no agent.
  }
}

async function publicKeys(
  host: ResolvedHost,
  agent: AgentClient | undefined,
  problems: Error[],
): Promise<Attempt[]> {
  const [identities, held] = await Promise.all([
    readIdentities(host, problems),
    listAgent(agent, problems),
  ]);
  return orderKeys(identities, held, host.identitiesOnly === true);
}

/** OpenSSH's order: named keys that the agent holds, its others, then files. */
function orderKeys(
  identities: readonly Identity[],
  held: readonly AgentKey[],
  namedOnly: boolean,
): Attempt[] {
  const named: Attempt[] = [];
  const files: Attempt[] = [];
  const used = new Set<AgentKey>();
  for (const identity of identities) {
    const key = held.find((it) => identity.blob?.equals(it.blob));
    const label = keyLabel(basename(identity.name), identity.blob);
    if (key === undefined) files.push({ method: "publickey", identity, label });
    else if (!used.has(key)) {
      used.add(key);
      named.push({ method: "publickey", key, label });
    }
  }
  const others = namedOnly
    ? []
    : held.filter((key) => !used.has(key)).map((key): Attempt => ({
      method: "publickey",
      key,
      label: keyLabel("agent key", key.blob),
    }));
  return [...named, ...others, ...files];
}

/** `publickey id_ed25519 SHA256:...`, as errors show it. */
export function keyLabel(name: string, blob: Uint8Array | undefined): string {
  return ["publickey", name, ...(blob === undefined ? [] : [fingerprint(blob)])]
    .join(" ");
}

async function listAgent(
  agent: AgentClient | undefined,
  problems: Error[],
): Promise<AgentKey[]> {
  if (agent === undefined) return [];
  try {
    return await agent.list(AGENT_TIMEOUT_MS);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    problems.push(new Error(`Cannot use the agent: ${why}`, { cause }));
    return [];
  }
}

async function readIdentities(
  host: ResolvedHost,
  problems: Error[],
): Promise<Identity[]> {
  const texts = host.privateKey === undefined
    ? []
    : Array.isArray(host.privateKey)
    ? host.privateKey
    : [host.privateKey];
  const paths = isExplicit(host)
    ? list(host.identityFile)
    : await defaultFiles();
  const read = await Promise.all(
    paths.map((path) =>
      readIdentity(path).catch((error: Error) => {
        problems.push(error);
        return undefined;
      })
    ),
  );
  return [...texts.map(textIdentity), ...read.filter((it) => it !== undefined)];
}

async function defaultFiles(): Promise<string[]> {
  const paths = DEFAULT_FILES.map((name) => `${homedir()}/.ssh/${name}`);
  const there = await Promise.all(
    paths.map((path) => access(path).then(() => true, () => false)),
  );
  return paths.filter((_, index) => there[index]);
}

function list(
  value: string | readonly string[] | undefined,
): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}

/** A problem, as a notice. */
export function asNotice(problem: Error): Notice {
  return { code: "credential-skipped", message: problem.message };
}
