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
  SessionOptions,
  SpawnOptions,
} from "../process.ts";
import type { CommandContext } from "./_command.ts";
import { OutputStream } from "./_output_stream.ts";
import { Session } from "./_session.ts";
import { commandRequest, type SessionRequest } from "./_session_request.ts";

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
    const request = commandRequest(command, options, context.env);
    const session = new ProcessSession(context, request, options, {
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

/** A command with streams. */
class ProcessSession extends Session {
  readonly out = new OutputStream(() => this.#resume());
  readonly err = new OutputStream(() => this.#resume());
  readonly stdin: WritableStream<Uint8Array>;
  readonly status: Promise<CommandStatus>;
  readonly #started: Started;
  #resolve!: (status: CommandStatus) => void;
  #reject!: (reason: unknown) => void;
  #stdinController!: WritableStreamDefaultController;

  constructor(
    context: CommandContext,
    request: SessionRequest,
    options: SessionOptions,
    started: Started,
  ) {
    super(context, request, options);
    this.#started = started;
    this.status = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // An unread status is no unhandled rejection: the streams report the error.
    this.status.catch(() => {});
    this.stdin = new WritableStream({
      start: (controller) => {
        this.#stdinController = controller;
      },
      write: (chunk) => this.channel.write(chunk),
      close: () => this.channel.eof(),
      abort: () => this.channel.eof(),
    });
  }

  override stdout(chunk: Buffer): boolean {
    return this.out.push(chunk);
  }

  override stderr(chunk: Buffer): boolean {
    return this.err.push(chunk);
  }

  override eof(): void {
    this.out.end();
    this.err.end();
  }

  signal(name: string): void {
    this.channel.signal(name);
  }

  protected override granted(): void {
    this.#started.resolve();
  }

  protected override finished(status: CommandStatus): void {
    this.#started.resolve();
    this.eof();
    // What is still written goes nowhere; a writer is told so.
    this.#stdinController.error(new TypeError("The process has ended"));
    this.#resolve(status);
  }

  protected override failed(reason: unknown): void {
    this.#started.reject(reason);
    this.out.fail(reason);
    this.err.fail(reason);
    this.#stdinController.error(reason);
    this.#reject(reason);
  }

  #resume(): void {
    if (!this.out.isFull && !this.err.isFull) this.channel.resume();
  }
}

class ChannelProcess implements RemoteProcess {
  readonly #session: ProcessSession;

  constructor(session: ProcessSession) {
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
