/**
 * The order in which keys are tried.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { basename } from "node:path";
import type { AgentKey } from "./_agent.ts";
import { type Identity, KeyError } from "./_keys.ts";
import { certifiedKey, isCertificate } from "./_wire.ts";

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

/** The keys of a host, from all sources. */
export interface Keys {
  readonly identities: readonly Identity[];
  /** Whether the host names them; else they are the default files. */
  readonly areNamed: boolean;
  /** The keys of the agent. */
  readonly held: readonly AgentKey[];
  readonly certificates: readonly NamedCertificate[];
  /** Leave the agent's other keys out. */
  readonly namedOnly: boolean;
  /** Told of what had to be left out. */
  readonly onProblem: (problem: Error) => void;
}

/** A certificate of `certificateFile`. */
export interface NamedCertificate {
  readonly name: string;
  readonly blob: Buffer;
}

/**
 * Named keys first, whoever holds them: an agent with many keys must not use
 * up the server's attempts before them.
 */
export function orderKeys(keys: Keys): KeyCredential[] {
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
    const signer = held.find(isFor) ?? identities.find(isFor) ??
      // An encrypted key in PEM does not show which key it is.
      identities.find((it) => it.blob === undefined);
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
