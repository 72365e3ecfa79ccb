/**
 * What each client has at a worker, and how fast it may go.
 *
 * @module
 */

/** How much of a second's requests may come at once. */
const BURST = 4;

/** Names are cheap to invent: those beyond so many share one budget. */
const MAX_CLIENTS = 10_000;

/** One client. */
export class Client {
  sessions = 0;
  connections = 0;
  #tokens: number;
  #at: number;

  constructor(rate: number) {
    this.#tokens = rate * BURST;
    this.#at = performance.now();
  }

  /** Takes the right to one request; returns whether there was one. */
  tryTake(rate: number): boolean {
    const now = performance.now();
    const earned = (now - this.#at) / 1000 * rate;
    this.#at = now;
    this.#tokens = Math.min(rate * BURST, this.#tokens + earned);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Whether forgetting it changes nothing. */
  isIdle(now: number): boolean {
    return this.sessions === 0 && this.connections === 0 &&
      now - this.#at > BURST * 1000;
  }
}

/** The clients of a worker, by their names on the bus. */
export class Clients {
  readonly #rate: number;
  readonly #clients = new Map<string, Client>();

  constructor(rate: number) {
    this.#rate = rate;
  }

  /** Returns a client by its subject, `prefix.c.name.epoch`. */
  of(subject: string): Client {
    const named = subject.split(".")[2] ?? "";
    const isNew = !this.#clients.has(named);
    const name = isNew && this.#clients.size >= MAX_CLIENTS ? "" : named;
    let client = this.#clients.get(name);
    if (client === undefined) {
      this.#clients.set(name, client = new Client(this.#rate));
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
