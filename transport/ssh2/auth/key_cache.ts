/**
 * Decrypted private keys, kept so that one passphrase serves many dials, and
 * how hosts take passwords.
 *
 * @module
 */

import { createHmac, randomBytes } from "node:crypto";
// @ts-types="@types/ssh2"
import type { ParsedKey } from "ssh2";
import type { Passphrase } from "../../host/host.ts";

const MAX_KEYS = 100;

/** Those that a password answers. */
const PASSWORD_METHODS: readonly string[] = [
  "password",
  "keyboard-interactive",
];

/**
 * Keeps at most a hundred parsed keys, and no passphrase. A connector owns one:
 * the keys can be collected together with the connector.
 *
 * A passphrase given as text finds only the keys that the same text has opened.
 * A function finds only the keys that the same function has opened. Otherwise a
 * wrong passphrase would work after a right one.
 */
export class KeyCache {
  readonly #keys = new Map<string, Promise<ParsedKey>>();
  readonly #secret = randomBytes(32);
  readonly #functions = new WeakMap<object, number>();
  /** How each host takes a password. */
  readonly #methods = new Map<string, readonly string[]>();
  #lastFunction = 0;

  /**
   * Gives a key, and loads it if it is not there. Callers that want the same
   * key at the same time share one load, and so one question.
   *
   * @param source What identifies the text of the key.
   * @param passphrase The passphrase, or the function that is asked for it.
   * @param load Parses the key.
   */
  get(
    source: string,
    passphrase: Passphrase | undefined,
    load: () => Promise<ParsedKey>,
  ): Promise<ParsedKey> {
    const name = `${source}\0${this.#nameOf(passphrase)}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const loading = load();
    this.#keys.set(name, loading);
    // A failure is not kept. By then another load may have taken its place.
    loading.catch(() => {
      if (this.#keys.get(name) === loading) this.#keys.delete(name);
    });
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= MAX_KEYS) break;
      this.#keys.delete(oldest);
    }
    return loading;
  }

  /**
   * Returns the methods by which a host takes passwords, as far as it has said:
   * it need not be asked again.
   *
   * @param host The label of the host.
   */
  methodsOf(host: string): readonly string[] | undefined {
    return this.#methods.get(host);
  }

  /** Keeps the methods that a host offers to somebody who is not logged in. */
  keepMethods(host: string, methods: readonly string[]): void {
    const known = methods.filter((it) => PASSWORD_METHODS.includes(it));
    this.#methods.delete(host);
    if (known.length > 0) this.#methods.set(host, known);
    for (const oldest of this.#methods.keys()) {
      if (this.#methods.size <= MAX_KEYS) break;
      this.#methods.delete(oldest);
    }
  }

  #nameOf(passphrase: Passphrase | undefined): string {
    if (passphrase === undefined) return "none";
    if (typeof passphrase === "string") {
      return createHmac("sha256", this.#secret).update(passphrase)
        .digest("hex");
    }
    let id = this.#functions.get(passphrase);
    if (id === undefined) {
      this.#functions.set(passphrase, id = ++this.#lastFunction);
    }
    return `function ${id}`;
  }
}
