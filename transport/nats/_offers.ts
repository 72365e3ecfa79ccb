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

/** A client asks who serves a host. */
export interface HostQuestion {
  readonly request: FleetRequest;
  /** The subject of the client. */
  readonly remote: string;
}

/** A host that was offered to a client. */
export interface HostOffer extends HostQuestion {
  readonly shard: number;
}

/**
 * Reads the question of a client, whatever it holds.
 *
 * @param message Sent to `prefix.shard.N.group.host`.
 * @param clients What the subjects of clients look like.
 * @returns The question; `undefined` if it is none.
 */
export function questionOf(
  message: BusMessage,
  clients: RegExp,
): HostQuestion | undefined {
  const [, , , group, token] = message.subject.split(".");
  const name = hostOfToken(token);
  if (name === undefined || group === undefined) return undefined;
  try {
    const { from } = parseObject(message.data);
    if (typeof from !== "string" || !clients.test(from)) return undefined;
    return { request: { name, group }, remote: from };
  } catch {
    return undefined;
  }
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
