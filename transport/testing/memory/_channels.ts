/** The session channels of one memory connection, spare ones included. */

import { abortable, onAbort, sleep } from "../../abort.ts";
import type { ConnectOptions, SpareChannels } from "../../connector.ts";
import type { ConnectionLostError } from "../../errors.ts";
import { Gate } from "../scripts/outcome.ts";
import { lost, passOrRefuse, refused, STEPS } from "./_errors.ts";
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

/** The right to one session channel. */
export interface SessionSlot {
  /** Whether the server has opened it; `undefined` if it is still to be asked. */
  readonly opened: Promise<void> | undefined;
  /** Gives it back. Idempotent. */
  give(): void;
}

/** What ends with the connection. */
export interface Ending {
  /** The connection has ended, and why. */
  lost(message: string): void;
}

/** What the channels need of their connection. */
export interface MemoryChannelsParts {
  readonly options: MemoryConnectorOptions;
  readonly reports: MemoryReports;
  readonly connect: ConnectOptions;
}

/** Counts them, opens them, and ends them with the connection. */
export class MemoryChannels {
  readonly name: string;
  readonly connection: ScriptedConnection;
  readonly options: MemoryConnectorOptions;
  readonly connect: ConnectOptions;
  readonly spares: MemorySpares | undefined;
  readonly #reports: MemoryReports;
  readonly #sessions = new ServerSessions();
  readonly #endings = new Set<Ending>();
  /** Opens when the server answers again; `undefined` while it does. */
  #frozen: Gate | undefined;
  #keepaliveTimer: ReturnType<typeof setTimeout> | undefined;
  /** Session channels that are open or being opened. */
  count = 0;
  /** Session channels that were asked for so far. */
  asked = 0;
  /** Variables of the host that the server has refused. */
  readonly refusedEnv: Set<string> = new Set();
  /** Why the connection has ended. */
  endMessage: string | undefined;

  constructor(
    name: string,
    connection: ScriptedConnection,
    { options, reports, connect }: MemoryChannelsParts,
  ) {
    this.name = name;
    this.connection = connection;
    this.options = options;
    this.connect = connect;
    this.#reports = reports;
    if (options.spareChannels === true) this.spares = new MemorySpares(this);
  }

  /** Returns the error of what the end of the connection broke. */
  lost(): ConnectionLostError {
    return lost(this.name, this.endMessage ?? "it is closed");
  }

  /** Returns the error of what comes after its end. */
  closed(): ConnectionLostError {
    return lost(this.name, "it is closed");
  }

  /** Whether nothing is answered. */
  get isFrozen(): boolean {
    return this.#frozen !== undefined;
  }

  /** Answers nothing from here on, until `thaw()` or the keepalive finds out. */
  freeze(): void {
    if (this.isFrozen) return;
    this.#frozen = new Gate();
    const { keepaliveIntervalMs = 0, keepaliveCountMax = 3 } = this.connect;
    if (keepaliveIntervalMs <= 0) return;
    this.#keepaliveTimer = setTimeout(
      () => this.connection.drop("keepalive probes were not answered"),
      keepaliveIntervalMs * (keepaliveCountMax + 1),
    );
  }

  /** Answers again; what waited goes on. */
  thaw(): void {
    clearTimeout(this.#keepaliveTimer);
    this.#frozen?.open();
    this.#frozen = undefined;
  }

  /** Waits for the end of a freeze: `undefined` if there is none. */
  thawed(signal: AbortSignal): Promise<void> | undefined {
    return this.#frozen && abortable(this.#frozen.wait(), signal);
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
    return this.spares?.take() ?? this.takeNew();
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

  /** Waits until a channel that was taken is open; without one it is refused. */
  opened(slot: SessionSlot | undefined, signal: AbortSignal): Promise<void> {
    if (slot === undefined) return this.refuse();
    const { opened } = slot;
    return opened === undefined ? this.open(signal) : abortable(opened, signal);
  }

  /** Asks the server to open a channel. */
  async open(signal: AbortSignal): Promise<void> {
    const n = this.asked;
    if (this.isFrozen) await this.thawed(signal);
    await this.roundTrip(signal);
    const outcome = this.options.onOpen?.(this.connection, n);
    await passOrRefuse(outcome, signal, this.name, STEPS.open);
  }

  /** As long as it takes to the host and back: `undefined` for no time. */
  roundTrip(signal: AbortSignal): Promise<void> | undefined {
    const { roundTripMs = 0 } = this.options;
    return roundTripMs > 0 ? sleep(roundTripMs, signal) : undefined;
  }

  /**
   * Waits for an answer of the server, as long as the caller and the connection
   * do.
   *
   * @param signal The caller's.
   * @param answer Gets a signal that aborts with either.
   */
  async ask<T>(
    signal: AbortSignal | undefined,
    answer: (over: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const over = new AbortController();
    const ending: Ending = {
      lost: (message) => over.abort(lost(this.name, message)),
    };
    this.add(ending);
    const stop = onAbort(signal, () => over.abort(signal?.reason));
    try {
      const value = await answer(over.signal);
      over.signal.throwIfAborted();
      return value;
    } finally {
      stop();
      this.remove(ending);
    }
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
    clearTimeout(this.#keepaliveTimer);
  }
}

/** When the server frees the session of a channel that has ended. */
type ReapOptions = Pick<MemoryConnectorOptions, "reapMs" | "reapTurns">;

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
    if (reapMs <= 0) return this.#giveIn(reapTurns);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#count--;
    }, reapMs);
    this.#timers.add(timer);
  }

  /** Stops the timers. */
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #giveIn(turns: number): void {
    if (turns === 0) this.#count--;
    else TURN.then(() => this.#giveIn(turns - 1));
  }
}

/** The channels of one connection that are opened ahead of need. */
class MemorySpares implements SpareChannels {
  readonly #channels: MemoryChannels;
  readonly #unused: Spare[] = [];

  constructor(channels: MemoryChannels) {
    this.#channels = channels;
  }

  get count(): number {
    return this.#unused.length;
  }

  async open(): Promise<void> {
    const spare = new Spare(this.#channels, (it) => this.#remove(it));
    this.#unused.push(spare);
    try {
      await spare.opened;
    } catch (error) {
      // One that is in use is given back by its user.
      if (this.#remove(spare)) spare.give();
      throw error;
    }
  }

  close(): Promise<void> {
    this.#unused.pop()?.give();
    return Promise.resolve();
  }

  /** Returns the one that is opened longest, if there is one. */
  take(): SessionSlot | undefined {
    return this.#unused.shift();
  }

  #remove(spare: Spare): boolean {
    const index = this.#unused.indexOf(spare);
    if (index >= 0) this.#unused.splice(index, 1);
    return index >= 0;
  }
}

/** One of them; it ends with its connection, unless it was taken. */
class Spare implements SessionSlot, Ending {
  readonly opened: Promise<void>;
  readonly #channels: MemoryChannels;
  readonly #onLost: (spare: Spare) => void;
  readonly #slot: SessionSlot | undefined;
  readonly #stop = new AbortController();
  #isGiven = false;

  constructor(channels: MemoryChannels, onLost: (spare: Spare) => void) {
    this.#channels = channels;
    this.#onLost = onLost;
    this.#slot = channels.takeNew();
    // The pool counts it from here on, also if it will be refused.
    if (this.#slot === undefined) channels.count++;
    channels.add(this);
    this.opened = this.#open();
    this.opened.catch(() => {});
  }

  async #open(): Promise<void> {
    if (this.#slot === undefined) await this.#channels.refuse();
    await this.#channels.open(this.#stop.signal);
  }

  give(): void {
    if (this.#isGiven) return;
    this.#isGiven = true;
    this.#channels.remove(this);
    if (this.#slot === undefined) this.#channels.count--;
    else this.#slot.give();
  }

  lost(): void {
    this.#stop.abort(this.#channels.lost());
    this.#onLost(this);
    this.give();
  }
}
