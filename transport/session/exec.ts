/**
 * Running a command to its end and collecting what it writes.
 *
 * @module
 */

import { checkExit } from "./check_exit.ts";
import {
  ExecTimeoutError,
  OutputLimitError,
  type PartialOutput,
} from "../errors.ts";
import { OutputCollector } from "./_output_collector.ts";
import type {
  CommandStatus,
  ConnectionExecOptions,
  ExecResult,
  Output,
  OutputEncoding,
} from "../process.ts";
import type {
  MakeSession,
  RemoteSession,
  SessionListener,
} from "./remote_session.ts";
import { InputFeed } from "./_input_feed.ts";

/**
 * Runs a command.
 *
 * @param host The name of the host, for messages.
 * @param options The options of the command, checked.
 * @param session Makes its session.
 */
export function runCommand<Encoding extends OutputEncoding>(
  host: string,
  options: ConnectionExecOptions<Encoding>,
  session: MakeSession,
): Promise<ExecResult<Output<Encoding>>> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    // It collects what `encoding` says.
    const settle = { resolve: resolve as Settle["resolve"], reject };
    new Execution(host, options, session, settle).open();
  });
}

/** What is collected by default, both outputs together, in bytes. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

interface Settle {
  readonly resolve: (result: ExecResult<string | Uint8Array>) => void;
  readonly reject: (reason: unknown) => void;
}

class Execution implements SessionListener {
  readonly #name: string;
  readonly #options: ConnectionExecOptions;
  readonly #settle: Settle;
  readonly #session: RemoteSession;
  readonly #output: OutputCollector;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #feed: InputFeed | undefined;

  constructor(
    host: string,
    options: ConnectionExecOptions,
    session: MakeSession,
    settle: Settle,
  ) {
    this.#name = host;
    this.#options = options;
    this.#settle = settle;
    this.#output = new OutputCollector({
      maxBytes: options.maxOutputBytes ?? MAX_OUTPUT_BYTES,
      isText: options.encoding !== "bytes",
      truncates: options.onOutputLimit === "truncate",
    });
    this.#session = session(this);
  }

  open(): void {
    const { timeoutMs } = this.#options;
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => this.#onTimeout(timeoutMs), timeoutMs);
    }
    this.#session.open();
  }

  onStarted(): void {}

  onSent(): void {
    const { stdin } = this.#options;
    if (stdin === undefined) return this.#session.endInput();
    this.#feed = new InputFeed(this.#session);
    this.#feed.start(stdin);
  }

  onStdout(chunk: Uint8Array): boolean {
    if (!this.#output.stdout(chunk)) this.#terminate(() => this.#tooMuch());
    return true;
  }

  onStderr(chunk: Uint8Array): boolean {
    if (!this.#output.stderr(chunk)) this.#terminate(() => this.#tooMuch());
    return true;
  }

  onEof(): void {}

  onFinished(status: CommandStatus): void {
    this.#release();
    const { stdout, stderr } = this.output();
    const text = this.#options.encoding !== "bytes";
    const result = {
      ...status,
      stdout: text ? decode(stdout) : stdout,
      stderr: text ? decode(stderr) : stderr,
    };
    try {
      if (this.#options.check === true) checkExit(result, this.#name);
      this.#settle.resolve(result);
    } catch (error) {
      this.#settle.reject(error);
    }
  }

  onFailed(reason: unknown): void {
    this.#release();
    this.#settle.reject(reason);
  }

  output(): PartialOutput {
    return this.#output.bytes();
  }

  #onTimeout(timeoutMs: number): void {
    const host = this.#name;
    const { mayHaveRun } = this.#session;
    const doing = mayHaveRun ? "it was still running" : "it had not started";
    this.#terminate(() =>
      new ExecTimeoutError(
        `Cannot run the command on ${JSON.stringify(host)}: ` +
          `${doing} after ${timeoutMs} ms`,
        { host, timeoutMs, mayHaveRun, output: this.output() },
      )
    );
  }

  #tooMuch(): OutputLimitError {
    const host = this.#name;
    return new OutputLimitError(
      `Cannot collect the output of the command on ${JSON.stringify(host)}: ` +
        `it has more than ${this.#output.maxBytes} bytes (maxOutputBytes)`,
      {
        host,
        hint: "set maxOutputBytes higher, set onOutputLimit to " +
          '"truncate", or read the output of spawn()',
      },
    );
  }

  #terminate(reason: () => unknown): void {
    clearTimeout(this.#timer);
    this.#session.terminate(reason, this.#options.killGraceMs ?? 0);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#feed?.cancel();
  }
}

// Decoded once, at the end: a character may be split between two packets.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  return bytes.length === 0 ? "" : decoder.decode(bytes);
}
