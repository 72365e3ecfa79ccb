/**
 * The attempts that are left, and what became of those that were made.
 *
 * @module
 */

import type { Attempt } from "./_auth_plan.ts";

/** sshd's MaxAuthTries: the failure with this number ends the connection. */
export const MAX_ATTEMPTS = 6;

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

  /** The attempts that the server refused. */
  get refused(): readonly string[] {
    return this.#refused;
  }

  /** The attempts that the server accepted, wanting more. */
  get accepted(): readonly string[] {
    return this.#accepted;
  }

  /** The methods that the server says can continue; empty if it has not said. */
  get offered(): readonly string[] {
    return this.#offered ?? [];
  }

  /** How many keys the limit has kept back. */
  get keysLeft(): number {
    if (this.#refused.length === 0) return 0;
    return this.#attempts.filter((it) =>
      it.method === "publickey" && this.#isOffered(it.method)
    ).length;
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
