/**
 * Authentication: which credential is tried when, and what is said when none
 * is accepted.
 *
 * @module
 */

// @ts-types="@types/ssh2"
import type {
  AnyAuthMethod,
  AuthHandlerMiddleware,
  Client,
  ConnectConfig,
  KeyboardInteractiveAuthMethod,
} from "ssh2";
import { abortable } from "../../abort.ts";
import type { Notice } from "../../connector.ts";
import { AuthenticationError, DialError } from "../../errors.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";
import { serverText } from "../../session/server_text.ts";
import { AgentClient } from "./_agent.ts";
import { OneKeyAgent } from "./_one_key_agent.ts";
import { revealPassword, Rounds, startConversation } from "./_interactive.ts";
import { wipe, wipeable } from "./_wipe.ts";
import {
  agentPath,
  type Credential,
  environmentAgent,
  isExplicit,
  keyLabel,
  missingHint,
  planCredentials,
  untriedHint,
} from "./_plan.ts";
import { type Answer, CredentialQueue, QUESTION } from "./_credential_queue.ts";
import { KeyCache } from "./key_cache.ts";
import type { KeyCredential } from "./_key_order.ts";
import { KeyError } from "./_keys.ts";
import { Signatures } from "./_signatures.ts";
import {
  attachToClient,
  blobType,
  certifiedKey,
  isCertificate,
  wireKey,
} from "./_wire.ts";

/** ssh2 takes `false` for "nothing is left", which its types do not say. */
const NOTHING_LEFT = false as unknown as AnyAuthMethod;

/** So many questions of a server are kept. */
const MAX_QUESTIONS = 4;

/** Options for {@linkcode Authenticator}. */
export interface AuthenticatorOptions {
  /** Ends it: no function is called and nothing is sent any more. */
  readonly signal?: AbortSignal | undefined;
  /** Told of credentials that cannot be used. */
  readonly onNotice?: ((notice: Notice) => void) | undefined;
  /** Where decrypted keys are kept. Default: nowhere beyond this login. */
  readonly keys?: KeyCache | undefined;
  /** Algorithms of keys that may be used. Default: all that there are. */
  readonly accepted?: readonly string[] | undefined;
}

/**
 * Authenticates one dial: `prepare()`, then give `connectConfig` and `handler`
 * to ssh2's `connect()` and call `attach()` right after it, then `dispose()`.
 */
export class Authenticator {
  readonly #host: ResolvedHost;
  readonly #label: string;
  readonly #options: AuthenticatorOptions;
  readonly #tried: string[] = [];
  readonly #problems: Error[] = [];
  #queue = new CredentialQueue([], false);
  readonly #keys: KeyCache;
  /** How the key that is tried may sign. */
  #signatures: Signatures = new Signatures("", undefined);
  #agent: AgentClient | undefined;
  #current: Credential | undefined;
  #answer: Answer | undefined;
  /** Disposed of, or ended in the middle of a conversation. */
  #isOver = false;
  readonly #rounds = new Rounds();
  /** What the server asked, as parts of the error's message. */
  readonly #questions: string[] = [];
  #hasUnanswered = false;
  /** Whether no credential was found. */
  #hasNone = false;

  /**
   * @param host The host to log in to.
   * @param options The signal, and who is told of credentials left out.
   */
  constructor(host: ResolvedHost, options: AuthenticatorOptions = {}) {
    this.#host = host;
    this.#label = hostLabel(host);
    this.#options = options;
    this.#keys = options.keys ?? new KeyCache();
  }

  /** What was tried, in order, such as `publickey id_ed25519 SHA256:...`. */
  get tried(): readonly string[] {
    return this.#tried;
  }

  /** To spread into ssh2's `connect()`. */
  get connectConfig(): Partial<ConnectConfig> {
    return { username: this.#host.user };
  }

  /** The agent that is forwarded to the host, if one is. */
  get forwardedAgent(): { readonly path: string } | undefined {
    if (this.#host.agentForward !== true) return undefined;
    const path = agentPath(this.#host) ?? environmentAgent();
    return path === undefined ? undefined : { path };
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
    const host = this.#host;
    const planning = planCredentials(host, this.#agent, this.#skip);
    const found = await this.#race(planning);
    const hasCallback = host.keyboardInteractive !== undefined;
    // Some servers let anybody in, or know by other means who it is.
    const none = [{ method: "none" }] as const;
    this.#hasNone = found.length === 0;
    const all = this.#hasNone ? none : found;
    const known = this.#keys.methodsOf(this.#label);
    this.#queue = new CredentialQueue(all, hasCallback, known);
    if (!this.#hasNone) return;
    const [problem] = this.#problems;
    if (isExplicit(host) && problem !== undefined) {
      throw new DialError("config", `${this.#cannot()}: ${problem.message}`, {
        host: this.#label,
        cause: problem.cause ?? problem,
        hint: this.#hint(),
      });
    }
  }

  /**
   * Listens to the server's answers, which ssh2 does not pass on in every case,
   * and sends certificates. To be called right after `client.connect()`.
   *
   * @param client The client.
   */
  attach(client: Client): void {
    attachToClient(client, {
      onFailure: (methods, partial) => this.#answer = { methods, partial },
      onPasswordExpired: () =>
        this.#giveUp(new Error("The password has expired")),
      signature: (picked) => this.#signatures.pick(picked),
    });
  }

  /** ssh2's `authHandler`. */
  readonly handler: AuthHandlerMiddleware = (_methods, _partial, next) => {
    this.#settle();
    this.#finish = () => next(NOTHING_LEFT);
    // It rejects only if ssh2 cannot end the login, and then there is no remedy.
    this.#proceed(next).catch(() => {});
  };

  /** Ends the login, also in the middle of a conversation. */
  #finish: (() => void) | undefined;

  /** Asked for once, also if it is sent by two methods. */
  #password: Promise<string> | undefined;

  /**
   * The error of a server that accepted nothing.
   *
   * @param cause What ended the connection, where it is known.
   */
  error(cause?: Error): AuthenticationError {
    // What was tried when the server hung up counts as refused.
    const isPending = this.#current !== undefined && this.#current !== QUESTION;
    const parts = [
      ...this.#queue.describe(isPending ? this.#tried.slice(-1) : []),
      ...this.#problems.map((it) => it.message),
      ...this.#questions,
    ];
    if (/too many auth/i.test(cause?.message ?? "")) {
      parts.push("the server allows no more attempts");
    }
    const { offered } = this.#queue;
    if (offered.length > 0) parts.push(`it offers ${offered.join(", ")}`);
    const problem = this.#problems.at(-1);
    return new AuthenticationError(`${this.#cannot()}: ${parts.join("; ")}`, {
      host: this.#label,
      tried: [...this.#tried],
      offered: [...offered],
      cause: problem?.cause ?? problem ?? cause,
      hint: this.#hint(),
    });
  }

  /** Closes the sockets to the agent, and forgets the credentials. Idempotent. */
  dispose(): void {
    this.#isOver = true;
    this.#agent?.dispose();
    // The connection may hold on to this object: no secret stays with it.
    this.#password = undefined;
    this.#queue = new CredentialQueue([], false);
  }

  get #ended(): boolean {
    return this.#isOver || this.#options.signal?.aborted === true;
  }

  #cannot(): string {
    const [user, host] = [this.#host.user, this.#label]
      .map((it) => JSON.stringify(it));
    return `Cannot authenticate as ${user} on ${host}`;
  }

  /** What the caller can change about the last problem that says so. */
  #hint(): string | undefined {
    const hints = this.#problems.flatMap((it) =>
      it instanceof KeyError && it.hint !== undefined ? [it.hint] : []
    );
    if (hints.length > 0) return hints.at(-1);
    if (this.#hasUnanswered) {
      return "set keyboardInteractive, a function that answers the server's " +
        "questions";
    }
    return this.#hasNone && !isExplicit(this.#host)
      ? missingHint(this.#host)
      : untriedHint(this.#queue.offered, this.#tried);
  }

  /** Notes the server's answer to the credential that was tried. */
  #settle(): void {
    const credential = this.#current;
    if (credential === undefined) return;
    this.#current = undefined;
    const answer = this.#answer;
    this.#answer = undefined;
    const label = this.#tried.at(-1) ?? credential.method;
    const { methods, partial } = answer ?? {};
    if (methods && partial !== true && !this.#queue.hasAccepted) {
      this.#keys.keepMethods(this.#label, methods);
    }
    const isQuestion = credential === QUESTION;
    if (answer !== undefined) {
      this.#queue.settle(credential, isQuestion ? "" : label, answer);
    } // ssh2 or the agent gave up, and the server was not asked.
    else if (!isQuestion) this.#tried.pop();
  }

  async #proceed(next: (auth: AnyAuthMethod) => void): Promise<void> {
    for (let auth: AnyAuthMethod | undefined; !this.#ended;) {
      try {
        auth = await this.#next();
        if (auth === undefined) break;
        // ssh2 starts at once, and throws what it finds wrong with a key.
        if (!this.#ended) next(auth);
        // It has sent the password, and keeps it as long as the connection.
        if ("password" in auth) wipe(auth.password);
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
    const credential = this.#queue.take();
    if (credential === undefined) return undefined;
    const auth = await this.#race(this.#start(credential));
    this.#current = credential;
    return auth;
  }

  async #start(credential: Credential): Promise<AnyAuthMethod> {
    const { method } = credential;
    if (method === "publickey") return await this.#startKey(credential);
    const username = this.#host.user;
    if (credential === QUESTION) return { type: "none", username };
    const password = method === "password" ? await this.#revealPassword() : "";
    this.#tried.push(method);
    if (method === "none") return { type: method, username };
    if (method === "password") {
      return { type: method, username, password: wipeable(password) };
    }
    return { type: method, username, prompt: this.#prompt() };
  }

  async #startKey(credential: KeyCredential): Promise<AnyAuthMethod> {
    const { name, blob, signer, fingerprintOf } = credential;
    const username = this.#host.user;
    const { accepted } = this.#options;
    if (!("load" in signer)) {
      const type = blobType(blob ?? signer.blob);
      const signatures = this.#signatures = new Signatures(type, accepted);
      signatures.check(name);
      const agent = new OneKeyAgent(
        this.#agent as AgentClient,
        blob ?? signer.blob,
        signer,
        signatures,
        this.#skip,
      );
      this.#tried.push(keyLabel(name, fingerprintOf));
      return { type: "agent", username, agent };
    }
    const local = await signer.load({
      passphrase: this.#host.passphrase,
      host: this.#label,
      cache: this.#keys,
    });
    const own = local.getPublicSSH();
    this.#signatures = new Signatures(blobType(blob ?? own), accepted);
    this.#signatures.check(name);
    this.#tried.push(keyLabel(name, fingerprintOf ?? own));
    const shown = blob !== undefined && isCertificate(blob) ? blob : undefined;
    if (shown !== undefined && certifiedKey(shown)?.equals(own) === false) {
      this.#tried.pop();
      throw new KeyError(`Cannot use ${name}: it is for another key`);
    }
    const key = shown === undefined ? local : wireKey(shown, local);
    return { type: "publickey", username, key };
  }

  #prompt(): KeyboardInteractiveAuthMethod["prompt"] {
    const converse = startConversation(this.#host, {
      password: () => this.#revealPassword(),
      isFurtherFactor: this.#queue.hasAccepted,
      onAsked: (asked, isAnswered) => this.#noteQuestion(asked, isAnswered),
    });
    return (name, instructions, _language, prompts, finish) => {
      this.#rounds.take(() => {
        if (this.#ended) throw new Error("The login is over");
        return this.#race(converse(name, instructions, prompts));
      }).then((answers) => {
        if (!this.#ended) finish(answers);
      }).catch((error) => this.#giveUp(error));
    };
  }

  /** In the middle of a conversation no other credential can be tried. */
  #giveUp(problem: unknown): void {
    if (this.#ended) return;
    this.#isOver = true;
    this.#problems.push(toError(problem));
    this.#finish?.();
  }

  /** For the error, if the login fails: what was asked is not known otherwise. */
  #noteQuestion(question: string, isAnswered: boolean): void {
    if (this.#questions.length >= MAX_QUESTIONS) return;
    const shown = JSON.stringify(serverText(question.trim(), 100));
    this.#questions.push(
      isAnswered ? `it asked ${shown}` : `its question ${shown} got no answer`,
    );
    this.#hasUnanswered ||= !isAnswered;
  }

  #revealPassword(): Promise<string> {
    return this.#password ??= revealPassword(this.#host);
  }

  readonly #skip = (problem: Error): void => {
    this.#problems.push(problem);
    const { message } = problem;
    this.#options.onNotice?.({ code: "credential-skipped", message });
  };

  /** Settles when the signal aborts, whatever the other side does. */
  #race<T>(work: Promise<T>): Promise<T> {
    return abortable(work, this.#options.signal);
  }
}

function toError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
