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
  type Client,
  type ConnectConfig,
  type KeyboardInteractiveAuthMethod,
} from "ssh2";
import type { Notice } from "../../connector.ts";
import { AuthenticationError, DialError } from "../../errors.ts";
import { hostName, type ResolvedHost } from "../../host.ts";
import { AgentClient } from "./_agent.ts";
import { OneKeyAgent } from "./_one_key_agent.ts";
import { revealPassword, startConversation } from "./_interactive.ts";
import {
  agentPath,
  type Attempt,
  environmentAgent,
  isExplicit,
  type KeyAttempt,
  keyLabel,
  planAttempts,
} from "./_plan.ts";
import { type Answer, AttemptQueue } from "./_attempt_queue.ts";
import {
  attachToClient,
  isCertificate,
  needsAttaching,
  wireKey,
} from "./_wire.ts";

/** ssh2 takes `false` for "nothing is left", which its types do not say. */
const NOTHING_LEFT = false as unknown as AnyAuthMethod;

/** Options for {@linkcode Authenticator}. */
export interface AuthenticatorOptions {
  /** Ends it: no function is called and nothing is sent any more. */
  readonly signal?: AbortSignal | undefined;
  /** Told of credentials that cannot be used. */
  readonly onNotice?: ((notice: Notice) => void) | undefined;
}

/**
 * Authenticates one dial: `prepare()`, then give `connectConfig` and `handler`
 * to ssh2's `connect()` and call `attach()` right after it, then `dispose()`.
 */
export class Authenticator {
  readonly #host: ResolvedHost;
  readonly #options: AuthenticatorOptions;
  readonly #tried: string[] = [];
  readonly #problems: Error[] = [];
  #queue = new AttemptQueue([], false);
  #agent: AgentClient | undefined;
  #current: Attempt | undefined;
  #answer: Answer | undefined;
  #attached = false;
  #disposed = false;

  /**
   * @param host The host to log in to.
   * @param options The signal, and who is told of credentials left out.
   */
  constructor(host: ResolvedHost, options: AuthenticatorOptions = {}) {
    this.#host = host;
    this.#options = options;
  }

  /** What was tried, in order, such as `publickey id_ed25519 SHA256:...`. */
  get tried(): readonly string[] {
    return this.#tried;
  }

  /** To spread into ssh2's `connect()`. */
  get connectConfig(): Partial<ConnectConfig> {
    const username = this.#host.user;
    const path = this.#host.agentForward === true
      ? agentPath(this.#host) ?? environmentAgent()
      : undefined;
    if (path === undefined) return { username };
    return { username, agent: ssh2.createAgent(path), agentForward: true };
  }

  /**
   * Reads key files and asks the agent for its keys.
   *
   * @throws {DialError} With phase `config` if credentials were given and none
   *   of them can be used.
   */
  async prepare(): Promise<void> {
    const path = agentPath(this.#host);
    if (path !== undefined) this.#agent = new AgentClient(path);
    const attempts = await this.#race(
      planAttempts(this.#host, this.#agent, (problem) => this.#skip(problem)),
    );
    const hasCallback = this.#host.keyboardInteractive !== undefined;
    // Some servers let anybody in, or know by other means who it is.
    const none = [{ method: "none" }] as const;
    this.#queue = new AttemptQueue(
      attempts.length > 0 ? attempts : none,
      hasCallback,
    );
    if (attempts.length > 0) return;
    const [problem] = this.#problems;
    if (isExplicit(this.#host) && problem !== undefined) {
      throw new DialError("config", `${this.#cannot()}: ${problem.message}`, {
        host: hostName(this.#host),
        cause: problem.cause ?? problem,
      });
    }
  }

  /**
   * Learns from the client what the server answers, which ssh2 does not tell
   * its handler in every case, and lets certificates be sent. To be called
   * right after `client.connect()`. Without it plain keys, passwords and
   * questions still work, but not a second factor after an agent's key.
   *
   * @param client The client.
   */
  attach(client: Client): void {
    this.#attached = attachToClient(client, {
      onFailure: (methods, partial) => this.#answer = { methods, partial },
      onPasswordExpired: () => {
        this.#problems.push(new Error("The password has expired"));
        this.#finish?.();
      },
    });
  }

  /** ssh2's `authHandler`. */
  readonly handler: AuthHandlerMiddleware = (methods, partial, next) => {
    this.#settle(methods, partial);
    this.#finish = () => next(NOTHING_LEFT);
    // It never rejects but when ssh2 cannot even end, which nothing can mend.
    this.#proceed(next).catch(() => {});
  };

  /** Ends the handshake, also amid a conversation. */
  #finish: (() => void) | undefined;

  /** Asked for once, also where it is sent in one way after the other. */
  #password: Promise<string> | undefined;

  /**
   * The error of a server that accepted nothing.
   *
   * @param cause What ended the connection, where it is known.
   */
  error(cause?: Error): AuthenticationError {
    // What was under way when the server hung up was refused as well.
    const pending = this.#current === undefined ? [] : this.#tried.slice(-1);
    const parts = [
      ...this.#queue.describe(pending),
      ...this.#problems.map((it) => it.message),
    ];
    if (/too many auth/i.test(cause?.message ?? "")) {
      parts.push("the server allows no more attempts");
    }
    const { offered } = this.#queue;
    if (offered.length > 0) parts.push(`it offers ${offered.join(", ")}`);
    const problem = this.#problems.at(-1);
    return new AuthenticationError(`${this.#cannot()}: ${parts.join("; ")}`, {
      host: hostName(this.#host),
      tried: [...this.#tried],
      offered: [...offered],
      cause: problem?.cause ?? problem ?? cause,
    });
  }

  /** Lets the agent go, whatever it is doing. Idempotent. */
  dispose(): void {
    this.#disposed = true;
    this.#agent?.dispose();
  }

  get #ended(): boolean {
    return this.#disposed || this.#options.signal?.aborted === true;
  }

  #cannot(): string {
    const user = JSON.stringify(this.#host.user);
    return `Cannot authenticate as ${user} on ${
      JSON.stringify(hostName(this.#host))
    }`;
  }

  /** Notes the server's answer to the attempt that was made. */
  #settle(methods: readonly string[] | null, partial: boolean | null): void {
    const attempt = this.#current;
    if (attempt === undefined) return;
    this.#current = undefined;
    // Not attached, ssh2 gives null or an older answer for an agent's key.
    const answer = this.#attached ? this.#answer : { methods, partial };
    this.#answer = undefined;
    const label = this.#tried.at(-1) ?? attempt.method;
    if (answer !== undefined) this.#queue.settle(attempt, label, answer);
    // Else ssh2 or the agent gave up, and the server was not asked.
    else this.#tried.pop();
  }

  async #proceed(next: (auth: AnyAuthMethod) => void): Promise<void> {
    for (let auth: AnyAuthMethod | undefined; !this.#ended;) {
      try {
        auth = await this.#next();
        if (auth === undefined) break;
        // ssh2 starts at once, and throws what it finds wrong with a key.
        if (!this.#ended) next(auth);
        return;
      } catch (error) {
        if (!this.#ended) this.#skip(toError(error));
        if (this.#current !== undefined) this.#tried.pop();
        this.#current = undefined;
      }
    }
    if (!this.#ended) next(NOTHING_LEFT);
  }

  async #next(): Promise<AnyAuthMethod | undefined> {
    const attempt = this.#queue.take();
    if (attempt === undefined) return undefined;
    const auth = await this.#race(this.#start(attempt));
    this.#current = attempt;
    return auth;
  }

  async #start(attempt: Attempt): Promise<AnyAuthMethod> {
    if (attempt.method === "publickey") return await this.#startKey(attempt);
    const username = this.#host.user;
    const { method } = attempt;
    const password = method === "password" ? await this.#revealPassword() : "";
    this.#tried.push(method);
    if (method === "none") return { type: method, username };
    if (method === "password") return { type: method, username, password };
    return { type: method, username, prompt: this.#prompt() };
  }

  async #startKey(attempt: KeyAttempt): Promise<AnyAuthMethod> {
    const { name, blob, signer, fingerprintOf } = attempt;
    const username = this.#host.user;
    if (blob !== undefined && needsAttaching(blob) && !this.#attached) {
      throw new Error(
        `Cannot use the ${name}: keys of its type are not supported here`,
      );
    }
    if (!("load" in signer)) {
      const agent = new OneKeyAgent(
        this.#agent as AgentClient,
        blob ?? signer.blob,
        signer,
        (error) => this.#skip(error),
      );
      this.#tried.push(keyLabel(name, fingerprintOf));
      return { type: "agent", username, agent };
    }
    const local = await signer.load(
      this.#host.passphrase,
      hostName(this.#host),
    );
    const own = local.getPublicSSH();
    this.#tried.push(keyLabel(name, fingerprintOf ?? own));
    const shown = blob !== undefined && isCertificate(blob) ? blob : undefined;
    const key = shown === undefined ? local : wireKey(shown, local);
    return { type: "publickey", username, key };
  }

  #prompt(): KeyboardInteractiveAuthMethod["prompt"] {
    const converse = startConversation(
      this.#host,
      () => this.#revealPassword(),
    );
    return (name, instructions, _language, prompts, finish) => {
      this.#race(converse(name, instructions, prompts)).then((answers) => {
        if (!this.#ended) finish(answers);
      }).catch((error) => {
        if (this.#ended) return;
        // Amid a conversation there is no going on to another credential.
        this.#problems.push(toError(error));
        this.#finish?.();
      });
    };
  }

  #revealPassword(): Promise<string> {
    return this.#password ??= revealPassword(this.#host);
  }

  #skip(problem: Error): void {
    this.#problems.push(problem);
    this.#options.onNotice?.({
      code: "credential-skipped",
      message: problem.message,
    });
  }

  /** Settles when the signal aborts, whatever the other side does. */
  #race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#options;
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

function toError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
