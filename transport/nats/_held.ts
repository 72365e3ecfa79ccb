/**
 * One connection of a client, on the side of the worker.
 *
 * @module
 */

import type { Connection } from "../connector.ts";
import { DialError } from "../errors.ts";
import type { Client, Clients } from "./_clients.ts";
import { Frame } from "./_frames.ts";
import type { HostOffer } from "./_offers.ts";
import type { FleetRequest } from "./options.ts";
import { publicError } from "./_public_error.ts";
import type { Served } from "./_served_process.ts";
import { Stream } from "./_stream.ts";

/** What a connection of a client needs of its worker. */
export interface HeldOwner extends Pick<Served, "peer" | "options" | "clock"> {
  readonly clients: Clients;
  /** Whether the worker still has a shard. */
  hasShard(shard: number): boolean;
  /** Told of a failure in full: clients see less. */
  tell(error: unknown, request: FleetRequest): void;
  /** Told once that one has ended. */
  ended(id: string): void;
}

/** What a client holds until it leaves, the host ends it, or the worker does. */
export class Held {
  readonly shard: number;
  readonly client: Client;
  readonly #owner: HeldOwner;
  readonly #offer: HostOffer;
  readonly #stream: Stream;
  readonly #abort = new AbortController();
  /** What ends what is open on it. */
  readonly #parts = new Set<() => void>();
  #served: Served | undefined;
  /** What the client has opened on it so far. */
  #opens = 0;
  #isOver = false;

  /**
   * @param owner The worker.
   * @param id The name of its stream.
   * @param offer The host, and whom it was offered to.
   */
  constructor(owner: HeldOwner, id: string, offer: HostOffer) {
    this.#owner = owner;
    this.#offer = offer;
    this.shard = offer.shard;
    this.client = owner.clients.of(offer.remote);
    this.client.connections++;
    this.#stream = new Stream(owner.peer, offer.remote, id, {
      frame: (type) => {
        if (type === Frame.stop) this.end();
      },
      lost: () => this.end(),
    }, true);
    this.#stream.noteOpened();
  }

  /** What a client opens things on, if it is dialled, and this client's. */
  servedTo(remote: string): Served | undefined {
    return remote === this.#offer.remote ? this.#served : undefined;
  }

  /** Whether something was opened before, or after: a copy of it begins nothing. */
  isCopy(nth: unknown): boolean {
    // A client of an older version does not count.
    if (typeof nth !== "number") return false;
    if (nth <= this.#opens) return true;
    this.#opens = nth;
    return false;
  }

  /** Dials the host, and sees to the end of its connection. */
  async run(): Promise<void> {
    const connection = await this.#dialled();
    if (connection === undefined) return;
    this.#begin(connection);
    const { kind, ...rest } = await connection.closed;
    if (this.#isOver) return;
    const { message = "the worker ended it" } = rest as { message?: string };
    this.#stream.sendJson(Frame.closed, {
      kind: kind === "lost" ? "lost" : "remote",
      message,
    });
    // What is open on it hears of its own end.
    this.#leave();
  }

  /** Asks the client to go elsewhere with what is new. */
  drain(): void {
    this.#stream.send(Frame.drain);
  }

  /** Ends it, and all that runs on it. Idempotent. */
  end(): void {
    if (this.#isOver) return;
    this.#leave();
    this.#abort.abort(new DOMException("The client has left", "AbortError"));
    for (const stop of [...this.#parts]) stop();
    void this.#served?.connection.close();
  }

  #leave(): void {
    this.#isOver = true;
    this.client.connections--;
    this.#stream.end();
    this.#owner.ended(this.#stream.id);
  }

  /** Returns the connection to the host, unless it fails or comes too late. */
  async #dialled(): Promise<Connection | undefined> {
    const { request } = this.#offer;
    try {
      const connection = await this.#dial(request);
      if (!this.#isOver) return connection;
      void connection.close();
    } catch (error) {
      if (this.#isOver) return;
      this.#owner.tell(error, request);
      const json = publicError(error, request, undefined, true);
      this.#stream.sendJson(Frame.fail, json);
      this.end();
    }
  }

  async #dial(request: FleetRequest): Promise<Connection> {
    const { options } = this.#owner;
    const host = await options.host(request);
    if (host === undefined) {
      const { name, group } = request;
      throw new DialError(
        "dns",
        `Cannot connect to ${JSON.stringify(name)}: there is no such host in ${
          JSON.stringify(group)
        }`,
        { host: name },
      );
    }
    return await options.pool.route(host, { signal: this.#abort.signal });
  }

  #begin(connection: Connection): void {
    const { host, serverSoftware: software } = connection;
    const { request, shard } = this.#offer;
    this.#served = {
      ...this.#owner,
      ...this.#offer,
      connection,
      client: this.client,
      parts: this.#parts,
      errorJson: (error) => {
        this.#owner.tell(error, request);
        return publicError(error, request, host, false);
      },
    };
    const started = software === undefined ? {} : { software };
    this.#stream.sendJson(Frame.started, started);
    // The shard may have gone while it was dialled.
    if (!this.#owner.hasShard(shard)) this.drain();
  }
}
