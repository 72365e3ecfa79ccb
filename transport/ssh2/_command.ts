/**
 * Starting a command on a session channel.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { ChannelOpenError } from "../errors.ts";
import type { Channel, Lost } from "./_channel.ts";
import type { ChannelTable } from "./_channel_table.ts";
import type { SessionRequest } from "./_session_request.ts";

/** What a command needs of its connection. */
export interface CommandContext {
  /** The channels of the connection. */
  readonly table: ChannelTable;
  /** The name of the host, for messages. */
  readonly name: string;
  /** Variables of every session. */
  readonly env: Readonly<Record<string, string>> | undefined;
  /** Where several messages are joined that can go out as one. */
  readonly socket: Duplex;
  /** The error of an operation that the end of the connection broke. */
  readonly lost: Lost;
}

/** Told how far a start has come. */
export interface StartObserver {
  /** The command was sent, in this turn: more can be sent along. */
  sent(): void;
  /** The server runs it. */
  granted(): void;
  /** The server refuses. */
  failed(error: ChannelOpenError): void;
}

/** The start of a command, on a channel that has just opened. */
export class CommandStart {
  readonly #context: CommandContext;
  readonly #request: SessionRequest;
  #wasSent = false;

  /**
   * @param context The connection.
   * @param request What to ask for.
   */
  constructor(context: CommandContext, request: SessionRequest) {
    this.#context = context;
    this.#request = request;
  }

  /** Whether the command was sent, and so may have run. */
  get wasSent(): boolean {
    return this.#wasSent;
  }

  /** What is done, for messages. */
  get doing(): string {
    return "run the command";
  }

  /**
   * Sends it.
   *
   * @param channel The channel.
   * @param observer Told of what comes of it.
   */
  send(channel: Channel, observer: StartObserver): void {
    this.#together(() => {
      this.#sendEnvironment(channel);
      const { pty } = this.#request;
      if (pty === undefined) return this.#sendLine(channel, observer);
      const { term = "xterm-256color", columns = 80, rows = 24 } = pty;
      // The answer is awaited, one round trip more: without a terminal the
      // command is another one, and must not run.
      channel.request(
        (protocol, id) =>
          protocol.pty(id, rows, columns, 0, 0, term, null, true),
        (granted) => {
          if (granted) this.#sendLine(channel, observer);
          else observer.failed(this.#refusal("the server grants no terminal"));
        },
      );
    });
  }

  /** The error of a channel that the server closed before it was of use. */
  closedEarly(): ChannelOpenError {
    return this.#refusal("the server closed the channel");
  }

  #sendLine(channel: Channel, observer: StartObserver): void {
    this.#together(() => {
      this.#wasSent = true;
      channel.request(
        (protocol, id) => protocol.exec(id, this.#request.line, true),
        (granted) => {
          if (granted) {
            channel.started();
            return observer.granted();
          }
          this.#wasSent = false; // Refused, so it has not run.
          observer.failed(this.#refusal("the server refused the command"));
        },
      );
      observer.sent();
    });
  }

  #sendEnvironment(channel: Channel): void {
    for (const [name, value] of Object.entries(this.#request.env)) {
      // Without asking for an answer: a variable that the server does not
      // accept fails nothing, with ssh neither.
      channel.tell((protocol, id) => protocol.env(id, name, value, false));
    }
    const { raw } = this.#context.table;
    if (raw.config.allowAgentFwd !== true || raw._agentFwdEnabled) return;
    // Once for each connection, as sshd keeps one socket for all of them.
    raw._agentFwdEnabled = true;
    channel.request(
      (protocol, id) => protocol.openssh_agentForward(id, true),
      (granted) => raw._agentFwdEnabled = granted,
    );
  }

  #refusal(why: string): ChannelOpenError {
    const { name } = this.#context;
    return new ChannelOpenError(
      `Cannot ${this.doing} on ${JSON.stringify(name)}: ${why}`,
      { host: name, reason: 0 },
    );
  }

  /**
   * One write, one system call and one TCP segment for what is written
   * together. Not by `cork()`: what Deno does then takes four times as long as
   * a write of the same bytes in one piece.
   */
  #together(write: () => void): void {
    const { socket } = this.#context;
    if (Object.hasOwn(socket, "write")) return write(); // within another
    const chunks: Uint8Array[] = [];
    const collect = (chunk: Uint8Array) => chunks.push(chunk) > 0;
    socket.write = collect as typeof socket.write;
    try {
      write();
    } finally {
      // The stream's own method shows again.
      delete (socket as Partial<Duplex>).write;
      if (chunks.length > 0) socket.write(Buffer.concat(chunks));
    }
  }
}
