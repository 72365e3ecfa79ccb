/**
 * A remote process with its streams.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Command } from "../command.ts";
import type {
  CommandStatus,
  ExecResult,
  RemoteProcess,
  SpawnOptions,
} from "../process.ts";
import type { ChannelOpenError } from "../errors.ts";
import type { Channel, ChannelObserver } from "./_channel.ts";
import { type CommandContext, CommandStart } from "./_command.ts";
import { OutputStream } from "./_output_stream.ts";

/** The signals of RFC 4254. */
const SIGNALS: readonly string[] =
  "ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2".split(" ");

/**
 * Starts a command.
 *
 * @param context The connection.
 * @param command The command.
 * @param options Its options.
 */
export function spawnCommand(
  context: CommandContext,
  command: Command,
  options: SpawnOptions,
): Promise<RemoteProcess> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const session = new Session(context, command, options, {
      resolve: () => resolve(new ChannelProcess(session)),
      reject,
    });
    session.open();
  });
}

interface Started {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** What the channel tells, and what the process makes of it. */
class Session implements ChannelObserver {
  readonly out = new OutputStream(() => this.#resume());
  readonly err = new OutputStream(() => this.#resume());
  readonly stdin: WritableStream<Uint8Array>;
  readonly status: Promise<CommandStatus>;
  readonly #context: CommandContext;
  readonly #options: SpawnOptions;
  readonly #started: Started;
  readonly #start: CommandStart;
  #channel!: Channel;
  #resolve!: (status: CommandStatus) => void;
  #reject!: (reason: unknown) => void;
  #stdinController!: WritableStreamDefaultController;
  #isEnded = false;

  constructor(
    context: CommandContext,
    command: Command,
    options: SpawnOptions,
    started: Started,
  ) {
    this.#context = context;
    this.#options = options;
    this.#started = started;
    this.#start = new CommandStart(context, command, options);
    this.status = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever does not read it is told by the streams.
    this.status.catch(() => {});
    this.stdin = new WritableStream({
      start: (controller) => {
        this.#stdinController = controller;
      },
      write: (chunk) => this.#channel.write(chunk),
      close: () => this.#channel.eof(),
      abort: () => this.#channel.eof(),
    });
  }

  open(): void {
    const { signal } = this.#options;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#channel = this.#context.table.open(this);
  }

  opened(): void {
    try {
      this.#options.onOpen?.();
    } catch (error) {
      return this.stop(error);
    }
    this.#start.send(this.#channel, (error) => {
      if (error === undefined) this.#started.resolve();
      else this.stop(error);
    });
  }

  stdout(chunk: Buffer): boolean {
    return this.out.push(chunk);
  }

  stderr(chunk: Buffer): boolean {
    return this.err.push(chunk);
  }

  eof(): void {
    this.out.end();
    this.err.end();
  }

  closed(): void {
    if (!this.#start.wasSent) return this.#fail(this.#start.closedEarly());
    this.#finish();
  }

  refused(error: ChannelOpenError): void {
    this.#fail(error);
  }

  lost(): void {
    // All that a complete command had to say was said before the end.
    if (this.#channel.isComplete) return this.#finish();
    this.#fail(this.#context.lost("run the command", {
      mayHaveRun: this.#start.wasSent,
    }));
  }

  signal(name: string): void {
    this.#channel.signal(name);
  }

  /** Stops the remote process, and does not wait for it. */
  stop(reason: unknown): void {
    if (this.#isEnded) return;
    if (this.#start.wasSent) this.#channel.signal("TERM");
    this.#channel.close();
    this.#fail(reason);
  }

  readonly #onAbort = (): void => this.stop(this.#options.signal?.reason);

  #resume(): void {
    if (!this.out.isFull && !this.err.isFull) this.#channel.resume();
  }

  #finish(): void {
    this.#end();
    this.#started.resolve();
    this.out.end();
    this.err.end();
    // What is still written goes nowhere; a writer is told so.
    this.#stdinController.error(new TypeError("The process has ended"));
    this.#resolve(this.#channel.status);
  }

  #fail(reason: unknown): void {
    this.#end();
    this.#started.reject(reason);
    this.out.fail(reason);
    this.err.fail(reason);
    this.#stdinController.error(reason);
    this.#reject(reason);
  }

  #end(): void {
    this.#isEnded = true;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}

class ChannelProcess implements RemoteProcess {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  get stdin(): WritableStream<Uint8Array> {
    return this.#session.stdin;
  }

  get stdout(): ReadableStream<Uint8Array> {
    return this.#session.out.stream;
  }

  get stderr(): ReadableStream<Uint8Array> {
    return this.#session.err.stream;
  }

  get status(): Promise<CommandStatus> {
    return this.#session.status;
  }

  async output(): Promise<ExecResult<Uint8Array>> {
    // Somebody may hold its lock, and then closes it himself.
    if (!this.stdin.locked) this.stdin.close().catch(() => {});
    const [stdout, stderr, status] = await Promise.all([
      collect(this.stdout),
      collect(this.stderr),
      this.status,
    ]);
    return { ...status, stdout, stderr };
  }

  kill(signal = "TERM"): void {
    const name = signal.toUpperCase().replace(/^SIG/, "");
    if (!SIGNALS.includes(name)) {
      throw new TypeError(
        `Cannot send the signal ${JSON.stringify(signal)}: ` +
          `it must be one of ${SIGNALS.join(", ")}`,
      );
    }
    this.#session.signal(name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    const reason = new DOMException("The process was disposed", "AbortError");
    this.#session.stop(reason);
    return Promise.resolve();
  }
}

async function collect(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
