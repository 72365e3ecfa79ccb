/**
 * Which credentials a host's authentication tries, and in which order.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { homeDirectory, readEnv } from "../../_local.ts";
import type { AuthMethod, ResolvedHost } from "../../host.ts";
import { fingerprint } from "../../known_hosts/fingerprint.ts";
import type { AgentClient, AgentKey } from "./_agent.ts";
import {
  type Identity,
  KeyError,
  readCertificate,
  readIdentity,
  textIdentity,
} from "./_keys.ts";
import { certifiedKey, isCertificate } from "./_wire.ts";

/** Something to log in with. */
export type Credential =
  | { readonly method: "none" }
  | { readonly method: "password" }
  | { readonly method: "keyboard-interactive" }
  | KeyCredential;

/** A key of an agent, or of this process. */
export interface KeyCredential {
  readonly method: "publickey";
  /** The file's name, or where the key is from. */
  readonly name: string;
  /** The key or certificate to show, where it is known without a passphrase. */
  readonly blob: Buffer | undefined;
  /** The key whose fingerprint error messages show. */
  readonly fingerprintOf: Buffer | undefined;
  /** What signs. */
  readonly signer: AgentKey | Identity;
}

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
    ? "SSH_AUTH_SOCK is not set"
    : `the agent at ${socket} gave no key`;
  return `no key was found (there is none of ${files}; ${agent}): ` +
    "set identityFile, privateKey, password or agent";
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

interface Keys {
  readonly identities: readonly Identity[];
  /** Whether the host names them; else they are the default files. */
  readonly areNamed: boolean;
  /** The keys of the agent. */
  readonly held: readonly AgentKey[];
  readonly certificates: readonly NamedCertificate[];
  /** Leave the agent's other keys out. */
  readonly namedOnly: boolean;
  readonly onProblem: OnProblem;
}

interface NamedCertificate {
  readonly name: string;
  readonly blob: Buffer;
}

/**
 * Named keys first, whoever holds them: an agent with many keys must not use
 * up the server's attempts before them.
 */
function orderKeys(keys: Keys): Credential[] {
  const { identities, held, namedOnly } = keys;
  const inAgent: KeyCredential[] = [];
  const inFiles: KeyCredential[] = [];
  for (const identity of identities) {
    const key = held.find((it) => identity.blob?.equals(it.blob));
    const place = key === undefined ? inFiles : inAgent;
    place.push(...identityCredentials(identity, key, held));
  }
  const others = namedOnly ? [] : held.map(agentCredential);
  const certified = certificateCredentials(keys);
  return withoutRepeats(
    keys.areNamed
      ? [...certified, ...inAgent, ...inFiles, ...others]
      : [...certified, ...inAgent, ...others, ...inFiles],
  );
}

/** The same key, signed for by the agent or by the same file, is tried once. */
function withoutRepeats(keys: readonly KeyCredential[]): KeyCredential[] {
  return keys.filter(({ blob, signer }, index) =>
    !keys.slice(0, index).some((earlier) =>
      blob !== undefined && earlier.blob?.equals(blob) === true &&
      (!("load" in earlier.signer) || earlier.signer === signer)
    )
  );
}

/** The certificates of `certificateFile`, each with the key that it is for. */
function certificateCredentials(keys: Keys): KeyCredential[] {
  const { identities, held, certificates, onProblem } = keys;
  const found: KeyCredential[] = [];
  for (const { name, blob } of certificates) {
    const plain = certifiedKey(blob);
    const isFor = (it: { readonly blob: Buffer | undefined }) =>
      plain !== undefined && it.blob?.equals(plain) === true;
    const signer = held.find(isFor) ?? identities.find(isFor);
    if (signer === undefined) {
      onProblem(
        new KeyError(
          `Cannot use the certificate ${JSON.stringify(name)}: its key is ` +
            "neither in identityFile nor in the agent",
          { hint: "name the file of its private key in identityFile" },
        ),
      );
      continue;
    }
    found.push({
      method: "publickey",
      name: basename(name),
      blob,
      fingerprintOf: plain,
      signer,
    });
  }
  return found;
}

/** A key by its own name, and before it the certificate beside its file. */
function identityCredentials(
  identity: Identity,
  key: AgentKey | undefined,
  held: readonly AgentKey[],
): KeyCredential[] {
  const { blob, certificate } = identity;
  const name = basename(identity.name);
  const signer = key ?? identity;
  const plain: KeyCredential = {
    method: "publickey",
    name,
    blob,
    fingerprintOf: blob,
    signer,
  };
  if (certificate === undefined) return [plain];
  return [{
    method: "publickey",
    name: `${name} certificate`,
    blob: certificate,
    fingerprintOf: blob ?? certificate,
    signer: held.find((it) => it.blob.equals(certificate)) ?? signer,
  }, plain];
}

function agentCredential(key: AgentKey): KeyCredential {
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
  onProblem: OnProblem,
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
