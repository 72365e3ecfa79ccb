/**
 * Hosts that a worker has offered to clients, and that they may connect to.
 *
 * @module
 */

import type { BusMessage } from "./bus.ts";
import { hostOfToken, newId, parseObject } from "./_frames.ts";
import type { FleetRequest } from "./options.ts";

/** How long a client has to use what it was offered, in milliseconds. */
const OFFER_MS = 10_000;
/** Offers that are open at once. */
const MAX_OFFERS = 100_000;

/** A host that a client asks for, and may be offered. */
export interface HostOffer {
  readonly request: FleetRequest;
  /** The subject of the client. */
  readonly remote: string;
  readonly shard: number;
}

/**
 * Reads what a client asks for, whatever the message holds.
 *
 * @param shard The shard of the host, by the subject of the message.
 * @param message Sent to `prefix.shard.N.group.host`.
 * @param clients What the subjects of clients look like.
 * @returns What is to be offered; `undefined` if it is no question.
 */
export function askedFor(
  shard: number,
  message: BusMessage,
  clients: RegExp,
): HostOffer | undefined {
  const [, , , group, token] = message.subject.split(".");
  const name = hostOfToken(token);
  if (name === undefined || group === undefined) return undefined;
  try {
    const { from } = parseObject(message.data);
    if (typeof from !== "string" || !clients.test(from)) return undefined;
    // The answer goes to where the client listens, and nowhere else.
    if (message.reply?.startsWith(`${from}.`) !== true) return undefined;
    return { request: { name, group }, remote: from, shard };
  } catch {
    return undefined;
  }
}

/** Tells another worker that this one is there: they wait for no answer elsewhere. */
export function sayPresent(message: BusMessage): void {
  if (message.reply?.startsWith("_INBOX")) message.respond();
}

/** Offers by their tickets, each of which is used once, soon, and by its client. */
export class Offers {
  /** In the order of their ends. */
  readonly #open = new Map<string, HostOffer & { readonly until: number }>();

  /** Offers that may still be taken. */
  get size(): number {
    return this.#open.size;
  }

  /** Makes an offer; returns its ticket, or `undefined` if there are too many. */
  add(offer: HostOffer): string | undefined {
    if (this.#open.size >= MAX_OFFERS) return undefined;
    const ticket = newId();
    this.#open.set(ticket, { ...offer, until: performance.now() + OFFER_MS });
    return ticket;
  }

  /** Takes an offer, which is gone then; `undefined` if this client has none. */
  take(ticket: string, remote: string): HostOffer | undefined {
    const offer = this.#open.get(ticket);
    this.#open.delete(ticket);
    return offer?.remote === remote ? offer : undefined;
  }

  /** Forgets those that nobody has used in time. */
  expire(): void {
    const now = performance.now();
    for (const [ticket, { until }] of this.#open) {
      if (until > now) break;
      this.#open.delete(ticket);
    }
  }
}
