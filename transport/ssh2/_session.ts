/**
 * The life of a session channel, from the request to open it to its end. It is
 * the same for a command that is collected and for a process with streams.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { onAbort } from "../abort.ts";
import type { ChannelOpenError } from "../errors.ts";
import type { CommandStatus, SessionOptions } from "../process.ts";
import type { Channel, ChannelObserver, LostDetails } from "./_channel.ts";
import { type CommandContext, CommandStart } from "./_command.ts";
import type { SessionRequest } from "./_session_request.ts";

/**
 * A session channel and what runs on it. It ends once: `finished()` or
 * `failed()` is called, and nothing after it.
 *
 * ```text
 * open() -> opened -> sent -> granted -> closed   finished()
 *    |         |        |        |
 *    +---------+--------+--------+------ refused, stop(), lost   failed()
 * ```
 */
export abstract class Session implements ChannelObserver {
  protected readonly context: CommandContext;
  readonly #options: SessionOptions;
  readonly #start: CommandStart;
  #channel!: Channel;
  #isOver = false;
  #stopWatching = () => {};

  /**
   * @param context The connection.
   * @param request What is asked of the server.
   * @param options The signal, and what to call.
   */
  constructor(
    context: CommandContext,
    request: SessionRequest,
    options: SessionOptions,
  ) {
    this.context = context;
    this.#options = options;
    this.#start = new CommandStart(context, request);
  }

  /** The command was sent, in this turn: more can be sent along. */
  protected sent(): void {}

  /** The server runs it. */
  protected granted(): void {}

  /** It ended, and all its output has come. */
  protected abstract finished(status: CommandStatus): void;

  /** It did not start, or did not come to its end here. */
  protected abstract failed(reason: unknown): void;

  /** What to say of it when its connection is lost. */
  protected lostDetails(): LostDetails {
    return { mayHaveRun: this.wasSent };
  }

  abstract stdout(chunk: Buffer): boolean;
  abstract stderr(chunk: Buffer): boolean;
  eof(): void {}

  /** Whether it was sent, and so may have run. */
  protected get wasSent(): boolean {
    return this.#start.wasSent;
  }

  /** Whether it has ended, one way or the other. */
  protected get isOver(): boolean {
    return this.#isOver;
  }

  protected get channel(): Channel {
    return this.#channel;
  }

  /** Asks for the channel. */
  open(): void {
    const { signal } = this.#options;
    this.#stopWatching = onAbort(signal, () => this.stop(signal?.reason));
    this.#channel = this.context.table.open(this);
  }

  opened(): void {
    try {
      this.#options.onOpen?.();
    } catch (error) {
      return this.stop(error);
    }
    // What was called may have aborted.
    if (this.#isOver) return;
    this.#start.send(this.#channel, {
      sent: () => this.sent(),
      granted: () => this.granted(),
      failed: (error) => this.stop(error),
    });
  }

  refused(error: ChannelOpenError): void {
    this.#fail(error);
  }

  closed(): void {
    if (!this.wasSent) return this.#fail(this.#start.closedEarly());
    this.#finish();
  }

  lost(): void {
    // All that a complete command had to say was said before the end.
    if (this.#channel.isComplete) return this.#finish();
    this.#fail(this.context.lost(this.#start.doing, this.lostDetails()));
  }

  /**
   * Stops what runs, and does not wait for its end.
   *
   * @param reason What `failed()` is told.
   */
  stop(reason: unknown): void {
    if (this.#isOver) return;
    if (this.wasSent) this.#channel.signal("TERM");
    this.#channel.close();
    this.#fail(reason);
  }

  #finish(): void {
    this.#end();
    this.finished(this.#channel.status);
  }

  #fail(reason: unknown): void {
    this.#end();
    this.failed(reason);
  }

  #end(): void {
    this.#isOver = true;
    this.#stopWatching();
  }
}
