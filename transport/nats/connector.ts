/**
 * {@linkcode NatsConnector}: connections that workers make.
 *
 * @module
 */

import { Deadline, onAbort, settledWithin, sleep } from "../abort.ts";
import { CONNECT_OPTIONS } from "../connect_options.ts";
import type { Connection, ConnectOptions, Connector } from "../connector.ts";
import { DialError } from "../errors.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";
import type { Bus } from "./bus.ts";
import { FleetConnection } from "./_connection.ts";
import {
  deferred,
  isId,
  jsonBytes,
  newId,
  parseObject,
  peersOf,
  tokenOf,
} from "./_frames.ts";
import {
  NATS_CONNECTOR_OPTIONS,
  type NatsConnectorOptions,
} from "./options.ts";
import { Peer } from "./_peer.ts";
import { NobodyThere } from "./_questions.ts";

/**
 * How long the owner of a host has to say that it is there before it is asked
 * again, in milliseconds: at first, so often, and then twice as long each time
 * up to the most. Of two owners one may be frozen, and then each question is
 * lost with a chance of a half: of eight hosts one loses four in a row often.
 */
const PAUSE_MS = { first: 150, times: 8, most: 1_000 };
/** How late an answer counts, in milliseconds, beside those to later questions. */
const ANSWER_MS = 5_000;
/** How long a worker is left alone that cannot answer now, in milliseconds. */
const BUSY_MS = 50;
/** The longest name that a worker takes, as a part of a subject. */
const MAX_NAME = 255;

/** A worker that has a host, and its leave to connect. */
interface Offer {
  readonly worker: string;
  readonly ticket: string;
}

/**
 * Makes connections through workers, over NATS: this process has no SSH, no key
 * and no address of a host. The bus leads each host to the one worker that is
 * in charge of it; see {@linkcode FleetWorker}.
 *
 * Commands, shells, input, limits, SFTP and forwards work as over any
 * connector. A connection leads to the worker and not to one connection of the
 * host, so it needs no more than one for each host: `fleetPool()` sets that.
 * Jump hosts are the worker's.
 *
 * @example A pool of your own over it
 * ```ts ignore
 * const connector = new NatsConnector(bus, { group: "teama" });
 * await using pool = new ConnectionPool({
 *   connector,
 *   resolver: new NameResolver(),
 * });
 * ```
 */
export class NatsConnector implements Connector {
  /** The name of a host decides where it leads. */
  readonly usesAlias = true;
  readonly #bus: Bus;
  readonly #options: NatsConnectorOptions;
  readonly #prefix: string;
  readonly #group: string;
  /** What the subjects of workers look like. */
  readonly #workers: RegExp;
  readonly #peer: Peer;

  /**
   * Makes a connector.
   *
   * @param bus The connection to the bus. It stays yours.
   * @param options The names on the bus.
   * @throws {TypeError | RangeError} If an option is unknown or wrong.
   */
  constructor(bus: Bus, options: NatsConnectorOptions = {}) {
    const given = NATS_CONNECTOR_OPTIONS.check(options);
    const { prefix = "ssh", group = "default", clientId = newId() } = given;
    this.#bus = bus;
    this.#options = given;
    this.#prefix = prefix;
    this.#group = group;
    this.#workers = peersOf(prefix, "w");
    this.#peer = new Peer({
      bus,
      base: `${prefix}.c.${clientId}`,
      remote: this.#workers,
      pingMs: given.pingMs ?? 1_000,
      maxMisses: 4,
      idleEvery: 5,
    });
  }

  /**
   * Asks the worker in charge for a connection.
   *
   * @param host The host, of which the name counts.
   * @param options The signal and the deadline. Keepalive is the worker's.
   * @returns The connection.
   * @throws {DialError} If no worker serves the host, or its dial fails.
   */
  async connect(
    host: ResolvedHost,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { signal, timeoutMs = 20_000, tunnel } = CONNECT_OPTIONS.check(
      options,
    );
    const name = host.alias ?? hostLabel(host);
    tunnel?.close();
    signal?.throwIfAborted();
    if (tunnel !== undefined) {
      throw failed("config", name, "its hops are the worker's to dial");
    }
    if (tokenOf(name).length > MAX_NAME) {
      throw failed("config", name.slice(0, 40), "its name is too long");
    }
    let phase = "no worker answered";
    const late = () => failed("timeout", name, `${phase} in ${timeoutMs} ms`);
    const deadline = new Deadline(timeoutMs, late, signal);
    try {
      const { worker, ticket } = await this.#ask(name, deadline.signal);
      phase = "its worker has no connection";
      // From here on the worker is known: its end is seen, and an abort reaches it.
      const connection = new FleetConnection({
        peer: this.#peer,
        host,
        name,
        worker,
        ticket,
        sendsPasswords: this.#options.sendSudoPasswords ?? false,
        trace: () => this.#options.trace?.(),
      });
      const stop = this.#peer.whenRefused((at) => {
        if (at.startsWith(`${worker}.`)) connection.refuse(notAllowed(name));
      });
      try {
        return await connection.dialled(deadline.signal);
      } finally {
        stop();
      }
    } finally {
      deadline.cancel();
    }
  }

  /** Ends what there is on the bus: connections are lost. The bus stays. */
  close(): void {
    this.#peer.close();
  }

  /**
   * Asks who serves a host. Nothing runs by that, so it is asked again where
   * nobody answers: of two owners one may be asleep.
   */
  async #ask(name: string, signal: AbortSignal): Promise<Offer> {
    const token = tokenOf(name);
    const subject = `${this.#prefix}.dial.${this.#group}.${token}`;
    const offered = deferred<Offer>();
    offered.promise.catch(() => {});
    const stop = this.#peer.whenRefused((at) => {
      // The server names the subject that it has mapped this one to.
      const isOurs = at === subject ||
        at.endsWith(`.${this.#group}.${token}`);
      if (isOurs) offered.reject(this.#notAllowed(name));
    });
    const over = new AbortController();
    const unwatch = onAbort(signal, () => over.abort(signal.reason));
    try {
      for (let times = 0, ms = PAUSE_MS.first;; times++) {
        signal.throwIfAborted();
        if (this.#peer.fault !== undefined) throw this.#notAllowed(name);
        if (this.#peer.isDown) throw this.#noBus(name);
        const answer = this.#request(subject, name, over.signal);
        // One that comes after the next question is as good.
        answer.then((offer) => {
          if (offer !== undefined) offered.resolve(offer);
        }, offered.reject);
        if (times > PAUSE_MS.times) ms = Math.min(2 * ms, PAUSE_MS.most);
        const offer = await Promise.race([
          offered.promise,
          settledWithin(ms, answer),
        ]);
        if (offer) return offer;
      }
    } finally {
      stop();
      unwatch();
      over.abort();
    }
  }

  async #request(
    subject: string,
    name: string,
    signal: AbortSignal,
  ): Promise<Offer | undefined> {
    const request = jsonBytes({ from: this.#peer.subject });
    let data: Uint8Array | undefined;
    try {
      data = await this.#peer.ask(subject, request, ANSWER_MS, signal);
    } catch (error) {
      if (!(error instanceof NobodyThere)) throw error;
      throw failed("tcp", name, "no worker serves it at the moment", true);
    }
    if (data === undefined) return undefined;
    try {
      const { worker, ticket } = parseObject(data);
      const isWorker = typeof worker === "string" && this.#workers.test(worker);
      const isNew = isId(ticket) && !this.#peer.has(ticket);
      if (isWorker && isNew) return { worker, ticket };
    } catch {
      // An answer that is none.
    }
    await sleep(BUSY_MS, signal);
    return undefined;
  }

  /** What was closed does not come back: then nothing is tried again. */
  #noBus(name: string, cause?: unknown): DialError {
    const mayReturn = !this.#bus.isClosed();
    return failed("tcp", name, "the bus is not connected", mayReturn, cause);
  }

  #notAllowed(name: string): DialError {
    return failed(
      "auth",
      name,
      `the bus does not let this program ask for hosts of the group ${
        JSON.stringify(this.#group)
      }`,
    );
  }
}

/** The server lets this program ask for the host, and not write to its worker. */
function notAllowed(name: string): DialError {
  return failed(
    "auth",
    name,
    "the bus does not let this program write to the worker of the host",
  );
}

function failed(
  phase: "auth" | "config" | "tcp" | "timeout",
  name: string,
  why: string,
  throttled = false,
  cause?: unknown,
): DialError {
  return new DialError(
    phase,
    `Cannot connect to ${JSON.stringify(name)}: ${why}`,
    { host: name, throttled, ...cause !== undefined && { cause } },
  );
}
