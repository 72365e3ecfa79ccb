/**
 * The attempts that are left, and what became of those that were made.
 *
 * @module
 */

import type { Attempt } from "./_plan.ts";

/** sshd's MaxAuthTries: the failure with this number ends the connection. */
const MAX_ATTEMPTS = 6;

/** What a server answered to an attempt. */
export interface Answer {
  /** The methods that can continue; `null` if it is not known. */
  readonly methods: readonly string[] | null;
  /** Whether the attempt was accepted, and more is wanted. */
  readonly partial: boolean | null;
}

/** Gives out attempts in order, as far as the server offers and allows them. */
export class AttemptQueue {
  readonly #attempts: Attempt[];
  readonly #hasCallback: boolean;
  readonly #refused: string[] = [];
  readonly #accepted: string[] = [];
  #offered: readonly string[] | undefined;
  #passwordSpent = false;

  /**
   * @param attempts The attempts, in order.
   * @param hasCallback Whether there is somebody to answer questions: else the
   *   password is what keyboard-interactive would be answered with.
   */
  constructor(attempts: readonly Attempt[], hasCallback: boolean) {
    this.#attempts = [...attempts];
    this.#hasCallback = hasCallback;
  }

  /** The methods that the server says can continue; empty if it has not said. */
  get offered(): readonly string[] {
    return this.#offered ?? [];
  }

  /** Takes the next attempt, if there is one to be made. */
  take(): Attempt | undefined {
    const index = this.#attempts.findIndex((it) => this.#mayTry(it));
    if (index < 0) return undefined;
    const [attempt] = this.#attempts.splice(index, 1);
    if (attempt?.method === "password") this.#passwordSpent = true;
    return attempt;
  }

  /** Notes what the server answered. */
  settle(attempt: Attempt, label: string, answer: Answer): void {
    if (answer.methods !== null) this.#offered = answer.methods;
    if (answer.partial !== true) {
      this.#refused.push(label);
      return;
    }
    this.#accepted.push(label);
    // The second factor may be asked for in the same way as the first.
    const again = attempt.method === "keyboard-interactive" &&
      this.#hasCallback;
    if (again) this.#attempts.unshift(attempt);
  }

  /**
   * What became of it all, for the message of an error.
   *
   * @param pending Attempts that the server gave no answer to but hung up.
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
      this.#attempts.filter((it) =>
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

  #isOffered(method: string): boolean {
    return method === "none" || (this.#offered?.includes(method) ?? true);
  }

  #mayTry({ method }: Attempt): boolean {
    if (!this.#isOffered(method)) return false;
    const others = new Set(this.#attempts.map((it) => it.method));
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
