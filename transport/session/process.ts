/**
 * A remote process with its streams.
 *
 * @module
 */

import type { PartialOutput } from "../errors.ts";
import { OutputStream } from "./_output_stream.ts";
import type {
  CommandStatus,
  ConnectionSpawnOptions,
  ExecResult,
  PtyOptions,
  RemoteProcess,
  StdinSource,
} from "../process.ts";
import { type FeedingProcess, whenSucceeded } from "./_byte_source.ts";
import {
  direct,
  type DirectInput,
  type DirectProcess,
  type OutputSink,
} from "./process_bytes.ts";
import { exitError, OutputTail } from "./check_exit.ts";
import { InputFeed } from "./_byte_source.ts";
import { RESIZE } from "../command/option_rules.ts";
import { showValue } from "../options/show_value.ts";
import { MAX_OUTPUT_BYTES, outputLimit } from "./output_limit.ts";
import { collectOutput, linesOf, textOf } from "./process_reads.ts";
import type {
  MakeSession,
  RemoteSession,
  SessionListener,
} from "./remote_session.ts";

/** The signals of RFC 4254. */
const SIGNALS: readonly string[] =
  "ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2".split(" ");

/** Those that ask a process for something, and not to end. */
const REQUESTS: readonly string[] = ["USR1", "USR2"];

/**
 * How long its caller waits for the server's CLOSE, in milliseconds. Some servers
 * send it when the program has ended, and cannot end it.
 */
const PARTING_MS = 2_000;

/** What a process is started with. */
export interface ProcessParts {
  /** The name of the host, for messages. */
  readonly host: string;
  /** The options of the command, checked. */
  readonly options: Pick<
    ConnectionSpawnOptions,
    "check" | "signal" | "stdin" | "maxOutputBytes"
  >;
  /** Its terminal, if it has one. */
  readonly pty: PtyOptions | undefined;
  /**
   * How long its reader may leave a full output unread, once it was sent a
   * signal, in milliseconds.
   */
  readonly stallMs: number;
}

/**
 * Starts a command or a shell.
 *
 * @param parts What it is started with.
 * @param session Makes its session.
 */
export function startProcess(
  parts: ProcessParts,
  session: MakeSession,
): Promise<RemoteProcess> {
  return new Promise((resolve, reject) => {
    parts.options.signal?.throwIfAborted();
    const process = new SessionProcess(parts, session, {
      resolve: () => resolve(process),
      reject,
    });
    process.open();
  });
}

/** Of a terminal, in characters. */
interface Size {
  readonly columns: number;
  readonly rows: number;
}

interface Started {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

class SessionProcess implements FeedingProcess, DirectProcess {
  readonly status: Promise<CommandStatus>;
  readonly #out: OutputStream;
  readonly #err: OutputStream;
  readonly #session: RemoteSession;
  readonly #started: Started;
  readonly #host: string;
  /** Whether a failure is an error of the streams and of the status. */
  readonly #isChecked: boolean;
  readonly #maxOutputBytes: number;
  readonly #source: StdinSource | undefined;
  readonly #lastWords = new OutputTail();
  #stdin: WritableStream<Uint8Array> | undefined;
  #feed: InputFeed | undefined;
  #resolve!: (status: CommandStatus) => void;
  #reject!: (reason: unknown) => void;
  #size: Size;
  #hasEnded = false;
  /** Why nothing can be written any more, if it broke off. */
  #inputError: unknown;

  constructor(
    { host, options, pty, stallMs }: ProcessParts,
    session: MakeSession,
    started: Started,
  ) {
    this.#host = host;
    this.#isChecked = options.check === true;
    this.#maxOutputBytes = options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
    this.#source = options.stdin;
    this.#started = started;
    this.status = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Those who do not read it see the error in the streams.
    this.status.catch(() => {});
    const { columns = 80, rows = 24 } = pty ?? {};
    this.#size = { columns, rows };
    const onRoom = () => this.#resume();
    const onCancelled = () => this.#stop("Its output was cancelled");
    this.#out = new OutputStream({ onRoom, onCancelled }, stallMs);
    // Without an error output a process is still of use.
    this.#err = new OutputStream({ onRoom, onCancelled: onRoom }, stallMs);
    // The source writes, and nobody else.
    if (this.#source !== undefined) this.stdin.getWriter();
    this.#session = session(this.#listener());
  }

  open(): void {
    this.#session.open();
  }

  get stdin(): WritableStream<Uint8Array> {
    return this.#stdin ??= new WritableStream({
      // An end of file would make a success of half an input. Not the sink's
      // `abort()`: that waits for what is being written.
      start: ({ signal }) =>
        signal.addEventListener(
          "abort",
          () => this.#session.stop(signal.reason),
        ),
      write: (chunk) => this.#write(chunk),
      close: () => this.#session.endInput(),
    });
  }

  get stdout(): ReadableStream<Uint8Array> {
    return this.#out.stream;
  }

  get stderr(): ReadableStream<Uint8Array> {
    return this.#err.stream;
  }

  output(): Promise<ExecResult<Uint8Array>> {
    return collectOutput(this, this.#stopAtLimit());
  }

  lines(): AsyncIterable<string> {
    return linesOf(this);
  }

  text(): Promise<string> {
    return textOf(this, this.#stopAtLimit());
  }

  async json<T = unknown>(): Promise<T> {
    // The type is what the caller says.
    return JSON.parse(await this.text()) as T;
  }

  /** Takes the lengths of what is collected. */
  #stopAtLimit(): (length: number) => void {
    let left = this.#maxOutputBytes;
    return (length) => {
      if ((left -= length) >= 0) return;
      const error = outputLimit(
        this.#host,
        this.#maxOutputBytes,
        "or read the streams",
      );
      this.#session.stop(error);
      throw error;
    };
  }

  async [whenSucceeded](): Promise<void> {
    const status = await this.status;
    if (!status.success) throw this.#failure(status);
  }

  [direct]({ stdout, stderr }: OutputSink): DirectInput {
    this.#out.pourInto(stdout);
    this.#err.pourInto(stderr);
    return {
      hasRoom: (name) => (name === "stdout" ? this.#out : this.#err).goOn(),
      write: (chunk) => this.#write(chunk),
      end: () => this.#session.endInput(),
    };
  }

  kill(signal = "TERM"): void {
    const name = typeof signal === "string"
      ? signal.toUpperCase().replace(/^SIG/, "")
      : "";
    if (!SIGNALS.includes(name)) {
      throw new TypeError(
        `Cannot send the signal ${showValue(signal)}: ` +
          `it must be one of ${SIGNALS.join(", ")}`,
      );
    }
    if (this.#session.isOver) return;
    this.#session.signal(name);
    if (REQUESTS.includes(name)) return;
    // A server holds its CLOSE back behind output that nobody reads.
    this.#out.dropUnread();
    this.#err.dropUnread();
    this.#resume();
  }

  resize(size: Partial<Size>): void {
    this.#size = { ...this.#size, ...RESIZE.check(size) };
    this.#session.resize(this.#size.columns, this.#size.rows);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop("The process was disposed");
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PARTING_MS);
    });
    await Promise.race([this.#session.ended, late]);
    clearTimeout(timer);
  }

  #stop(why: string): void {
    this.#session.stop(new DOMException(why, "AbortError"));
  }

  /** An error is made for those who write: it takes longer than all the rest. */
  #throwIfEnded(): void {
    if (this.#inputError !== undefined) throw this.#inputError;
    if (this.#hasEnded) throw new TypeError("The process has ended");
  }

  async #write(chunk: Uint8Array): Promise<void> {
    this.#throwIfEnded();
    if (!(chunk instanceof Uint8Array)) {
      throw new TypeError(
        `Cannot write to stdin: the chunk is a ${typeof chunk}, must be a ` +
          "Uint8Array",
      );
    }
    await this.#session.write(chunk);
    // It may have ended before it had room for all.
    this.#throwIfEnded();
  }

  #resume(): void {
    if (!this.#out.isFull && !this.#err.isFull) this.#session.resume();
  }

  #listener(): SessionListener {
    return {
      copies: true,
      onStarted: () => this.#started.resolve(),
      onSent: () => this.#onSent(),
      onStdout: (chunk: Uint8Array) => this.#out.push(chunk),
      onStderr: (chunk: Uint8Array) => {
        this.#lastWords.add(chunk);
        return this.#err.push(chunk);
      },
      onEof: () => {
        // Whether that is a good end is not known yet.
        if (!this.#isChecked) this.#endOutputs();
      },
      onFinished: (status) => this.#onFinished(status),
      onFailed: (reason) => this.#onFailed(reason),
      output: (): PartialOutput | undefined => undefined,
    };
  }

  #onSent(): void {
    if (this.#source === undefined) return;
    this.#feed = new InputFeed(this.#session);
    this.#feed.start(this.#source);
  }

  #onFinished(status: CommandStatus): void {
    this.#feed?.cancel();
    this.#started.resolve();
    // A writer gets the error; closing the input of a process that has ended is fine.
    this.#hasEnded = true;
    if (this.#isChecked && !status.success) {
      const error = this.#failure(status);
      this.#endOutputs(error);
      this.#reject(error);
    } else {
      this.#endOutputs();
      this.#resolve(status);
    }
  }

  #failure(status: CommandStatus): Error {
    const output = { stdout: "", stderr: this.#lastWords.text() };
    return exitError({ ...status, ...output }, this.#host);
  }

  #endOutputs(error?: Error): void {
    this.#out.end(error);
    this.#err.end(error);
  }

  #onFailed(reason: unknown): void {
    this.#feed?.cancel();
    this.#started.reject(reason);
    this.#out.fail(reason);
    this.#err.fail(reason);
    this.#inputError = reason;
    this.#reject(reason);
  }
}
