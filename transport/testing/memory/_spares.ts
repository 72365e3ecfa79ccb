/** Session channels of a memory connection that are opened ahead of need. */

import type { SpareChannels } from "../../connector.ts";
import type { ConnectionLostError } from "../../errors.ts";

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

/** What the spares need of the channels that they are among. */
export interface SpareSource {
  /** Session channels that are open or being opened. */
  count: number;
  /**
   * Returns a session channel that is still to be opened, if the server has
   * one.
   */
  takeNew(): SessionSlot | undefined;
  /** Asks the server to open it. */
  open(signal: AbortSignal): Promise<void>;
  /** Rejects as the server refuses. */
  refuse(): Promise<never>;
  add(ending: Ending): void;
  remove(ending: Ending): void;
  /** Returns the error of what the end of the connection broke. */
  lost(): ConnectionLostError;
}

/** One of them; it ends with its connection, unless it was taken. */
class Spare implements SessionSlot, Ending {
  readonly opened: Promise<void>;
  readonly #channels: SpareSource;
  readonly #onLost: (spare: Spare) => void;
  readonly #slot: SessionSlot | undefined;
  readonly #stop = new AbortController();
  #isGiven = false;

  constructor(channels: SpareSource, onLost: (spare: Spare) => void) {
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

/** The spares of one connection. */
export class MemorySpares implements SpareChannels {
  readonly #channels: SpareSource;
  readonly #unused: Spare[] = [];

  constructor(channels: SpareSource) {
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
