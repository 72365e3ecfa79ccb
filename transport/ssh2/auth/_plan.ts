/**
 * Which credentials a host's authentication tries, and in which order.
 *
 * @module
 */

import { stat } from "node:fs/promises";
import { homeDirectory, readEnv } from "../../host/local_user.ts";
import type { AuthMethod, ResolvedHost } from "../../host/host.ts";
import { fingerprint } from "../../host_key/check.ts";
import type { AgentClient, AgentKey } from "./_agent.ts";
import {
  type KeyCredential,
  type NamedCertificate,
  orderKeys,
} from "./_key_order.ts";
import {
  type Identity,
  readCertificate,
  readIdentity,
  textIdentity,
} from "./_keys.ts";

/** Something to log in with. */
export type Credential =
  | { readonly method: "none" }
  | { readonly method: "password" }
  | { readonly method: "keyboard-interactive" }
  | KeyCredential;

/** The files that are tried when no key was named, as `ssh` does. */
const DEFAULT_FILES: readonly string[] = ["id_ed25519", "id_ecdsa", "id_rsa"];
const DEFAULT_METHODS: readonly AuthMethod[] = [
  "publickey",
  "keyboard-interactive",
  "password",
];
/** An agent that hangs must not use up the dial: there may be other keys. */
const AGENT_TIMEOUT_MS = 3_000;

/**
 * Collects the credentials of a host. Nothing is decrypted and nobody is asked.
 *
 * @param host The host.
 * @param agent The agent, if one is to be used.
 * @param onProblem Told of what had to be left out.
 * @returns The credentials, in order; empty if there is none.
 */
export async function planCredentials(
  host: ResolvedHost,
  agent: AgentClient | undefined,
  onProblem: (problem: Error) => void,
): Promise<Credential[]> {
  const plan: Credential[] = [];
  for (const method of host.authMethods ?? DEFAULT_METHODS) {
    if (method === "publickey") {
      plan.push(...await planKeys(host, agent, onProblem));
    } else if (method === "none" || host.password !== undefined) {
      plan.push({ method });
    } else if (
      method !== "password" && host.keyboardInteractive !== undefined
    ) {
      plan.push({ method });
    }
  }
  return plan;
}

/** Whether any credential was given for the host. */
export function isExplicit(host: ResolvedHost): boolean {
  return host.password !== undefined || host.privateKey !== undefined ||
    host.identityFile !== undefined || typeof host.agent === "string" ||
    host.agent === true || host.keyboardInteractive !== undefined;
}

/** The socket of the agent that the host's login may use. */
export function agentPath(host: ResolvedHost): string | undefined {
  if (typeof host.agent === "string") return host.agent;
  if (host.agent === false) return undefined;
  if (host.agent === true) return environmentAgent();
  // As with ssh, naming files does not keep the agent out. But if a password or
  // the text of a key is given, the agent's keys would only use up attempts.
  const own = host.password !== undefined || host.privateKey !== undefined;
  const files = host.identityFile !== undefined;
  return !own && (files || !isExplicit(host)) ? environmentAgent() : undefined;
}

/** `SSH_AUTH_SOCK`, if it is set and may be read. */
export function environmentAgent(): string | undefined {
  return readEnv("SSH_AUTH_SOCK") || undefined;
}

/** `publickey id_ed25519 SHA256:...`, as errors show it. */
export function keyLabel(name: string, blob: Uint8Array | undefined): string {
  const parts = ["publickey", name];
  if (blob !== undefined) parts.push(fingerprint(blob));
  return parts.join(" ");
}

/** A runtime that keeps a variable back does not say whether it is set. */
const NO_SOCKET = "SSH_AUTH_SOCK is not set, or may not be read";

/**
 * What to set where no credential was found at all.
 *
 * @param host The host, for which nothing was given.
 */
export function missingHint(host: ResolvedHost): string {
  const files = DEFAULT_FILES.map((name) => `~/.ssh/${name}`).join(", ");
  const socket = agentPath(host);
  const agent = host.agent === false
    ? "the agent is switched off"
    : socket === undefined
    ? NO_SOCKET
    : `the agent at ${socket} gave no key`;
  return `no key was found (none of ${files} can be read; ${agent}): ` +
    "set identityFile, privateKey, password or agent";
}

/** What to set for a method. */
const FIELDS: Readonly<Record<string, string>> = {
  publickey: "identityFile, privateKey or agent",
  password: "password",
  "keyboard-interactive": "keyboardInteractive or password",
};

/**
 * What to set where a server offers methods that were not tried.
 *
 * @param offered The methods that the server offers.
 * @param tried What was tried, each beginning with its method.
 */
export function untriedHint(
  offered: readonly string[],
  tried: readonly string[],
): string | undefined {
  const method = offered.find((method) =>
    Object.hasOwn(FIELDS, method) &&
    !tried.some((it) => it.split(" ")[0] === method)
  );
  return method === undefined
    ? undefined
    : `the server also offers ${method}: set ${FIELDS[method]}`;
}

type OnProblem = (problem: Error) => void;

async function planKeys(
  host: ResolvedHost,
  agent: AgentClient | undefined,
  onProblem: OnProblem,
): Promise<Credential[]> {
  const [identities, certificates, held] = await Promise.all([
    readIdentities(host, onProblem),
    readCertificates(host, onProblem),
    listAgent(host, agent, onProblem),
  ]);
  // Files that nobody named come after the agent's keys, as with ssh.
  const areNamed = isExplicit(host);
  return orderKeys({
    identities,
    areNamed,
    held,
    certificates,
    namedOnly: host.identitiesOnly === true,
    onProblem,
  });
}

async function listAgent(
  host: ResolvedHost,
  agent: AgentClient | undefined,
  onProblem: OnProblem,
): Promise<AgentKey[]> {
  if (agent === undefined) {
    if (host.agent === true) {
      onProblem(new Error(`Cannot use the agent: ${NO_SOCKET}`));
    }
    return [];
  }
  try {
    return await agent.list(AGENT_TIMEOUT_MS);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    onProblem(new Error(`Cannot use the agent: ${why}`, { cause }));
    return [];
  }
}

async function readIdentities(
  host: ResolvedHost,
  onProblem: OnProblem,
): Promise<Identity[]> {
  const texts = listOf<string | Uint8Array>(host.privateKey);
  const paths = isExplicit(host)
    ? listOf<string>(host.identityFile)
    : await defaultFiles();
  return await usable([
    ...texts.map((text) => () => textIdentity(text)),
    ...paths.map((path) => () => readIdentity(path)),
  ], onProblem);
}

function readCertificates(
  host: ResolvedHost,
  onProblem: OnProblem,
): Promise<NamedCertificate[]> {
  return usable(
    listOf<string>(host.certificateFile).map((name) => async () => ({
      name,
      blob: await readCertificate(name),
    })),
    onProblem,
  );
}

/** Does all of it at once, and leaves out what fails. */
async function usable<T>(
  reads: readonly (() => T | Promise<T>)[],
  onProblem: OnProblem,
): Promise<T[]> {
  const found = await Promise.all(reads.map(async (read) => {
    try {
      return [await read()];
    } catch (error) {
      onProblem(error as Error);
      return [];
    }
  }));
  return found.flat() as T[];
}

async function defaultFiles(): Promise<string[]> {
  const folder = homeDirectory();
  if (folder === undefined) return [];
  const paths = DEFAULT_FILES.map((name) => `${folder}/.ssh/${name}`);
  // Not access(): Deno's asks for --allow-sys, and throws past its promise.
  const exist = await Promise.all(
    paths.map((path) => stat(path).then(() => true, () => false)),
  );
  return paths.filter((_, index) => exist[index]);
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}
