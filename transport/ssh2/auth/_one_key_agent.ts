/**
 * A key of an agent, in the form in which ssh2 takes it.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import ssh2, {
  type IdentityCallback,
  type ParsedKey,
  type SignCallback,
  type SigningRequestOptions,
} from "ssh2";
import { type AgentClient, type AgentKey, SIGN_FLAGS } from "./_agent.ts";
import type { Signatures } from "./_signatures.ts";
import { type WireKey, wireKey } from "./_wire.ts";
import { ByteReader } from "../_bytes.ts";

/**
 * An agent with one key. Given a whole agent, ssh2 tries all of its keys as
 * one method: they could not be counted, ordered or left out.
 */
export class OneKeyAgent extends ssh2.BaseAgent<ParsedKey> {
  readonly #shown: WireKey;
  readonly #signer: AgentKey;
  readonly #agent: AgentClient;
  readonly #signatures: Signatures;
  readonly #onError: (error: Error) => void;

  /**
   * @param agent The agent.
   * @param blob The key or certificate to show to the server.
   * @param signer The agent's key to sign with.
   * @param signatures How the key may sign.
   * @param onError Told why the agent did not sign.
   */
  constructor(
    agent: AgentClient,
    blob: Buffer,
    signer: AgentKey,
    signatures: Signatures,
    onError: (error: Error) => void,
  ) {
    super();
    this.#shown = wireKey(blob);
    this.#signer = signer;
    this.#agent = agent;
    this.#signatures = signatures;
    this.#onError = onError;
  }

  /** Gives the key to ssh2. */
  override getIdentities(callback: IdentityCallback<ParsedKey>): void {
    callback(undefined, [this.#shown]);
  }

  /** Signs for ssh2. */
  override sign(
    _key: ParsedKey,
    data: Buffer,
    options: SigningRequestOptions | SignCallback,
    callback?: SignCallback,
  ): void {
    const hash = typeof options === "function" ? undefined : options.hash;
    const done = typeof options === "function" ? options : callback;
    const allowed = this.#signatures.hash(hash);
    this.#sign(data, SIGN_FLAGS[allowed ?? ""] ?? 0).then(
      (signature) => done?.(undefined, signature),
      (error: Error) => {
        this.#onError(error);
        done?.(error);
      },
    ).catch(this.#onError);
  }

  async #sign(data: Buffer, flags: number): Promise<Buffer> {
    try {
      const signature = await this.#agent.sign(this.#signer.blob, data, flags);
      if (this.#shown.whole) return signature;
      const reader = new ByteReader(signature);
      reader.string(); // The algorithm, which ssh2 writes itself.
      return reader.string();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`Cannot sign with the agent's key: ${why}`, { cause });
    }
  }
}
