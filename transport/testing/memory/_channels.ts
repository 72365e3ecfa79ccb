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
  readonly #endings = new Set<() => void>();
  /** Sessions that count for the server, those included that it is to free yet. */
  #sessions = 0;
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
  lost(details?: Parameters<typeof lost>[2]): ConnectionLostError {
    return lost(this.name, this.endMessage ?? "it is closed", details);
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
    if (this.#sessions >= limit) return false;
    this.#sessions++;
    this.count++;
    this.#reports.channelOpened(this.count);
    return true;
  }

  /** A channel has ended. */
  give(): void {
    this.count--;
    if (this.endMessage !== undefined) return;
    const { reapMs = 0, reapTurns = 0 } = this.options;
    if (reapMs <= 0) return this.#reapIn(reapTurns);
    const timer = setTimeout(() => {
      stop();
      this.#sessions--;
    }, reapMs);
    const stop = this.onEnd(() => clearTimeout(timer));
  }

  #reapIn(turns: number): void {
    if (turns === 0) this.#sessions--;
    else TURN.then(() => this.#reapIn(turns - 1));
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
    return { opened: undefined, give: once(() => this.give()) };
  }

  /** Rejects as the server refuses, when it is its turn. */
  async refuse(): Promise<never> {
    for (let i = 0; i < REFUSAL_TURNS; i++) await TURN;
    throw refused(this.name, { ...STEPS.open, reason: 2 }, "open failed");
  }

  /** Waits until a channel that was taken is open; without one it is refused. */
  opened(slot: SessionSlot | undefined, signal: AbortSignal): Promise<void> {
    if (slot === undefined) return this.refuse();
    const { opened } = slot;
    return opened === undefined
      ? this.#open(signal)
      : abortable(opened, signal);
  }

  /** Asks the server to open a channel. */
  async #open(signal: AbortSignal): Promise<void> {
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
    const stops = [
      this.onEnd(() => over.abort(this.lost())),
      onAbort(signal, () => over.abort(signal?.reason)),
    ];
    try {
      const value = await answer(over.signal);
      over.signal.throwIfAborted();
      return value;
    } finally {
      for (const stop of stops) stop();
    }
  }

  /** Calls back when the connection ends; returns what takes the callback back. */
  onEnd(callback: () => void): () => void {
    this.#endings.add(callback);
    return () => void this.#endings.delete(callback);
  }

  /** Ends all that is open, and every timer. */
  end(message: string): void {
    this.endMessage = message;
    this.spares?.end();
    for (const callback of [...this.#endings]) callback();
    this.#endings.clear();
    clearTimeout(this.#keepaliveTimer);
  }
}

/** Makes a function that works the first time only. */
export function once(work: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) work();
    isDone = true;
  };
}

/** The channels of one connection that are opened ahead of need. */
class MemorySpares implements SpareChannels {
  readonly #channels: MemoryChannels;
  readonly #unused: SessionSlot[] = [];

  constructor(channels: MemoryChannels) {
    this.#channels = channels;
  }

  get count(): number {
    return this.#unused.length;
  }

  async open(): Promise<void> {
    const channels = this.#channels;
    const slot = channels.takeNew();
    // The pool counts it from here on, also if it will be refused.
    if (slot === undefined) channels.count++;
    const opened = channels.ask(undefined, (it) => channels.opened(slot, it));
    const spare = { opened, give: slot?.give ?? once(() => channels.count--) };
    this.#unused.push(spare);
    try {
      await opened;
    } catch (error) {
      const index = this.#unused.indexOf(spare);
      // One that is in use is given back by its user.
      if (index >= 0) this.#unused.splice(index, 1)[0]!.give();
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

  /** Gives back all that nobody uses. */
  end(): void {
    for (const spare of this.#unused.splice(0)) spare.give();
  }
}
