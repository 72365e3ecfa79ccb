/**
 * Authentication: which credential is tried when, and what is said when none
 * is accepted.
 *
 * @module
 */

// @ts-types="@types/ssh2"
import ssh2, {
  type AnyAuthMethod,
  type AuthHandlerMiddleware,
  type ConnectConfig,
} from "ssh2";
import type { Notice } from "../connector.ts";
import { AuthenticationError, DialError } from "../errors.ts";
import {
  hostName,
  type InteractivePrompt,
  type ResolvedHost,
  type Secret,
} from "../host.ts";
import { AgentClient } from "./_agent.ts";
import { agentAuth } from "./_auth_agent.ts";
import {
  agentPath,
  asNotice,
  type Attempt,
  environmentAgent,
  isExplicit,
  keyLabel,
  makePlan,
} from "./_auth_plan.ts";

/** sshd's MaxAuthTries: the failure with this number ends the connection. */
const MAX_ATTEMPTS = 6;

/** Options for {@linkcode Authenticator}. */
export interface AuthenticatorOptions {
  /** Ends everything: no function is called and nothing is sent any more. */
  readonly signal?: AbortSignal;
  /** Told of credentials that are left out. */
  readonly onNotice?: (notice: Notice) => void;
}

/** Authenticates one dial. */
export class Authenticator {
  readonly #host: ResolvedHost;
  readonly #signal: AbortSignal | undefined;
  readonly #onNotice: (notice: Notice) => void;
  readonly #tried: string[] = [];
  readonly #problems: Error[] = [];
  #attempts: Attempt[] = [];
  #agent: AgentClient | undefined;
  #current: Attempt | undefined;
  #offered: readonly string[] | undefined;
  #failures = 0;
  #disposed = false;
  /** Ends the handshake when a conversation cannot go on. */
  #giveUp: (() => void) | undefined;

  constructor(host: ResolvedHost, options: AuthenticatorOptions = {}) {
    this.#host = host;
    this.#signal = options.signal;
    this.#onNotice = options.onNotice ?? (() => {});
  }

  /** What was tried, in order, such as `publickey id_ed25519 SHA256:...`. */
  get tried(): readonly string[] {
    return this.#tried;
  }

  /** To spread into ssh2's `connect()`. */
  get connectConfig(): Partial<ConnectConfig> {
    const config = { username: this.#host.user };
    if (this.#host.agentForward !== true) return config;
    const path = agentPath(this.#host) ?? environmentAgent();
    if (path === undefined) return config;
    return { ...config, agent: ssh2.createAgent(path), agentForward: true };
  }

  /**
   * Reads key files and asks the agent for its keys.
   *
   * @throws {DialError} With phase `config` if credentials were given and none
   *   of them can be used.
   */
  async prepare(): Promise<void> {
    const plan = await this.#race(
      makePlan(this.#host, (agent) => this.#agent = agent),
    );
    this.#attempts = plan.attempts;
    for (const problem of plan.problems) this.#skip(problem);
    if (this.#attempts.length > 0) return;
    const [problem] = plan.problems;
    if (isExplicit(this.#host) && problem !== undefined) {
      throw new DialError("config", `${this.#cannot()}: ${problem.message}`, {
        host: hostName(this.#host),
        cause: problem,
      });
    }
    // Some servers let anybody in, or know who it is by other means.
    this.#attempts = [{ method: "none" }];
  }

  /** ssh2's `authHandler`. */
  readonly handler: AuthHandlerMiddleware = (left, partial, next) => {
    this.#giveUp = () => next(NONE_LEFT);
    this.#settle(left, partial);
    this.#next().then((auth) => {
      if (!this.#ended) next(auth ?? NONE_LEFT);
    }, (error) => {
      if (this.#ended) return;
      this.#problems.push(error);
      next(NONE_LEFT);
    });
  };

  /** The error to reject with when the server has ended the authentication. */
  error(cause?: Error): AuthenticationError {
    const offered = this.#offered ?? [];
    const parts: string[] = [];
    if (this.#tried.length > 0) {
      parts.push(`the server refused ${this.#tried.map(shown).join(", ")}`);
    } else parts.push("there is no credential to offer");
    parts.push(...this.#problems.map((it) => it.message));
    if (/too many auth/i.test(cause?.message ?? "")) {
      parts.push("it allows no more attempts");
    }
    if (offered.length > 0) parts.push(`it offers ${offered.join(", ")}`);
    const problem = this.#problems[0];
    return new AuthenticationError(`${this.#cannot()}: ${parts.join("; ")}`, {
      host: hostName(this.#host),
      tried: [...this.#tried],
      offered: [...offered],
      cause: problem?.cause ?? problem ?? cause,
    });
  }

  /** Lets the agent go. Idempotent. */
  dispose(): void {
    this.#disposed = true;
    this.#attempts = [];
    this.#agent?.dispose();
  }

  get #ended(): boolean {
    return this.#disposed || this.#signal?.aborted === true;
  }

  #cannot(): string {
    const { user } = this.#host;
    return `Cannot authenticate as ${JSON.stringify(user)} on ${
      JSON.stringify(hostName(this.#host))
    }`;
  }

  /** Notes the server's answer to the current attempt. */
  #settle(left: readonly string[] | null, partial: boolean | null): void {
    if (this.#current === undefined) return;
    if (left !== null && left !== undefined) this.#offered = left;
    if (partial !== true) this.#failures++;
    this.#current = undefined;
  }

  async #next(): Promise<AnyAuthMethod | undefined> {
    for (;;) {
      const attempt = this.#pick();
      if (attempt === undefined) return undefined;
      try {
        const auth = await this.#race(this.#start(attempt));
        this.#current = attempt;
        return auth;
      } catch (error) {
        if (this.#ended) throw error;
        this.#skip(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  /** Takes the next attempt that the server offers and the limit allows. */
  #pick(): Attempt | undefined {
    const index = this.#attempts.findIndex((attempt) => this.#mayTry(attempt));
    return index < 0 ? undefined : this.#attempts.splice(index, 1)[0];
  }

  #mayTry(attempt: Attempt): boolean {
    const isOffered = (method: string) =>
      method === "none" || this.#offered === undefined ||
      this.#offered.includes(method);
    if (!isOffered(attempt.method)) return false;
    const others = new Set(
      this.#attempts.map((it) => it.method).filter(isOffered),
    );
    others.delete(attempt.method);
    others.delete("none"); // sshd does not count a first "none".
    // Keys must not use up the attempts that a password will need.
    const reserved = attempt.method === "publickey" ? others.size : 0;
    return this.#failures + 1 + reserved <= MAX_ATTEMPTS;
  }

  async #start(attempt: Attempt): Promise<AnyAuthMethod> {
    const username = this.#host.user;
    if (attempt.method === "none") {
      this.#tried.push("none");
      return { type: "none", username };
    }
    if (attempt.method === "password") {
      const password = await reveal(this.#host.password, "password");
      this.#tried.push("password");
      return { type: "password", username, password };
    }
    if (attempt.method === "keyboard-interactive") {
      this.#tried.push("keyboard-interactive");
      return {
        type: "keyboard-interactive",
        username,
        prompt: this.#conversation(),
      };
    }
    if ("key" in attempt) {
      this.#tried.push(attempt.label);
      return agentAuth(
        username,
        attempt.key,
        this.#agent as AgentClient,
        (error) => this.#skip(error),
      );
    }
    const { identity } = attempt;
    const key = await identity.load(
      this.#host.passphrase,
      hostName(this.#host),
    );
    this.#tried.push(
      identity.blob === undefined
        ? keyLabel(attempt.label.slice(10), key.getPublicSSH())
        : attempt.label,
    );
    return { type: "publickey", username, key };
  }

  #conversation() {
    let passwordGiven = false;
    return (
      name: string,
      instructions: string,
      _language: string,
      prompts: { prompt: string; echo?: boolean }[],
      finish: (answers: string[]) => void,
    ) => {
      const asked = prompts.map(({ prompt, echo }): InteractivePrompt => ({
        prompt,
        echo: echo === true,
      }));
      const answer = async (): Promise<readonly string[]> => {
        const { keyboardInteractive: callback, password } = this.#host;
        if (callback !== undefined) {
          return await callback({
            name,
            instructions,
            prompts: asked,
            host: hostName(this.#host),
          });
        }
        if (passwordGiven || !asksForPassword(asked)) {
          return asked.map(() => "");
        }
        passwordGiven = true;
        return [await reveal(password, "password")];
      };
      this.#race(answer()).then((answers) => {
        if (this.#ended) return;
        finish(asked.map((_, index) => answers[index] ?? ""));
      }, (error) => {
        if (this.#ended) return;
        this.#problems.push(
          new Error("the keyboardInteractive function failed", {
            cause: error,
          }),
        );
        this.#giveUp?.();
      });
    };
  }

  #skip(problem: Error): void {
    this.#problems.push(problem);
    this.#onNotice(asNotice(problem));
  }

  /** Settles when the signal aborts, whatever the other side does. */
  #race<T>(work: Promise<T>): Promise<T> {
    const signal = this.#signal;
    if (signal === undefined) return work;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      work.then(resolve, reject).finally(() =>
        signal.removeEventListener("abort", onAbort)
      );
    });
  }
}

/**
 * ssh2 takes `false` for "there is nothing left", which its types do not say.
 */
const NONE_LEFT = false as unknown as AnyAuthMethod;

function shown(tried: string): string {
  const [method = "", ...rest] = tried.split(" ");
  return rest.length === 0 ? method : `${method} (${rest.join(" ")})`;
}

function asksForPassword(prompts: readonly InteractivePrompt[]): boolean {
  const [only] = prompts;
  return prompts.length === 1 && only !== undefined && !only.echo &&
    /pass/i.test(only.prompt) && !/new/i.test(only.prompt);
}

async function reveal(
  secret: Secret | undefined,
  what: string,
): Promise<string> {
  if (typeof secret === "string") return secret;
  try {
    const value = await secret?.();
    if (typeof value === "string") return value;
  } catch (cause) {
    throw new Error(`The ${what} function failed`, { cause });
  }
  throw new Error(`The ${what} function gave no string`);
}
