/**
 * What each client has at a worker, and how fast it may go.
 *
 * @module
 */

import { ChannelOpenError, DialError } from "../errors.ts";
import { peersOf } from "./_frames.ts";

/** How much of a second's requests may come at once. */
const BURST = 4;

/** Names are cheap to invent: those beyond so many share one budget. */
const MAX_CLIENTS = 10_000;

/** How much one client may have. */
export interface ClientLimits {
  /** Requests in a second. */
  readonly rate: number;
  readonly sessions: number;
  readonly connections: number;
}

/** One client. */
export class Client {
  sessions = 0;
  connections = 0;
  readonly #limits: ClientLimits;
  #tokens: number;
  #at: number;

  constructor(limits: ClientLimits) {
    this.#limits = limits;
    this.#tokens = limits.rate * BURST;
    this.#at = performance.now();
  }

  /** Takes the right to one request; returns whether there was one. */
  tryTake(): boolean {
    const { rate } = this.#limits;
    const now = performance.now();
    const earned = (now - this.#at) / 1000 * rate;
    this.#at = now;
    this.#tokens = Math.min(rate * BURST, this.#tokens + earned);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Whether it may have one more. */
  get hasRoom(): boolean {
    return this.sessions < this.#limits.sessions;
  }

  /** Takes the right to open a channel; returns why there was none. */
  refuseChannel(host: string): ChannelOpenError | undefined {
    if (this.hasRoom && this.tryTake()) return;
    return new ChannelOpenError(
      `Cannot open a channel on ${
        JSON.stringify(host)
      }: this program has too many at the worker`,
      // As a server does beyond MaxSessions: the pool learns the limit.
      { host, reason: 2 },
    );
  }

  /** Returns why it may have no further connection, if it may not. */
  refuseConnection(host: string): DialError | undefined {
    if (this.connections < this.#limits.connections) return;
    return new DialError(
      "tcp",
      `Cannot connect to ${
        JSON.stringify(host)
      }: this program has too many connections at the worker`,
      { host, throttled: true },
    );
  }

  /** Whether forgetting it changes nothing. */
  isIdle(now: number): boolean {
    return this.sessions === 0 && this.connections === 0 &&
      now - this.#at > BURST * 1000;
  }
}

/** The clients of a worker, by their names on the bus. */
export class Clients {
  /** What their subjects look like: `prefix.c.name.epoch`. */
  readonly subjects: RegExp;
  readonly #limits: ClientLimits;
  readonly #clients = new Map<string, Client>();

  constructor(prefix: string, limits: ClientLimits) {
    this.subjects = peersOf(prefix, "c");
    this.#limits = limits;
  }

  /** Returns a client by its subject. */
  of(subject: string): Client {
    const named = subject.split(".")[2] ?? "";
    const isNew = !this.#clients.has(named);
    const name = isNew && this.#clients.size >= MAX_CLIENTS ? "" : named;
    let client = this.#clients.get(name);
    if (client === undefined) {
      this.#clients.set(name, client = new Client(this.#limits));
    }
    return client;
  }

  /** Forgets those that have nothing here. */
  prune(): void {
    const now = performance.now();
    for (const [name, client] of this.#clients) {
      if (client.isIdle(now)) this.#clients.delete(name);
    }
  }
}
