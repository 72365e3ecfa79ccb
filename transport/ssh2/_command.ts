/**
 * Starting a command on a session channel.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { type Command, commandLine } from "../command.ts";
import type { SpawnOptions } from "../process.ts";
import { ChannelOpenError } from "../errors.ts";
import type { Channel, Lost } from "./_channel.ts";
import type { ChannelTable } from "./_channel_table.ts";

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

/** A command that is to run: its line, its variables, its terminal. */
export class CommandStart {
  readonly #context: CommandContext;
  readonly #options: SpawnOptions;
  readonly #line: string;
  #wasSent = false;

  /**
   * @param context The connection.
   * @param command The command.
   * @param options Its options.
   * @throws {TypeError} If the command is none.
   */
  constructor(
    context: CommandContext,
    command: Command,
    options: SpawnOptions,
  ) {
    this.#context = context;
    this.#options = options;
    this.#line = commandLine(command);
  }

  /** Whether the command was sent, and so may have run. */
  get wasSent(): boolean {
    return this.#wasSent;
  }

  /**
   * Sends it, on a channel that has just opened.
   *
   * @param channel The channel.
   * @param answered Told once: undefined if it runs, else why it does not.
   * @param then Called when the command has been sent, to send more at once.
   */
  send(
    channel: Channel,
    answered: (error: ChannelOpenError | undefined) => void,
    then: () => void = () => {},
  ): void {
    this.#together(() => {
      this.#sendEnvironment(channel);
      if (this.#options.pty !== true) {
        return this.#sendLine(channel, answered, then);
      }
      // The answer is awaited, one round trip more: without a terminal the
      // command is another one, and must not run.
      channel.request(
        (protocol, id) => protocol.pty(id, 24, 80, 0, 0, "xterm", null, true),
        (granted) => {
          if (granted) this.#sendLine(channel, answered, then);
          else answered(this.#refusal("the server grants no terminal"));
        },
      );
    });
  }

  /** The error of a channel that the server closed before it was of use. */
  closedEarly(): ChannelOpenError {
    return this.#refusal("the server closed the channel");
  }

  #sendLine(
    channel: Channel,
    answered: (error: ChannelOpenError | undefined) => void,
    then: () => void,
  ): void {
    this.#together(() => {
      this.#wasSent = true;
      channel.request(
        (protocol, id) => protocol.exec(id, this.#line, true),
        (granted) => {
          // Refused, so it has not run.
          if (granted) channel.started();
          else this.#wasSent = false;
          answered(
            granted
              ? undefined
              : this.#refusal("the server refused the command"),
          );
        },
      );
      then();
    });
  }

  #sendEnvironment(channel: Channel): void {
    const env = { ...this.#context.env, ...this.#options.env };
    for (const [name, value] of Object.entries(env)) {
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
      `Cannot run the command on ${JSON.stringify(name)}: ${why}`,
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
