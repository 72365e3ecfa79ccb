/**
 * SFTP over a session channel: the `sftp` subsystem of the server.
 *
 * @module
 */

import { onAbort } from "../abort.ts";
import { ChannelOpenError } from "../errors.ts";
import { lastWords, OutputTail } from "../session/check_exit.ts";
import { EarlyPieces } from "../session/small_pieces.ts";
import { type Sftp, startSftp } from "../sftp/mod.ts";
import type { SftpTransport } from "../sftp/transport.ts";
import type { Channel, ChannelObserver } from "./_channel.ts";
import type { Lost } from "./_lost.ts";
import type { ChannelTable } from "./_channel_table.ts";

/** What an SFTP session needs of its connection. */
export interface SftpContext {
  readonly table: ChannelTable;
  /** The name of the host. */
  readonly name: string;
  readonly lost: Lost;
  /** See `ChannelConnection`. */
  readonly endsToo: () => Promise<boolean>;
}

const DOING = "use an SFTP session";
const NO_ANSWER = { why: "the server does not answer" };

/**
 * Opens a session channel, asks for the subsystem, and starts the session.
 *
 * @param context The connection.
 * @param signal Closes the channel, as long as the session has not started.
 */
export async function openSftp(
  context: SftpContext,
  signal: AbortSignal | undefined,
): Promise<Sftp> {
  signal?.throwIfAborted();
  const transport = new ChannelTransport(context);
  let stop = () => {};
  try {
    await new Promise<void>((resolve, reject) => {
      stop = onAbort(signal, () => reject(signal?.reason));
      transport.open(resolve, reject);
    });
  } catch (error) {
    transport.close();
    throw error;
  } finally {
    stop();
  }
  // Its first word has the deadline of a request: a server may grant the
  // subsystem and start something else.
  const answered = transport.awaitWord();
  try {
    return await startSftp(transport, { host: context.name, signal });
  } finally {
    answered();
  }
}

/** A channel as the byte channel of an SFTP session. */
class ChannelTransport implements SftpTransport {
  readonly #context: SftpContext;
  #channel: Channel | undefined;
  /** The last write, while it waits for the server's window. */
  #pending: Promise<void> | undefined;
  #receive: ((bytes: Uint8Array) => void) | undefined;
  /** What came before somebody reads. */
  readonly #early = new EarlyPieces();
  #hasSpoken = false;
  readonly #stderr = new OutputTail();
  #end: ((error?: Error) => void) | undefined;
  #hasEnded: { readonly error: Error | undefined } | undefined;

  constructor(context: SftpContext) {
    this.#context = context;
  }

  /** Opens the channel and asks for the subsystem; settles once. */
  open(granted: () => void, failed: (error: Error) => void): void {
    const ended = (error: Error | undefined) => {
      failed(error ?? this.#refused("closed the channel"));
      this.#ended(error);
    };
    const observer: ChannelObserver = {
      opened: () =>
        this.#channel?.request(
          "subsystem",
          ["sftp"],
          (isGranted) => {
            if (isGranted) granted();
            else failed(this.#refused('refused the subsystem "sftp"'));
          },
        ),
      refused: ended,
      unanswered: () => ended(this.#context.lost(DOING, NO_ANSWER)),
      copies: true,
      stdout: (chunk) => {
        if (this.#receive === undefined) this.#early.add(chunk);
        else this.#receive(chunk);
        return this.#receive !== undefined;
      },
      stderr: (chunk) => {
        this.#stderr.add(chunk);
        return true;
      },
      eof: () => {
        // One that ends instead of answering: its status is still to come.
        if (this.#hasSpoken) ended(undefined);
      },
      closed: () => this.#onClosed(ended),
      lost: () => ended(this.#context.lost(DOING)),
    };
    this.#channel = this.#context.table.open(observer);
  }

  async #onClosed(ended: (error: Error | undefined) => void): Promise<void> {
    const isLost = await this.#context.endsToo();
    ended(isLost ? this.#context.lost(DOING) : undefined);
  }

  /** See `Channel.awaitWord()`. */
  awaitWord(): () => void {
    const answered = this.#channel?.awaitWord();
    return () => {
      this.#hasSpoken = true;
      answered?.();
    };
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    const written = this.#pending === undefined
      ? this.#channel?.write(bytes)
      : this.#pending.then(() => this.#channel?.write(bytes));
    if (written === undefined) return undefined;
    const pending = written.then(() => {
      if (this.#pending === pending) this.#pending = undefined;
    });
    return this.#pending = pending;
  }

  onData(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
    for (const chunk of this.#early.take()) receive(chunk);
    this.#channel?.resume();
  }

  lastWords(): string {
    const { code, signal } = this.#channel?.status ?? {};
    const parts = signal != null ? [`signal ${signal}`] : code != null
      // What a shell says of a program that it cannot find.
      ? [`exit code ${code}${code === 127 ? ", not found" : ""}`]
      : [];
    const said = lastWords(this.#stderr.text());
    if (said !== "") parts.push(said);
    return parts.join(": ");
  }

  onEnd(ended: (error?: Error) => void): void {
    this.#end = ended;
    // It may have ended between the grant and the start of the session.
    if (this.#hasEnded !== undefined) ended(this.#hasEnded.error);
  }

  ref(): void {
    this.#channel?.ref();
  }

  unref(): void {
    this.#channel?.unref();
  }

  close(): void {
    this.#channel?.close();
  }

  #ended(error: Error | undefined): void {
    this.#hasEnded ??= { error };
    this.#end?.(error);
  }

  #refused(what: string): ChannelOpenError {
    const { name } = this.#context;
    return new ChannelOpenError(
      `Cannot start SFTP on ${JSON.stringify(name)}: the server ${what}`,
      { host: name, reason: 0 },
    );
  }
}
