/**
 * An agent's key, in the form that ssh2 takes.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import ssh2, {
  type AgentAuthMethod,
  type IdentityCallback,
  type ParsedKey,
  type SignCallback,
  type SigningRequestOptions,
} from "ssh2";
import { type AgentClient, type AgentKey, SIGN_FLAGS } from "./_agent.ts";
import { ByteReader } from "./_wire.ts";

/**
 * One key of an agent as an attempt of its own: ssh2 would go through all of
 * the agent's keys in one, and there would be no counting them.
 *
 * @param onError Told why the agent did not sign.
 */
export function agentAuth(
  username: string,
  key: AgentKey,
  agent: AgentClient,
  onError: (error: Error) => void,
): AgentAuthMethod {
  return {
    type: "agent",
    username,
    agent: new OneKeyAgent(key, agent, onError),
  };
}

class OneKeyAgent extends ssh2.BaseAgent<Buffer> {
  readonly #key: AgentKey;
  readonly #agent: AgentClient;
  readonly #onError: (error: Error) => void;

  constructor(
    key: AgentKey,
    agent: AgentClient,
    onError: (error: Error) => void,
  ) {
    super();
    this.#key = key;
    this.#agent = agent;
    this.#onError = onError;
  }

  override getIdentities(callback: IdentityCallback<Buffer>): void {
    callback(undefined, [this.#key.blob]);
  }

  override sign(
    _key: Buffer | ParsedKey,
    data: Buffer,
    options: SigningRequestOptions | SignCallback,
    callback?: SignCallback,
  ): void {
    const hash = typeof options === "function" ? undefined : options.hash;
    const done = typeof options === "function" ? options : callback;
    const flags = SIGN_FLAGS[hash ?? ""] ?? 0;
    this.#agent.sign(this.#key.blob, data, flags).then((signature) => {
      const reader = new ByteReader(signature);
      reader.string(); // The algorithm, which ssh2 writes itself.
      done?.(undefined, reader.string());
    }).catch((cause: Error) => {
      const error = new Error(
        `Cannot sign with the agent's key: ${cause.message}`,
        { cause },
      );
      this.#onError(error);
      done?.(error);
    });
  }
}
