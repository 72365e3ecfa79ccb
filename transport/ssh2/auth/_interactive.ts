/**
 * The two methods that need an answer from somebody: `password` and
 * `keyboard-interactive`.
 *
 * @module
 */

import {
  hostName,
  type InteractivePrompt,
  type ResolvedHost,
} from "../../host/host.ts";

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

/**
 * Starts a conversation with a keyboard-interactive server.
 *
 * The callback of the host answers. Without one the password does, but only to
 * a lone hidden question for a password, and only once: an old password is no
 * answer to "New password:", nor to "Verification code:".
 *
 * @param host The host.
 * @param password Gives its password.
 * @returns The handler of each round of questions.
 */
export function startConversation(
  host: ResolvedHost,
  password: () => Promise<string>,
): Conversation {
  let passwordGiven = false;
  return async (name, instructions, asked) => {
    const prompts = asked.map(({ prompt, echo }) => ({
      prompt,
      echo: echo === true,
    }));
    const { keyboardInteractive } = host;
    if (keyboardInteractive === undefined) {
      if (passwordGiven || !asksForPassword(prompts)) {
        return prompts.map(() => "");
      }
      passwordGiven = true;
      return [await password()];
    }
    const request = { name, instructions, prompts, host: hostName(host) };
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

function asksForPassword(prompts: readonly InteractivePrompt[]): boolean {
  const [only, ...more] = prompts;
  if (only === undefined || more.length > 0 || only.echo) return false;
  return /passw/i.test(only.prompt) && !/\bnew\b/i.test(only.prompt);
}
