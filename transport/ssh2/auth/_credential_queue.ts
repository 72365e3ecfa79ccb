/**
 * The credentials that are left, and the server's answers to those that were
 * tried.
 *
 * @module
 */

import { serverText } from "../../session/server_text.ts";
import type { Credential } from "./_plan.ts";

/** sshd's MaxAuthTries: the failure with this number ends the connection. */
const MAX_ATTEMPTS = 6;
/** The most method names of a server that are kept. */
const MAX_METHODS = 16;

/**
 * Asks what the server offers. It comes before a password that could be sent in
 * two ways: one that is sent in the wrong one counts as a failed login.
 */
export const QUESTION: Credential = { method: "none" };

/** What a server answered to a login attempt. */
export interface Answer {
  /** The methods that can continue; `null` if it is not known. */
  readonly methods: readonly string[] | null;
  /** Whether the credential was accepted, and more is wanted. */
  readonly partial: boolean | null;
}

/** Gives out credentials in order, as far as the server offers and allows them. */
export class CredentialQueue {
  readonly #credentials: Credential[];
  readonly #hasCallback: boolean;
  readonly #refused: string[] = [];
  readonly #accepted: string[] = [];
  /** How the host took a password before, which may have changed. */
  readonly #remembered: readonly string[] | undefined;
  #offered: readonly string[] | undefined;
  #passwordSpent = false;
  #hasAsked = false;

  /**
   * @param credentials The credentials, in order.
   * @param hasCallback Whether the host has a function that answers questions:
   *   without one keyboard-interactive is answered with the password.
   * @param remembered The methods by which the host took a password before.
   */
  constructor(
    credentials: readonly Credential[],
    hasCallback: boolean,
    remembered?: readonly string[],
  ) {
    this.#remembered = remembered;
    this.#credentials = [...credentials];
    this.#hasCallback = hasCallback;
  }

  /** The methods that the server says can continue; empty if it has not said. */
  get offered(): readonly string[] {
    return this.#offered ?? [];
  }

  /** Whether the server has accepted a credential, and wants more. */
  get hasAccepted(): boolean {
    return this.#accepted.length > 0;
  }

  /** Takes the next credential that may be tried. */
  take(): Credential | undefined {
    const index = this.#credentials.findIndex((it) => this.#mayTry(it));
    if (index < 0) return undefined;
    if (this.#needsQuestion(index)) {
      this.#hasAsked = true;
      return QUESTION;
    }
    const [credential] = this.#credentials.splice(index, 1);
    if (credential?.method === "password") this.#passwordSpent = true;
    return credential;
  }

  /** Notes what the server answered. */
  settle(credential: Credential, label: string, answer: Answer): void {
    // Some servers answer "none" with no list at all, and take a password.
    const isSilent = credential === QUESTION && answer.methods?.length === 0;
    if (answer.methods !== null && !isSilent) {
      this.#offered = answer.methods.slice(0, MAX_METHODS)
        .map((it) => serverText(it, 64));
    }
    if (credential === QUESTION) return;
    if (answer.partial !== true) {
      this.#refused.push(label);
      return;
    }
    this.#accepted.push(label);
    // The second factor may be asked for in the same way as the first.
    const again = credential.method === "keyboard-interactive" &&
      this.#hasCallback;
    if (again) this.#credentials.unshift(credential);
  }

  /**
   * The parts of the message of an error.
   *
   * @param pending What was tried when the server hung up without an answer.
   */
  describe(pending: readonly string[]): string[] {
    const refused = [...this.#refused, ...pending];
    const parts: string[] = [];
    if (this.#accepted.length > 0) {
      parts.push(
        `the server accepted ${listed(this.#accepted)} but wants more`,
      );
    }
    if (refused.length > 0) parts.push(`the server refused ${listed(refused)}`);
    if (parts.length === 0) parts.push("no credential could be offered");
    const left =
      this.#credentials.filter((it) =>
        it.method === "publickey" && this.#isOffered(it.method)
      ).length;
    // When the server hangs up earlier, it is not our limit that ended it.
    const hasEnded = refused.length > 0 &&
      (pending.length === 0 || refused.length >= MAX_ATTEMPTS);
    if (left > 0 && hasEnded) {
      parts.push(
        `${left} more ${
          left === 1 ? "key was" : "keys were"
        } not tried, the limit is ${MAX_ATTEMPTS} attempts`,
      );
    }
    return parts;
  }

  #needsQuestion(index: number): boolean {
    if (this.#hasAsked || this.#offered !== undefined) return false;
    if (this.#remembered !== undefined) return false;
    const methods = this.#credentials.map((it) => it.method);
    return methods[index] === "password" && !this.#hasCallback &&
      methods.includes("keyboard-interactive");
  }

  #isOffered(method: string): boolean {
    if (method === "none") return true;
    const offered = this.#offered ??
      (method === "publickey" ? undefined : this.#remembered);
    return offered?.includes(method) ?? true;
  }

  #mayTry({ method }: Credential): boolean {
    if (!this.#isOffered(method)) return false;
    const others = new Set(this.#credentials.map((it) => it.method));
    if (method === "keyboard-interactive" && !this.#hasCallback) {
      // A password is sent as such where it can be: the same wrong one sent in
      // two ways would count as two failures.
      const either = this.#passwordSpent || others.has("password");
      if (either && this.#isOffered("password")) return false;
    }
    others.delete(method);
    others.delete("none"); // sshd does not count a first one.
    // Keys must not use up the attempts that other methods will need.
    const reserved = method === "publickey"
      ? [...others].filter((it) => this.#isOffered(it)).length
      : 0;
    return this.#refused.length + 1 + reserved <= MAX_ATTEMPTS;
  }
}

/** `publickey (id_rsa SHA256:...), password` */
function listed(tried: readonly string[]): string {
  return tried.map((label) => {
    const [method = "", ...rest] = label.split(" ");
    return rest.length === 0 ? method : `${method} (${rest.join(" ")})`;
  }).join(", ");
}
