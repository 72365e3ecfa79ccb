/**
 * The two methods that need an answer from somebody: `password` and
 * `keyboard-interactive`.
 *
 * @module
 */

import {
  hostLabel,
  type InteractivePrompt,
  type ResolvedHost,
} from "../../host/host.ts";

/** So many times a server may ask in one login; honest ones need a handful. */
const MAX_ROUNDS = 20;

/** A prompt as ssh2 gives it. */
interface Ssh2Prompt {
  readonly prompt: string;
  readonly echo?: boolean;
}

/** Answers one round of questions; an answer that is not known is empty. */
export type Conversation = (
  name: string,
  instructions: string,
  prompts: readonly Ssh2Prompt[],
) => Promise<string[]>;

/** Options of {@linkcode startConversation}. */
export interface ConversationOptions {
  /** Gives the password of the host. */
  readonly password: () => Promise<string>;
  /** Whether the server has accepted another credential before. */
  readonly isFurtherFactor: boolean;
  /** Told of each question, and whether it got an answer. */
  readonly onAsked: (question: string, isAnswered: boolean) => void;
}

/**
 * Starts a conversation with a keyboard-interactive server.
 *
 * The callback of the host answers. Without one the password does, in whatever
 * language it is asked for: but only to a first lone hidden question, and not to
 * one for a code or a new password. After another credential was accepted it
 * has to be a question for a password by name.
 *
 * @param host The host.
 * @param options The password, and what went before.
 * @returns The handler of each round of questions.
 */
export function startConversation(
  host: ResolvedHost,
  { password, isFurtherFactor, onAsked }: ConversationOptions,
): Conversation {
  let hasAsked = false;
  return async (name, instructions, asked) => {
    const prompts = asked.map(({ prompt, echo }) => ({
      prompt,
      echo: echo === true,
    }));
    const isFirst = !hasAsked;
    hasAsked ||= prompts.length > 0;
    const { keyboardInteractive } = host;
    if (keyboardInteractive === undefined) {
      const isAnswered = host.password !== undefined && isFirst &&
        asksForPassword(prompts, isFurtherFactor);
      for (const { prompt } of prompts) onAsked(prompt, isAnswered);
      return isAnswered ? [await password()] : prompts.map(() => "");
    }
    for (const { prompt } of prompts) onAsked(prompt, true);
    const request = { name, instructions, prompts, host: hostLabel(host) };
    const answers = await guarded(
      "keyboardInteractive",
      () => keyboardInteractive(request),
    );
    const isList = Array.isArray(answers) &&
      answers.every((it) => typeof it === "string");
    if (isList && answers.length === prompts.length) return [...answers];
    throw new Error(
      "The keyboardInteractive function failed: it must return one string for " +
        `each prompt, of which there are ${prompts.length}`,
    );
  };
}

/** The rounds of questions of one login. */
export class Rounds {
  #count = 0;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Has one after the other, also if the server does not wait for the answers,
   * and none after one that has failed.
   *
   * @param round Answers the questions.
   * @returns The answers.
   */
  take(round: () => Promise<string[]>): Promise<string[]> {
    if (++this.#count > MAX_ROUNDS) {
      const times = `more than ${MAX_ROUNDS} times`;
      return Promise.reject(new Error(`the server asked ${times}`));
    }
    const answers = this.#last.then(round);
    // No answer is kept, and the caller has the error.
    this.#last = answers.then(() => {});
    this.#last.catch(() => {});
    return answers;
  }
}

/** Gives the password of the host, and asks its function if it is one. */
export async function revealPassword(host: ResolvedHost): Promise<string> {
  const { password } = host;
  const value = typeof password === "function"
    ? await guarded("password", password)
    : password;
  if (typeof value === "string") return value;
  throw new Error(`The password function failed: it returned no string`);
}

async function guarded<T>(name: string, ask: () => T | Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    // The message of the caller's function may hold a secret: not repeated.
    throw new Error(`The ${name} function failed`, { cause });
  }
}

/** What a password must not answer: codes, new passwords, and those repeated. */
const OTHER_SECRET = new RegExp(
  [
    /\b(codes?|token|pin|otp|totp|oath|passcode|challenge|response|factor|2fa)\b/,
    /one[- ]?time|verif|authenticator|yubikey|einmal|usage unique|единораз|однораз/,
    /\b(kode|código|codigo|codice|jeton|ficha)\b|код|токен|пин|コード|验证|驗證|認証|校验|動態|动态|令牌/,
    /\b(new|neues?|nouveau|nueva|nuevo|nova|novo|nuova|nytt|nieuw)\s+([a-z]+\s+)?(unix\s+)?(pass|kenn|mot|contra|senha|palavra|wacht|lösen)/,
    /\b(retype|re-?enter|again|confirm|repeat|wiederhol)/,
    /нов|新/,
  ].map((it) => it.source).join("|"),
  "iu",
);

function asksForPassword(
  prompts: readonly InteractivePrompt[],
  isFurtherFactor: boolean,
): boolean {
  const [only, ...more] = prompts;
  if (only === undefined || more.length > 0 || only.echo) return false;
  if (OTHER_SECRET.test(only.prompt)) return false;
  return !isFurtherFactor || /passw/i.test(only.prompt);
}
