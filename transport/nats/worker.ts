/**
 * {@linkcode FleetWorker}: serves the hosts of its shards to clients.
 *
 * @module
 */

import { settledWithin } from "../abort.ts";
import { ConnectionLostError, type SshError } from "../errors.ts";
import { errorToJson } from "../error_json.ts";
import { duration } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";
import { type Bus, type BusMessage, oncePerOperation } from "./bus.ts";
import { type Client, Clients } from "./_clients.ts";
import {
  busFrame,
  Frame,
  isId,
  jsonBytes,
  newId,
  parseObject,
} from "./_frames.ts";
import { Freshness } from "./_freshness.ts";
import { Held, type HeldOwner } from "./_held.ts";
import { askedFor, Offers, sayPresent } from "./_offers.ts";
import {
  FLEET_WORKER_OPTIONS,
  type FleetRequest,
  type FleetWorkerOptions,
} from "./options.ts";
import { Peer } from "./_peer.ts";
import { QueueClock } from "./_queue_clock.ts";
import { serve } from "./_served.ts";
import type { Asked, Served } from "./_served_process.ts";
import {
  checkShards,
  type ShardOwner,
  type ShardSource,
  type StaticShards,
} from "./shards.ts";

/** What a worker has done so far, and has now. */
export interface FleetWorkerStats {
  /** Shards that it serves. */
  readonly shards: number;
  /** Connections of clients. */
  readonly connections: number;
  /** What runs for clients now. */
  readonly sessions: number;
  /** Commands, shells, subsystems and tunnels that were begun. */
  readonly begun: number;
  /** Requests that were refused since they may have waited for too long. */
  readonly stale: number;
  /** Requests that were refused since their client has too much. */
  readonly refused: number;
}

/** Options for {@linkcode FleetWorker.close}. */
export interface FleetCloseOptions {
  /**
   * How long what runs may go on, in milliseconds; then it is stopped.
   *
   * @default {10_000}
   */
  readonly drainTimeoutMs?: number;
}

const CLOSE_OPTIONS = new OptionTable<FleetCloseOptions>("close the worker", {
  drainTimeoutMs: duration({ zero: true }),
});

/** How often clients are looked through, in ticks. */
const PRUNE_TICKS = 10;

/**
 * Serves hosts to the clients of a message bus, from one pool: however many
 * clients there are, a host is dialled once, and its limits hold for all.
 *
 * A command of a client runs on a slot of the pool and waits its turn with
 * those of all clients. A client that vanishes is an abort of what it runs.
 * Nothing is begun that may have waited in a queue on its way here.
 *
 * @example A worker that has a third of all hosts
 * ```ts ignore
 * import { connect } from "@nats-io/transport-node";
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { FleetWorker } from "@sshpool/sshpool/nats";
 *
 * const bus = await connect({ servers: "tls://bus:4222", user: "w0", pass });
 * const pool = new ConnectionPool({ maxConnections: 5000 });
 * const worker = new FleetWorker(bus, {
 *   pool,
 *   host: ({ name, group }) => inventory.find(group, name),
 * });
 * await worker.serve({ index: 0, of: 3 });
 * ```
 */
export class FleetWorker implements ShardOwner, AsyncDisposable {
  readonly #bus: Bus;
  readonly #options: FleetWorkerOptions;
  readonly #prefix: string;
  readonly #peer: Peer;
  readonly #clients: Clients;
  readonly #freshness: Freshness;
  readonly #clock = new QueueClock();
  readonly #shards = new Map<number, { unsubscribe(): void }>();
  readonly #offers = new Offers();
  readonly #held = new Map<string, Held>();
  /** The bus lets it not listen or not send: told once, not for each shard. */
  readonly #onFault = oncePerOperation((error) =>
    this.#tell(error, { name: "", group: "" })
  );
  readonly #owner: HeldOwner;
  readonly #presence: { unsubscribe(): void };
  #source: ShardSource | undefined;
  #isServing = false;
  #sessions = 0;
  #begun = 0;
  #stale = 0;
  #refused = 0;
  #ticks = 0;
  #closed: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;
  /** Its name on the bus. */
  readonly id: string;
  /** How many shards there are. */
  readonly shardCount: number;

  /**
   * Makes a worker, which serves nothing yet: see {@linkcode FleetWorker.serve}.
   *
   * @param bus The connection to the bus. It stays yours.
   * @param options The pool, and which hosts there are.
   * @throws {TypeError | RangeError} If an option is unknown or wrong.
   */
  constructor(bus: Bus, options: FleetWorkerOptions) {
    const given = FLEET_WORKER_OPTIONS.check(options);
    const { pool, host } = given;
    if (pool === undefined || host === undefined) {
      throw new TypeError(
        "Cannot make the worker: pool and host must be given",
      );
    }
    this.#bus = bus;
    this.#options = given;
    this.id = given.id ?? newId();
    this.shardCount = given.shards ?? 1_024;
    this.#prefix = given.prefix ?? "ssh";
    this.#freshness = new Freshness(bus, given.freshMs ?? 3_000);
    this.#clients = new Clients(this.#prefix, {
      rate: given.maxRequestsPerSecond ?? 5_000,
      sessions: given.maxSessionsPerClient ?? 2_000,
      connections: given.maxConnectionsPerClient ?? 10_000,
    });
    this.#peer = new Peer({
      bus,
      base: `${this.#prefix}.w.${this.id}`,
      remote: this.#clients.subjects,
      pingMs: given.pingMs ?? 1_000,
      maxMisses: 4,
      idleEvery: 15,
      onOpen: (id, payload, remote) => this.#onOpen(id, payload, remote),
      onTick: () => this.#onTick(),
      onFault: this.#onFault,
    });
    this.#peer.keepTicking();
    this.#owner = {
      peer: this.#peer,
      options: given,
      clients: this.#clients,
      clock: this.#clock,
      hasShard: (shard) => this.#shards.has(shard),
      tell: (error, request) => this.#tell(error, request),
      ended: (id) => {
        this.#held.delete(id);
        this.#tellIdle();
      },
    };
    // Other workers ask whether it is there.
    this.#presence = bus.subscribe(`${this.#prefix}.w.${this.id}.ping`, {
      callback: (error, message) => void (error ?? sayPresent(message)),
    });
  }

  /** The shards that it serves. */
  get shards(): readonly number[] {
    return [...this.#shards.keys()];
  }

  /** What it has done so far, and has now. */
  stats(): FleetWorkerStats {
    return {
      shards: this.#shards.size,
      connections: this.#held.size,
      sessions: this.#sessions,
      begun: this.#begun,
      stale: this.#stale,
      refused: this.#refused,
    };
  }

  /**
   * Begins to serve.
   *
   * @param shards Which shards: one of so many equal parts, or a source such as
   * `Leases`, which deals them among the workers that there are.
   * @returns Settles when the bus knows of it.
   * @throws {TypeError | RangeError} If there is no such part.
   */
  async serve(shards: StaticShards | ShardSource): Promise<void> {
    if (this.#closed !== undefined || this.#isServing) {
      throw new TypeError(
        "Cannot serve: the worker serves already, or is closed",
      );
    }
    if ("start" in shards) {
      this.#isServing = true;
      this.#source = shards;
      return await shards.start(this);
    }
    const { index, of } = checkShards(shards);
    this.#isServing = true;
    for (let shard = index; shard < this.shardCount; shard += of) {
      this.take(shard);
    }
    await this.#bus.flush();
  }

  /** Serves a shard from now on. */
  take(shard: number): void {
    if (this.#shards.has(shard) || this.#closed !== undefined) return;
    const subject = `${this.#prefix}.shard.${shard}.*.*`;
    this.#shards.set(
      shard,
      this.#bus.subscribe(subject, {
        queue: "owner",
        callback: (error, message) =>
          error === null ? this.#onAsk(shard, message) : this.#onFault(error),
      }),
    );
  }

  /** Serves a shard no more: what runs may end, and clients move on. */
  give(shard: number): void {
    this.#shards.get(shard)?.unsubscribe();
    if (!this.#shards.delete(shard)) return;
    for (const held of this.#held.values()) {
      if (held.shard === shard) held.drain();
    }
  }

  /**
   * Ends it: nothing new is taken, clients move to other workers, and what runs
   * may end. The bus and the pool stay.
   *
   * @param options How long what runs may go on.
   * @returns Settles when nothing runs here for a client.
   * @throws {TypeError | RangeError} If an option is unknown or wrong.
   */
  async close(options?: FleetCloseOptions): Promise<void> {
    const { drainTimeoutMs = 10_000 } = CLOSE_OPTIONS.check(options);
    await (this.#closed ??= this.#close(drainTimeoutMs));
  }

  /** Ends it as `close()` does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(drainMs: number): Promise<void> {
    try {
      await this.#source?.stop();
    } finally {
      for (const shard of this.shards) this.give(shard);
      if (drainMs > 0) await this.#drained(drainMs);
      for (const held of [...this.#held.values()]) held.end();
      this.#peer.close();
      this.#clock.stop();
      try {
        this.#presence.unsubscribe();
        // A server that is frozen answers when it is given up, or never.
        await settledWithin(5_000, this.#bus.flush());
      } catch {
        // The bus was closed.
      }
    }
  }

  /** Waits until clients have nothing here; offers may still be taken. */
  async #drained(ms: number): Promise<void> {
    if (this.#isIdle) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  get #isIdle(): boolean {
    return this.#held.size === 0 && this.#sessions === 0 &&
      this.#offers.size === 0;
  }

  #onTick(): void {
    if (!this.#peer.isDown) void this.#freshness.prove();
    this.#offers.expire();
    if (++this.#ticks % PRUNE_TICKS === 0) this.#clients.prune();
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#isIdle) this.#onIdle?.();
  }

  #tell(error: unknown, request: FleetRequest): void {
    this.#options.onError?.(error, request);
  }

  /** A client asks who serves a host. */
  #onAsk(shard: number, message: BusMessage): void {
    const offer = askedFor(shard, message, this.#clients.subjects);
    if (offer === undefined) return;
    if (!this.#freshness.isProven) {
      this.#stale++;
      return void message.respond(jsonBytes({ asleep: true }));
    }
    const ticket = this.#clients.of(offer.remote).tryTake()
      ? this.#offers.add(offer)
      : undefined;
    if (ticket === undefined) {
      this.#refused++;
      return void message.respond(jsonBytes({ busy: true }));
    }
    message.respond(jsonBytes({ worker: this.#peer.subject, ticket }));
  }

  /** A client opens a stream. */
  #onOpen(id: string, payload: Uint8Array, remote: string): void {
    let asked: Asked;
    try {
      if (!isId(id)) return;
      asked = parseObject(payload);
    } catch {
      return this.#peer.reset({ remote, id });
    }
    if (asked.kind === "connection") return this.#onConnect(id, remote);
    const lost = (why: string) =>
      new ConnectionLostError(`Cannot go on: ${why}`);
    const held = this.#held.get(asked.connection as string);
    const served = held?.servedTo(remote);
    if (held === undefined || served === undefined) {
      return this.#fail(remote, id, lost("the connection has ended"));
    }
    // Its first has an answer of its own, which this one's might overtake.
    if (held.isCopy(asked.nth)) return;
    if (!this.#freshness.isProven) {
      this.#stale++;
      return this.#fail(remote, id, lost("the worker may have been asleep"));
    }
    const refusal = held.client.refuseChannel(served.request.name);
    if (refusal !== undefined) return this.#refuse(remote, id, refusal);
    void this.#serve(served, held.client, id, asked);
  }

  async #serve(
    served: Served,
    client: Client,
    id: string,
    asked: Asked,
  ): Promise<void> {
    this.#begun++;
    this.#sessions++;
    client.sessions++;
    try {
      await serve(served, id, asked);
    } catch (error) {
      this.#tell(error, served.request);
    }
    client.sessions--;
    this.#sessions--;
    this.#tellIdle();
  }

  /** A client connects to a host that it was offered. */
  #onConnect(id: string, remote: string): void {
    const offer = this.#offers.take(id, remote);
    if (offer === undefined) return this.#peer.reset({ remote, id });
    const { name } = offer.request;
    const refusal = this.#clients.of(remote).refuseConnection(name);
    if (refusal !== undefined) return this.#refuse(remote, id, refusal);
    const held = new Held(this.#owner, id, offer);
    this.#held.set(id, held);
    void held.run();
  }

  #refuse(remote: string, id: string, refusal: SshError): void {
    this.#refused++;
    this.#fail(remote, id, refusal);
  }

  /** Sends the one frame of a stream that there is not. */
  #fail(remote: string, id: string, error: SshError): void {
    if (this.#peer.isDown) return;
    const frame = busFrame(Frame.fail, 0, jsonBytes(errorToJson(error)));
    this.#bus.publish(`${remote}.${id}`, frame);
  }
}
