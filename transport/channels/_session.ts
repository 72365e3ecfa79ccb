/**
 * The life of a session channel, the same for commands, processes and shells.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { onAbort } from "../abort.ts";
import { type ChannelOpenError, SshError } from "../errors.ts";
import type { SessionOptions } from "../process.ts";
import type {
  RemoteSession,
  SessionListener,
} from "../session/remote_session.ts";
import { ChannelClosedError } from "../session/errors.ts";
import { SudoTalk } from "../session/sudo_talk.ts";
import type { Channel, ChannelObserver } from "./_channel.ts";
import {
  CommandRequests,
  doing,
  refusal,
  type SessionContext,
} from "./_command.ts";
import type { SessionRequest } from "./_session_request.ts";

/**
 * One session, from the request for its channel to its end:
 *
 *     open() --> opened --> requests sent --> granted --> CLOSE of the server
 *        |          |             |              |
 *        +----------+-------------+--------------+--> refused, lost, stop()
 */
export class Session implements ChannelObserver, RemoteSession {
  readonly #context: SessionContext;
  readonly #request: SessionRequest;
  readonly #options: SessionOptions;
  readonly #listener: SessionListener;
  readonly #stopWatching: () => void;
  /** What comes before the command, if it runs with `sudo`. */
  readonly #sudo: SudoTalk | undefined;
  #channel!: Channel;
  #isOnSpare = false;
  #wasSent = false;
  #wasGranted = false;
  #isOver = false;
  /** Why it is being stopped; its end is awaited. */
  #stopping: (() => unknown) | undefined;
  #graceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    context: SessionContext,
    request: SessionRequest,
    options: SessionOptions,
    listener: SessionListener,
  ) {
    this.#context = context;
    this.#request = request;
    this.#options = options;
    this.#listener = listener;
    this.#sudo = request.sudo && new SudoTalk(request.sudo, context.name, {
      write: (bytes) => this.#channel.write(bytes),
      started: () => this.#begun(),
      failed: (error) => this.stop(error),
    });
    const { signal } = options;
    this.#stopWatching = onAbort(signal, () => this.stop(signal?.reason));
  }

  open(): void {
    const { table } = this.#context;
    this.#isOnSpare = (table.spares?.count ?? 0) > 0;
    this.#channel = table.open(this);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get mayHaveRun(): boolean {
    return this.#wasSent;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    return this.#channel.write(chunk);
  }

  endInput(): void {
    this.#channel.eof();
  }

  resume(): void {
    this.#channel.resume();
  }

  signal(name: string): void {
    this.#channel.signal(this.#sudo?.signal(name) ?? name);
  }

  resize(columns: number, rows: number): void {
    if (this.#request.pty === undefined) return;
    this.#channel.tell("window-change", [columns, rows, 0, 0]);
  }

  get ended(): Promise<void> {
    return new Promise((resolve) => this.#channel.whenEnded(resolve));
  }

  stop(reason: unknown): void {
    if (this.#isOver) return;
    if (this.#wasSent) this.#channel.signal("TERM");
    this.#channel.close();
    this.#fail(reason);
  }

  terminate(reason: () => unknown, graceMs: number): void {
    if (this.#isOver || this.#stopping !== undefined) return;
    if (!this.#wasSent || graceMs === 0) return this.stop(reason());
    this.#stopping = reason;
    this.#channel.signal("TERM");
    this.#graceTimer = setTimeout(() => {
      this.signal("KILL");
      this.#channel.close();
      this.#fail(reason());
    }, graceMs);
  }

  opened(): void {
    try {
      const ready = this.#options.onOpen?.();
      if (ready instanceof Promise) {
        ready.then(() => this.#send(), (error) => this.stop(error));
      } else this.#send();
    } catch (error) {
      this.stop(error);
    }
  }

  #send(): void {
    // What was called may have aborted, and the channel may have ended meanwhile.
    if (this.#isOver) return;
    new CommandRequests(this.#context, this.#request, this.#channel, {
      onSent: () => {
        this.#wasSent = true;
        if (this.#sudo === undefined) this.#listener.onSent();
        else this.#sudo.begin();
      },
      onGranted: () => {
        this.#wasGranted = true;
        if (this.#sudo === undefined) this.#listener.onStarted();
      },
      onRefused: (error) => {
        // What was refused has not run, whatever was sent.
        if (!(error instanceof SshError && error.mayHaveRun)) {
          this.#wasSent = false;
        }
        this.stop(error);
      },
    }).send();
  }

  /** The command runs, and the input is its own. */
  #begun(): void {
    if (this.#isOver) return;
    this.#listener.onStarted();
    this.#listener.onSent();
  }

  get copies(): boolean | undefined {
    return this.#sudo === undefined && this.#listener.copies;
  }

  stdout(chunk: Uint8Array): boolean {
    const own = this.#sudo === undefined
      ? chunk
      : this.#sudo.stdout(bufferOf(chunk));
    return own === undefined || this.#listener.onStdout(own);
  }

  stderr(chunk: Uint8Array): boolean {
    const own = this.#sudo === undefined
      ? chunk
      : this.#sudo.stderr(bufferOf(chunk));
    return own === undefined || this.#listener.onStderr(own);
  }

  eof(): void {
    this.#listener.onEof();
  }

  refused(error: ChannelOpenError): void {
    this.#fail(error);
  }

  unanswered(): void {
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    const isOpen = this.#channel.isConfirmed;
    const what = isOpen ? doing(this.#request) : "open a channel";
    const why = "the server does not answer";
    this.#fail(this.#context.lost(what, { why, mayHaveRun: this.#wasSent }));
  }

  closed(): void {
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    if (
      this.#wasSent && this.#sudo?.isStarted === false &&
      this.#channel.hasStatus
    ) {
      this.#fail(this.#sudo.ended(this.#channel.status.code));
    } else if (this.#wasSent && this.#endedInOrder) {
      this.#finish();
    } else {
      this.#closedEarly();
    }
  }

  lost(): void {
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    // All that a complete command had to say was said before the end.
    const { hasStatus, hasAllOutput } = this.#channel;
    if (hasStatus && hasAllOutput) return this.closed();
    this.#failLost();
  }

  #failLost(): void {
    const mayHaveRun = this.#wasSent;
    this.#fail(this.#context.lost(doing(this.#request), {
      mayHaveRun,
      output: mayHaveRun ? this.#listener.output() : undefined,
    }));
  }

  /**
   * A status says how it ended. Without one, a server that granted the command
   * and sent all output may just be one that names no status; OpenSSH is none,
   * and has cut the command off.
   */
  get #endedInOrder(): boolean {
    const { hasStatus, hasAllOutput } = this.#channel;
    if (hasStatus || this.#context.namesStatus) return hasStatus;
    return this.#wasGranted && hasAllOutput;
  }

  get #wasAnswered(): boolean {
    return this.#wasGranted || this.#channel.hasStatus;
  }

  /**
   * The server closed the channel of what had not ended. If it ends the whole
   * connection, it says why there.
   */
  async #closedEarly(): Promise<void> {
    const isLost = await this.#context.endsToo();
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    // It answers each command that it reads, so it has not read this one.
    const isUnread = this.#isOnSpare && !this.#wasAnswered;
    if (isUnread) this.#wasSent = false;
    if (isLost) return this.#failLost();
    if (isUnread) {
      const why = "the server closed a channel that was opened ahead of need";
      this.#fail(this.#context.lost(doing(this.#request), { why }));
    } else if (this.#wasSent) {
      this.#fail(this.#statusMissing());
    } else {
      const why = "the server closed the channel";
      this.#fail(refusal(this.#context, this.#request, why));
    }
  }

  #statusMissing(): ChannelClosedError {
    const { name } = this.#context;
    return new ChannelClosedError(
      `Cannot tell how the ${this.#request.what} on ${
        JSON.stringify(name)
      } ended: the ` +
        "server closed its channel without saying so",
      {
        host: name,
        output: this.#listener.output(),
        hint: this.#context.namesStatus
          ? "sshd cuts off what is silent for longer than its ChannelTimeout"
          : undefined,
      },
    );
  }

  #finish(): void {
    this.#release();
    this.#listener.onFinished(this.#channel.status);
  }

  #fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#release();
    this.#listener.onFailed(reason);
  }

  #release(): void {
    this.#isOver = true;
    clearTimeout(this.#graceTimer);
    this.#sudo?.dispose();
    this.#stopWatching();
  }
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
