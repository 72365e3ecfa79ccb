/** The session channels of one memory connection, spare ones included. */

import type { ConnectOptions, SpareChannels } from "../../connector.ts";
import type { ConnectionLostError } from "../../errors.ts";
import { Freeze } from "./_freeze.ts";
import { lost, passOrRefuse, refused, STEPS } from "./_errors.ts";
import {
  type Ending,
  MemorySpares,
  type SessionSlot,
  type SpareSource,
} from "./_spares.ts";
import { sleep } from "../../abort.ts";
import type {
  MemoryConnectorOptions,
  MemoryReports,
  ScriptedConnection,
} from "./memory_connector_options.ts";

/**
 * A server answers in the order in which it was asked. What it confirms takes
 * up to this many turns of the microtask queue, so what it refuses waits as long.
 */
const REFUSAL_TURNS = 10;
const TURN = Promise.resolve();

/** What the channels need of their connection. */
export interface MemoryChannelsParts {
  readonly name: string;
  readonly connection: ScriptedConnection;
  readonly options: MemoryConnectorOptions;
  readonly reports: MemoryReports;
  readonly connect: ConnectOptions;
}

/** Counts them, opens them, and ends them with the connection. */
export class MemoryChannels implements SpareSource {
  readonly name: string;
  readonly options: MemoryConnectorOptions;
  readonly connection: ScriptedConnection;
  readonly connect: ConnectOptions;
  readonly freeze: Freeze;
  readonly #reports: MemoryReports;
  readonly #sessions = new ServerSessions();
  readonly #endings = new Set<Ending>();
  readonly #spares: MemorySpares | undefined;
  /** Session channels that are open or being opened. */
  count = 0;
  /** The most that were ever open at once. */
  peak = 0;
  /** Session channels that were asked for so far. */
  asked = 0;
  /** Variables of the host that the server has refused. */
  readonly refusedEnv: Set<string> = new Set();
  /** Why the connection has ended. */
  endMessage: string | undefined;

  constructor(parts: MemoryChannelsParts) {
    this.name = parts.name;
    this.options = parts.options;
    this.connection = parts.connection;
    this.connect = parts.connect;
    this.#reports = parts.reports;
    this.#spares = parts.options.spareChannels === true
      ? new MemorySpares(this)
      : undefined;
    this.freeze = new Freeze(
      parts.connect,
      () => parts.connection.drop("keepalive probes were not answered"),
    );
  }

  get spares(): SpareChannels | undefined {
    return this.#spares;
  }

  /** Returns the error of what the end of the connection broke. */
  lost(): ConnectionLostError {
    return lost(this.name, this.endMessage ?? "it is closed");
  }

  /** Returns the error of what comes after its end. */
  closed(): ConnectionLostError {
    return lost(this.name, "it is closed");
  }

  /** Looks and takes in one go, as the server does when the request arrives. */
  tryTake(): boolean {
    if (this.endMessage !== undefined) throw this.closed();
    this.asked++;
    const { maxSessions = Infinity } = this.options;
    const limit = typeof maxSessions === "function"
      ? maxSessions(this.connection.host)
      : maxSessions;
    if (!this.#sessions.tryTake(limit)) return false;
    this.count++;
    this.peak = Math.max(this.peak, this.count);
    this.#reports.channelOpened(this.count);
    return true;
  }

  /** A channel has ended. */
  give(): void {
    this.count--;
    if (this.endMessage === undefined) this.#sessions.give(this.options);
  }

  /**
   * Returns a session channel: a spare one, or one that is still to be opened.
   */
  take(): SessionSlot | undefined {
    return this.#spares?.take() ?? this.takeNew();
  }

  /**
   * Returns a session channel that is still to be opened, if the server has
   * one.
   */
  takeNew(): SessionSlot | undefined {
    if (!this.tryTake()) return undefined;
    let isGiven = false;
    const give = () => {
      if (!isGiven) this.give();
      isGiven = true;
    };
    return { opened: undefined, give };
  }

  /** Rejects as the server refuses, when it is its turn. */
  async refuse(): Promise<never> {
    for (let i = 0; i < REFUSAL_TURNS; i++) await TURN;
    throw refused(this.name);
  }

  /** Asks the server to open a channel. */
  async open(signal: AbortSignal): Promise<void> {
    const n = this.asked;
    if (this.freeze.isFrozen) await this.freeze.wait(signal);
    await this.roundTrip(signal);
    const outcome = this.options.onOpen?.(this.connection, n);
    await passOrRefuse(outcome, signal, this.name, STEPS.open);
  }

  /** As long as it takes to the host and back: `undefined` for no time. */
  roundTrip(signal: AbortSignal): Promise<void> | undefined {
    const { roundTripMs = 0 } = this.options;
    return roundTripMs > 0 ? sleep(roundTripMs, signal) : undefined;
  }

  /** Registers what ends with the connection. */
  add(ending: Ending): void {
    this.#endings.add(ending);
  }

  /** Removes what has ended by itself. */
  remove(ending: Ending): void {
    this.#endings.delete(ending);
  }

  /** Ends all that is open, and every timer. */
  end(message: string): void {
    this.endMessage = message;
    for (const ending of [...this.#endings]) ending.lost(message);
    this.#endings.clear();
    this.#sessions.end();
    this.freeze.stop();
  }
}

/** When the server frees the session of a channel that has ended. */
interface ReapOptions {
  /** After this time, in milliseconds. */
  readonly reapMs?: number;
  /** After so many turns of the microtask queue. */
  readonly reapTurns?: number;
}

/** Counts sessions; one that has ended may count for a while longer. */
class ServerSessions {
  readonly #timers: Set<ReturnType<typeof setTimeout>> = new Set();
  #count = 0;

  /** Takes a session, unless `limit` are taken. */
  tryTake(limit: number): boolean {
    if (this.#count >= limit) return false;
    this.#count++;
    return true;
  }

  /** A channel has ended. */
  give({ reapMs = 0, reapTurns = 0 }: ReapOptions): void {
    if (reapMs > 0) this.#giveAfter(reapMs);
    else this.#giveIn(reapTurns);
  }

  /** Stops the timers. */
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #giveAfter(ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#count--;
    }, ms);
    this.#timers.add(timer);
  }

  #giveIn(turns: number): void {
    if (turns === 0) this.#count--;
    else TURN.then(() => this.#giveIn(turns - 1));
  }
}
