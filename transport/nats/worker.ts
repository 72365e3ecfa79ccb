/**
 * {@linkcode FleetWorker}: serves the hosts of its shards to clients.
 *
 * @module
 */

import type { Connection } from "../connector.ts";
import { ChannelOpenError, ConnectionLostError, DialError } from "../errors.ts";
import { errorToJson } from "../error_json.ts";
import { duration, wholeNumber } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";
import type { Bus, BusMessage } from "./bus.ts";
import { type Client, Clients } from "./_clients.ts";
import {
  busFrame,
  Frame,
  hostOfToken,
  isId,
  jsonBytes,
  newId,
  parseObject,
} from "./_frames.ts";
import {
  FLEET_WORKER_OPTIONS,
  type FleetRequest,
  type FleetWorkerOptions,
} from "./options.ts";
import { Peer } from "./_peer.ts";
import { QueueClock } from "./_queue_clock.ts";
import { publicError } from "./_public_error.ts";
import { serve } from "./_served.ts";
import type { Asked, Served } from "./_served_process.ts";
import { Stream } from "./_stream.ts";

/** Which shards a worker serves: one of so many equal parts. */
export interface StaticShards {
  /** Which part, from 0: the ordinal of a StatefulSet, say. */
  readonly index: number;
  /** How many parts there are. */
  readonly of: number;
}

/** Decides which shards a worker serves, and changes its mind: `Leases` does. */
export interface ShardSource {
  /** Begins to give shards to a worker, and to take them back. */
  start(worker: ShardOwner): Promise<void>;
  /** Takes all of them back. */
  stop(): Promise<void>;
}

/** A worker, as far as its shards go. */
export interface ShardOwner {
  /** Its name on the bus. */
  readonly id: string;
  /** How many shards there are. */
  readonly shardCount: number;
  /** The shards that it serves. */
  readonly shards: readonly number[];
  /** Serves a shard from now on. */
  take(shard: number): void;
  /** Serves it no more: clients move on with their next command. */
  give(shard: number): void;
}

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
const SHARDS = new OptionTable<StaticShards>("serve", {
  index: wholeNumber(0),
  of: wholeNumber(1),
});

/** How long a client has to use what it was offered, in milliseconds. */
const TICKET_MS = 10_000;
/** Offers that are open at once. */
const MAX_TICKETS = 100_000;
/** How often clients are looked through, in ticks. */
const PRUNE_TICKS = 10;

/**
 * The time by two clocks: the steady one stands still while the machine is
 * suspended, and the other one may be set.
 */
const now = () => ({ steady: performance.now(), wall: Date.now() });

/** A host that was offered to a client. */
interface Ticket {
  readonly request: FleetRequest;
  readonly remote: string;
  readonly shard: number;
  readonly until: number;
}

/** A connection of a client. */
interface Held {
  readonly stream: Stream;
  readonly shard: number;
  readonly client: Client;
  /** What it serves, once the host is dialled. */
  served?: Served;
  end(): void;
}

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
  readonly #freshMs: number;
  readonly #peer: Peer;
  readonly #clients: Clients;
  readonly #clock = new QueueClock();
  readonly #rate: number;
  readonly #shards = new Map<number, { unsubscribe(): void }>();
  readonly #tickets = new Map<string, Ticket>();
  readonly #held = new Map<string, Held>();
  readonly #presence: { unsubscribe(): void };
  #source: ShardSource | undefined;
  #isServing = false;
  #sessions = 0;
  #begun = 0;
  #stale = 0;
  #refused = 0;
  #ticks = 0;
  /** What comes now has left the server after this time. */
  #provenAt = now();
  #isProving = false;
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
    this.#freshMs = given.freshMs ?? 3_000;
    this.#rate = given.maxRequestsPerSecond ?? 5_000;
    this.#clients = new Clients(this.#rate);
    this.#peer = new Peer({
      bus,
      base: `${this.#prefix}.w.${this.id}`,
      remote: new RegExp(`^${this.#prefix}\\.c\\.[^.*> ]+\\.[0-9a-f]{32}$`),
      pingMs: given.pingMs ?? 1_000,
      maxMisses: 4,
      idleEvery: 15,
      onOpen: (id, payload, remote) => this.#onOpen(id, payload, remote),
      onTick: () => this.#onTick(),
    });
    this.#peer.keepTicking();
    // Other workers ask whether it is there.
    this.#presence = bus.subscribe(`${this.#prefix}.w.${this.id}.ping`, {
      callback: (error, message) => void (error ?? message.respond()),
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
    const { index, of } = SHARDS.check(shards);
    if (index === undefined || of === undefined || index >= of) {
      throw new RangeError(
        `Cannot serve: index is ${index}, must be below of, which is ${of}`,
      );
    }
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
        callback: (error, message) => {
          if (error === null) this.#onAsk(shard, message);
          else this.#tell(error, { name: "", group: "" });
        },
      }),
    );
  }

  /** Serves a shard no more: what runs may end, and clients move on. */
  give(shard: number): void {
    this.#shards.get(shard)?.unsubscribe();
    if (!this.#shards.delete(shard)) return;
    for (const held of this.#held.values()) {
      if (held.shard === shard) held.stream.send(Frame.drain);
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
    await this.#source?.stop();
    for (const shard of this.shards) this.give(shard);
    if (drainMs > 0) await this.#drained(drainMs);
    for (const held of [...this.#held.values()]) held.end();
    this.#peer.close();
    this.#clock.stop();
    try {
      this.#presence.unsubscribe();
      await this.#bus.flush();
    } catch {
      // The bus was closed.
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
      this.#tickets.size === 0;
  }

  get #isFresh(): boolean {
    const { steady, wall } = now();
    const ageMs = Math.max(
      steady - this.#provenAt.steady,
      wall - this.#provenAt.wall,
    );
    return ageMs < this.#freshMs;
  }

  #onTick(): void {
    // A PONG proves that what comes after it has left the server after the PING.
    if (!this.#isProving && !this.#peer.isDown) void this.#prove();
    const { steady } = now();
    for (const [id, { until }] of this.#tickets) {
      if (until > steady) break;
      this.#tickets.delete(id);
    }
    if (++this.#ticks % PRUNE_TICKS === 0) this.#clients.prune();
    this.#tellIdle();
  }

  async #prove(): Promise<void> {
    this.#isProving = true;
    const before = now();
    try {
      await this.#bus.flush();
      this.#provenAt = before;
    } catch {
      // The bus is down.
    }
    this.#isProving = false;
  }

  #tellIdle(): void {
    if (this.#isIdle) this.#onIdle?.();
  }

  #tell(error: unknown, request: FleetRequest): void {
    this.#options.onError?.(error, request);
  }

  /** A client asks who serves a host. */
  #onAsk(shard: number, message: BusMessage): void {
    const [, , , group, token] = message.subject.split(".");
    const name = hostOfToken(token);
    let remote: unknown;
    try {
      remote = parseObject(message.data).from;
    } catch {
      return;
    }
    const start = `${this.#prefix}.c.`;
    const isClient = typeof remote === "string" && remote.startsWith(start) &&
      /^[^.*> ]+\.[0-9a-f]{32}$/.test(remote.slice(start.length));
    if (name === undefined || group === undefined || !isClient) return;
    if (!this.#isFresh) {
      this.#stale++;
      return void message.respond(jsonBytes({ asleep: true }));
    }
    const from = remote as string;
    const client = this.#clients.of(from);
    if (!client.tryTake(this.#rate) || this.#tickets.size >= MAX_TICKETS) {
      this.#refused++;
      return void message.respond(jsonBytes({ busy: true }));
    }
    const ticket = newId();
    this.#tickets.set(ticket, {
      request: { name, group },
      remote: from,
      shard,
      until: performance.now() + TICKET_MS,
    });
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
    const held = typeof asked.connection === "string"
      ? this.#held.get(asked.connection)
      : undefined;
    const { served } = held ?? {};
    if (
      held === undefined || served === undefined || served.remote !== remote
    ) {
      return this.#refuse(remote, id, "the connection has ended");
    }
    if (!this.#isFresh) {
      this.#stale++;
      return this.#refuse(remote, id, "the worker may have been asleep");
    }
    const { maxSessionsPerClient = 2_000 } = this.#options;
    const { client } = held;
    if (
      client.sessions >= maxSessionsPerClient || !client.tryTake(this.#rate)
    ) {
      this.#refused++;
      return this.#send(
        remote,
        id,
        Frame.fail,
        errorToJson(
          new ChannelOpenError(
            `Cannot open a channel on ${
              JSON.stringify(served.request.name)
            }: this program has too many at the worker`,
            // As a server does beyond MaxSessions: the pool learns the limit.
            { host: served.request.name, reason: 2 },
          ),
        ),
      );
    }
    void this.#serve(served, client, id, asked);
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

  #refuse(remote: string, id: string, why: string): void {
    const error = new ConnectionLostError(`Cannot go on: ${why}`);
    this.#send(remote, id, Frame.fail, errorToJson(error));
  }

  /** Sends the one frame of a stream that there is not. */
  #send(remote: string, id: string, type: number, value: unknown): void {
    if (this.#peer.isDown) return;
    this.#bus.publish(`${remote}.${id}`, busFrame(type, 0, jsonBytes(value)));
  }

  #onConnect(id: string, remote: string): void {
    const ticket = this.#tickets.get(id);
    this.#tickets.delete(id);
    if (ticket === undefined || ticket.remote !== remote) {
      return this.#peer.reset({ remote, id });
    }
    const client = this.#clients.of(remote);
    const { maxConnectionsPerClient = 10_000 } = this.#options;
    if (client.connections >= maxConnectionsPerClient) {
      this.#refused++;
      const { name } = ticket.request;
      return this.#send(
        remote,
        id,
        Frame.fail,
        errorToJson(
          new DialError(
            "tcp",
            `Cannot connect to ${
              JSON.stringify(name)
            }: this program has too many connections at the worker`,
            { host: name, throttled: true },
          ),
        ),
      );
    }
    void this.#connect(id, ticket, client);
  }

  async #connect(id: string, ticket: Ticket, client: Client): Promise<void> {
    const { request, remote, shard } = ticket;
    const parts = new Set<() => void>();
    const dial = new AbortController();
    let connection: Connection | undefined;
    const end = () => {
      if (!this.#held.delete(id)) return;
      client.connections--;
      dial.abort(new DOMException("The client has left", "AbortError"));
      stream.end();
      for (const stop of [...parts]) stop();
      void connection?.close();
      this.#tellIdle();
    };
    const stream = new Stream(this.#peer, remote, id, {
      frame: (type) => {
        if (type === Frame.stop) end();
      },
      lost: end,
    }, true);
    stream.noteOpened();
    const held: Held = { stream, shard, client, end };
    this.#held.set(id, held);
    client.connections++;
    try {
      connection = await this.#dial(request, dial.signal);
    } catch (error) {
      if (!dial.signal.aborted) {
        this.#tell(error, request);
        const json = publicError(error, request, undefined, true);
        stream.sendJson(Frame.fail, json);
      }
      return end();
    }
    if (!this.#held.has(id)) return void connection.close();
    const { host, serverSoftware: software } = connection;
    held.served = {
      peer: this.#peer,
      options: this.#options,
      request,
      connection,
      remote,
      parts,
      clock: this.#clock,
      errorJson: (error) => {
        this.#tell(error, request);
        return publicError(error, request, host, false);
      },
    };
    stream.sendJson(Frame.started, software === undefined ? {} : { software });
    // The shard may have gone while it was dialled.
    if (!this.#shards.has(shard)) stream.send(Frame.drain);
    const { kind, ...rest } = await connection.closed;
    if (!this.#held.has(id)) return;
    const { message = "the worker ended it" } = rest as { message?: string };
    stream.sendJson(Frame.closed, {
      kind: kind === "lost" ? "lost" : "remote",
      message,
    });
    this.#held.delete(id);
    client.connections--;
    stream.end();
    this.#tellIdle();
  }

  async #dial(
    request: FleetRequest,
    signal: AbortSignal,
  ): Promise<Connection> {
    const host = await this.#options.host(request);
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
    return await this.#options.pool.route(host, { signal });
  }
}
