/**
 * What a host's authentication will try, in which order.
 *
 * @module
 */

import { fingerprint } from "../../known_hosts/fingerprint.ts";
import type { Buffer } from "node:buffer";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import process from "node:process";
import type { AuthMethod, ResolvedHost } from "../../host.ts";
import type { AgentClient, AgentKey } from "./_agent.ts";
import { isCertificate } from "./_wire.ts";
import { home, type Identity, readIdentity, textIdentity } from "./_keys.ts";

/** One credential, whose turn may come. */
export type Attempt =
  | { readonly method: "none" }
  | { readonly method: "password" }
  | { readonly method: "keyboard-interactive" }
  | KeyAttempt;

/** A key, of an agent or of this process. */
export interface KeyAttempt {
  readonly method: "publickey";
  /** The file's name, or where the key is from. */
  readonly name: string;
  /** The key or certificate to show, where it can be known without a passphrase. */
  readonly blob: Buffer | undefined;
  /** The key by which errors call it. */
  readonly fingerprintOf: Buffer | undefined;
  /** Who signs. */
  readonly signer: AgentKey | Identity;
}

/** The files that are tried when nothing else was given, as `ssh` has them. */
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
 * @returns The attempts, in order; empty if there is nothing to offer.
 */
export async function planAttempts(
  host: ResolvedHost,
  agent: AgentClient | undefined,
  onProblem: (problem: Error) => void,
): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  for (const method of host.authMethods ?? DEFAULT_METHODS) {
    if (method === "publickey") {
      const [identities, held] = await Promise.all([
        readIdentities(host, onProblem),
        listAgent(host, agent, onProblem),
      ]);
      attempts.push(
        ...orderKeys(identities, held, host.identitiesOnly === true),
      );
    } else if (method === "none" || host.password !== undefined) {
      attempts.push({ method });
    } else if (
      method !== "password" && host.keyboardInteractive !== undefined
    ) {
      attempts.push({ method });
    }
  }
  return attempts;
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
  // As with ssh, naming files does not keep the agent out. A password or a key
  // as text is the caller's own: the agent's keys would only use up attempts.
  const own = host.password !== undefined || host.privateKey !== undefined;
  const files = host.identityFile !== undefined;
  return !own && (files || !isExplicit(host)) ? environmentAgent() : undefined;
}

/** `SSH_AUTH_SOCK`, if it is set and may be read. */
export function environmentAgent(): string | undefined {
  try {
    return process.env["SSH_AUTH_SOCK"] || undefined;
  } catch {
    return undefined; // Deno without --allow-env: as good as no agent.
  }
}

/** `publickey id_ed25519 SHA256:...`, as errors show it. */
export function keyLabel(name: string, blob: Uint8Array | undefined): string {
  const parts = ["publickey", name];
  if (blob !== undefined) parts.push(fingerprint(blob));
  return parts.join(" ");
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
    const place = key === undefined ? files : named;
    if (key !== undefined && used.has(key)) continue;
    const certificate = held.find((it) =>
      identity.certificate?.equals(it.blob)
    );
    for (const it of [key, certificate]) if (it !== undefined) used.add(it);
    place.push(...identityAttempts(identity, key, certificate));
  }
  const others = held.filter((key) => !namedOnly && !used.has(key));
  return [...named, ...others.map(agentAttempt), ...files];
}

/** A key by its own name, and before it the certificate that lies beside it. */
function identityAttempts(
  identity: Identity,
  key: AgentKey | undefined,
  certificate: AgentKey | undefined,
): Attempt[] {
  const { blob } = identity;
  const name = basename(identity.name);
  const signer = key ?? identity;
  const plain: Attempt = {
    method: "publickey",
    name,
    blob,
    fingerprintOf: blob,
    signer,
  };
  if (identity.certificate === undefined) return [plain];
  return [{
    method: "publickey",
    name: `${name} certificate`,
    blob: identity.certificate,
    fingerprintOf: blob ?? identity.certificate,
    signer: certificate ?? signer,
  }, plain];
}

function agentAttempt(key: AgentKey): Attempt {
  return {
    method: "publickey",
    name: isCertificate(key.blob) ? "agent certificate" : "agent key",
    blob: key.blob,
    fingerprintOf: key.blob,
    signer: key,
  };
}

async function listAgent(
  host: ResolvedHost,
  agent: AgentClient | undefined,
  onProblem: (problem: Error) => void,
): Promise<AgentKey[]> {
  if (agent === undefined) {
    if (host.agent === true) {
      onProblem(new Error("Cannot use the agent: SSH_AUTH_SOCK is not set"));
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
  onProblem: (problem: Error) => void,
): Promise<Identity[]> {
  const texts = listOf<string | Uint8Array>(host.privateKey).map(textIdentity);
  const paths = isExplicit(host)
    ? listOf<string>(host.identityFile)
    : await defaultFiles();
  const files = await Promise.all(paths.map(async (path) => {
    try {
      return [await readIdentity(path)];
    } catch (error) {
      onProblem(error as Error);
      return [];
    }
  }));
  return [...texts, ...files.flat()];
}

async function defaultFiles(): Promise<string[]> {
  const folder = home();
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
