/**
 * How a key may sign, where the host says which algorithms are accepted.
 *
 * @module
 */

import { KeyError } from "./_keys.ts";

const CERTIFICATE = "-cert-v01@openssh.com";

/** The signatures of RSA keys, and the hashes that ssh2 and agents name. */
const RSA: Readonly<Record<string, string | undefined>> = {
  "rsa-sha2-512": "sha512",
  "rsa-sha2-256": "sha256",
  "ssh-rsa": undefined,
};

/** The signatures that one key may make. */
export class Signatures {
  readonly #type: string;
  /** Best first; `undefined` for whatever ssh2 picks. */
  readonly #allowed: readonly string[] | undefined;

  /**
   * @param type The type of the key or the certificate.
   * @param accepted Names of OpenSSH's `PubkeyAcceptedAlgorithms`, if given.
   */
  constructor(type: string, accepted: readonly string[] | undefined) {
    this.#type = type;
    const suffix = type.endsWith(CERTIFICATE) ? CERTIFICATE : "";
    const isRsa = type === `ssh-rsa${suffix}`;
    this.#allowed = isRsa
      ? accepted?.map((name) => name.replace(CERTIFICATE, ""))
        .filter((name, i) =>
          Object.hasOwn(RSA, name) && accepted[i] === name + suffix
        )
      : accepted?.filter((name) => name === type);
  }

  /**
   * Checks that there is one.
   *
   * @param name The name of the key, for the message.
   * @throws {KeyError} If there is none.
   */
  check(name: string): void {
    if (this.#allowed?.length !== 0) return;
    throw new KeyError(
      `Cannot use ${name}: it is of the type ${this.#type}, which ` +
        "algorithms.publicKey (PubkeyAcceptedAlgorithms) leaves out",
    );
  }

  /**
   * Returns the name of the signature to make.
   *
   * @param picked What ssh2 has picked; `undefined` where the type says it.
   */
  pick(picked: string | undefined): string | undefined {
    if (picked === undefined || this.#allowed === undefined) return picked;
    return this.#allowed.includes(picked) ? picked : this.#allowed[0];
  }

  /** The same for an agent, which is told a hash. */
  hash(picked: string | undefined): string | undefined {
    const name = Object.keys(RSA).find((it) => RSA[it] === picked);
    const isRsa = this.#type.startsWith("ssh-rsa");
    return isRsa ? RSA[this.pick(name) ?? ""] : picked;
  }
}
