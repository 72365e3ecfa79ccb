/**
 * Requests that concern the whole connection, and the bound on answers.
 *
 * @module
 */

import { type PacketTransport, ProtocolViolation } from "./packet_transport.ts";
import * as wire from "./_wire.ts";
import { MessageReader, sendMessage, type WireField } from "./_wire.ts";

/** Hears the answer to a global request; `undefined` is a refusal. */
export type GlobalAnswer = (reply: MessageReader | undefined) => void;

/** So many answers may wait for a server that asks and does not read. */
const MAX_UNREAD_ANSWERS = 1000;

/** The global requests of one connection, of both sides. */
export class GlobalRequests {
  readonly #transport: PacketTransport;
  /** What waits for answers, which come in the order of the requests. */
  readonly #asked: GlobalAnswer[] = [];
  #unreadAnswers = 0;
  #sawHostKeys = false;

  constructor(transport: PacketTransport) {
    this.#transport = transport;
  }

  /** Asks the server. */
  ask(
    name: string,
    fields: readonly WireField[],
    onAnswer: GlobalAnswer,
  ): void {
    this.#asked.push(onAnswer);
    sendMessage(this.#transport, wire.GLOBAL_REQUEST, [name, true, ...fields]);
  }

  /** Forgets who waits: the connection is gone. */
  end(): void {
    this.#asked.length = 0;
  }

  /** Takes a message of the types 80 to 82. */
  onMessage(type: number, payload: Uint8Array): void {
    if (type === wire.GLOBAL_REQUEST) return this.#onRequest(payload);
    if (type > wire.REQUEST_FAILURE) return;
    // Where nobody asked, OpenSSH's client passes over the answer too.
    this.#asked.shift()?.(
      type === wire.REQUEST_SUCCESS ? new MessageReader(payload) : undefined,
    );
  }

  #onRequest(payload: Uint8Array): void {
    const fields = new MessageReader(payload);
    const name = fields.string();
    const wantsReply = fields.boolean();
    if (name === "hostkeys-00@openssh.com" && !this.#sawHostKeys) {
      this.#sawHostKeys = true;
      // Until its first session runs, sshd sends by Nagle's algorithm: its next
      // message, which opens a channel, waits until TCP has acknowledged the
      // list, and a client with nothing to send does that 40 ms late.
      this.#transport.acknowledge?.();
    }
    if (wantsReply) this.answer(wire.REQUEST_FAILURE, []);
  }

  /**
   * Sends an answer to what the server asked, on a channel or not.
   *
   * @throws {ProtocolViolation} If it asks and asks and does not read.
   */
  answer(type: number, fields: readonly WireField[]): void {
    this.countAnswer();
    sendMessage(this.#transport, type, fields);
  }

  /**
   * Counts an answer that is sent now or later.
   *
   * @throws {ProtocolViolation} If it asks and asks and does not read. Reading
   *   could be paused instead, but a big upload looks alike, and then waits for
   *   answers that nobody reads.
   */
  countAnswer(): void {
    if (this.#transport.unsentBytes === 0) this.#unreadAnswers = 0;
    if (++this.#unreadAnswers > MAX_UNREAD_ANSWERS) {
      throw new ProtocolViolation(
        `the server asks, and has left ${MAX_UNREAD_ANSWERS} answers unread`,
      );
    }
  }
}
