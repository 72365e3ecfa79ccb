/**
 * Questions to others on the bus, each with one answer.
 *
 * @module
 */

import { onAbort } from "../abort.ts";
import type { BusMessage } from "./bus.ts";
import { newId } from "./_frames.ts";

/** Nobody listens where a question went: it has reached no one. */
export class NobodyThere extends Error {}

/** A question that has no answer yet. */
interface Question {
  answer(data: Uint8Array | undefined): void;
  fail(): void;
}

/** The questions of a peer that have no answer yet, by their names. */
export class PeerQuestions {
  readonly #open = new Map<string, Question>();

  /**
   * Asks one: the answer is `undefined` if there is none in time.
   *
   * @param send Sends it, with the name that its answer is to have.
   * @throws {NobodyThere} If nobody listens.
   * @throws The reason of the signal.
   */
  ask(
    send: (id: string) => void,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      const id = newId();
      const over = () => {
        clearTimeout(timer);
        stop();
        this.#open.delete(id);
      };
      const answer = (data: Uint8Array | undefined) => {
        over();
        resolve(data);
      };
      const fail = (reason: unknown) => {
        over();
        reject(reason);
      };
      const timer = setTimeout(() => answer(undefined), timeoutMs);
      const stop = onAbort(signal, () => fail(signal?.reason));
      this.#open.set(id, { answer, fail: () => fail(new NobodyThere()) });
      send(id);
    });
  }

  /** Takes a message, if it answers one; returns whether it does. */
  take(id: string, { data, headers }: BusMessage): boolean {
    const question = this.#open.get(id);
    if (headers?.code === 503) question?.fail();
    else question?.answer(data);
    return question !== undefined;
  }

  /** Answers will not come any more. */
  end(): void {
    for (const { answer } of [...this.#open.values()]) answer(undefined);
  }
}
