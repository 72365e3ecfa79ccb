/**
 * Session channels that are opened ahead of need.
 *
 * @module
 */

import type { SpareChannels } from "../connector.ts";
import type { ChannelOpenError } from "../errors.ts";
import type { Channel, ChannelObserver } from "./_channel.ts";
import type { Lost } from "./_lost.ts";

/** What the spares need of the table that they are in. */
export interface SparesContext {
  /** Asks for a session channel, never for a spare. */
  openSession(observer: ChannelObserver): Channel;
  readonly lost: Lost;
}

/** One spare: it passes on what happens, once somebody uses it. */
class Spare implements ChannelObserver {
  readonly answered: Promise<void>;
  readonly #context: SparesContext;
  readonly #onEnd: (spare: Spare) => void;
  channel!: Channel;
  #isOpen = false;
  #user: ChannelObserver | undefined;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor(context: SparesContext, onEnd: (spare: Spare) => void) {
    this.#context = context;
    this.#onEnd = onEnd;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.answered.catch(() => {});
  }

  /** From here on it is the channel of this observer. */
  handTo(user: ChannelObserver): Channel {
    this.#user = user;
    this.channel.ref();
    if (this.#isOpen) {
      // Not in this turn: the user does not hold the channel yet.
      queueMicrotask(() => {
        if (this.channel.isOpen) user.opened();
      });
    }
    return this.channel;
  }

  /** Closes it, unused; whoever waits for its opening waits no more. */
  close(): Promise<void> {
    const why = "it is not needed any more";
    this.#reject(this.#context.lost("open a channel", { why }));
    return new Promise((resolve) => {
      this.channel.whenEnded(resolve);
      this.channel.close();
    });
  }

  opened(): void {
    this.#isOpen = true;
    this.#resolve();
    this.#user?.opened();
  }

  get copies(): boolean | undefined {
    return this.#user?.copies;
  }

  stdout(chunk: Uint8Array): boolean {
    return this.#user?.stdout(chunk) ?? true;
  }

  stderr(chunk: Uint8Array): boolean {
    return this.#user?.stderr(chunk) ?? true;
  }

  eof(): void {
    this.#user?.eof();
  }

  refused(error: ChannelOpenError): void {
    this.#end(error);
    this.#user?.refused(error);
  }

  unanswered(): void {
    const why = "the server does not answer";
    this.#end(this.#context.lost("open a channel", { why }));
    this.#user?.unanswered();
  }

  closed(): void {
    const why = "the server closed it";
    this.#end(this.#context.lost("open a channel", { why }));
    this.#user?.closed();
  }

  lost(): void {
    this.#end(this.#context.lost("open a channel"));
    this.#user?.lost();
  }

  #end(error: unknown): void {
    this.#reject(error);
    this.#onEnd(this);
  }
}

/** The spares of one connection. */
export class Spares implements SpareChannels {
  readonly #context: SparesContext;
  readonly #unused: Spare[] = [];

  constructor(context: SparesContext) {
    this.#context = context;
  }

  get count(): number {
    return this.#unused.length;
  }

  open(): Promise<void> {
    const spare = new Spare(this.#context, (it) => this.#remove(it));
    this.#unused.push(spare);
    spare.channel = this.#context.openSession(spare);
    // Nobody waits for it: it must not keep the process alive.
    spare.channel.unref();
    return spare.answered;
  }

  close(): Promise<void> {
    const spare = this.#unused.pop();
    if (spare === undefined) return Promise.resolve();
    return spare.close();
  }

  /** The channel of a spare, if there is one, for this observer. */
  take(observer: ChannelObserver): Channel | undefined {
    return this.#unused.shift()?.handTo(observer);
  }

  #remove(spare: Spare): void {
    const index = this.#unused.indexOf(spare);
    if (index >= 0) this.#unused.splice(index, 1);
  }
}
