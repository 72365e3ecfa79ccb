/**
 * What `ssh` asks through SSH_ASKPASS, and who answers.
 *
 * @module
 */

import {
  hostLabel,
  type InteractivePrompt,
  type ResolvedHost,
} from "../host/host.ts";

/** The words before a question that the server put, not ssh: `(user@host) `. */
const FROM_SERVER = /^\([^)@]*@[^)]*\) /;
const PASSPHRASE = /^Enter passphrase for (?:key )?'?(.+?)'?: ?$/s;
/** Of a security key, or of a smart card. */
const PIN =
  /^Enter PIN (?:and confirm user presence )?for (?:\S+ key )?'?(.+?)'?: ?$/s;
const PASSWORD = /'s password: ?$/;

/** Answers the questions of one dial. */
export class Questions {
  readonly #host: ResolvedHost;
  /** The names by which the host's keys that are given as text are asked for. */
  readonly #keyFiles: readonly string[];
  #failure: Error | undefined;
  #passwordGiven = false;

  /**
   * @param host The host, which has the answers.
   * @param keyFiles Where its keys are that are given as text.
   */
  constructor(host: ResolvedHost, keyFiles: readonly string[]) {
    this.#host = host;
    this.#keyFiles = keyFiles;
  }

  /** Why a question could not be answered, though there was a function to ask. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /**
   * Answers one question.
   *
   * @param question As `ssh` words it.
   * @returns The answer; `undefined` if there is none.
   */
  async answer(question: string): Promise<string | undefined> {
    try {
      return await this.#answer(question);
    } catch (error) {
      this.#failure ??= error as Error;
      return undefined;
    }
  }

  #answer(question: string): Promise<string | undefined> | undefined {
    // First: a server must not ask for what only ssh itself may ask for.
    if (FROM_SERVER.test(question)) {
      return this.#interactive(question.replace(FROM_SERVER, ""));
    }
    const key = PASSPHRASE.exec(question)?.[1] ?? PIN.exec(question)?.[1];
    if (key !== undefined) return this.#passphrase(key);
    const isOurs = question.startsWith(`${this.#host.user}@`);
    return isOurs && PASSWORD.test(question) ? this.#password() : undefined;
  }

  async #passphrase(key: string): Promise<string | undefined> {
    const { passphrase } = this.#host;
    if (typeof passphrase !== "function") return passphrase;
    const name = this.#keyFiles.includes(key) ? "privateKey" : key;
    const request = { key: name, host: hostLabel(this.#host) };
    return await asked("passphrase", () => passphrase(request));
  }

  async #password(): Promise<string | undefined> {
    const { password } = this.#host;
    this.#passwordGiven = true;
    return typeof password === "function"
      ? await asked("password", password)
      : password;
  }

  /**
   * ssh asks one question at a time. Without a function the password answers,
   * but only to a lone hidden question for a password, and only once.
   */
  async #interactive(prompt: string): Promise<string | undefined> {
    const { keyboardInteractive } = this.#host;
    if (keyboardInteractive === undefined) {
      const isPassword = /passw/i.test(prompt) && !/\bnew\b/i.test(prompt);
      return isPassword && !this.#passwordGiven
        ? await this.#password()
        : undefined;
    }
    // Whether it may be shown is known to ssh alone: hidden is the safe guess.
    const prompts: readonly InteractivePrompt[] = [{ prompt, echo: false }];
    const host = hostLabel(this.#host);
    const answers = await guarded(
      "keyboardInteractive",
      () => keyboardInteractive({ name: "", instructions: "", prompts, host }),
    );
    const [answer] = Array.isArray(answers) ? answers : [];
    if (typeof answer === "string" && answers.length === 1) return answer;
    throw new Error(
      "The keyboardInteractive function failed: it must return one string for " +
        "each prompt, of which there is 1",
    );
  }
}

async function asked(
  name: string,
  ask: () => string | Promise<string>,
): Promise<string> {
  const value: unknown = await guarded(name, ask);
  if (typeof value === "string") return value;
  throw new Error(`The ${name} function failed: it returned no string`);
}

async function guarded<T>(name: string, ask: () => T | Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    // The message of the caller's function may hold a secret: not repeated.
    throw new Error(`The ${name} function failed`, { cause });
  }
}
