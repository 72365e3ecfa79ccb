/**
 * Running a command to its end and collecting what it writes.
 *
 * @module
 */

import { type CheckedCall, checkExec } from "../command/call_options.ts";
import type { Command } from "../command/command.ts";
import { checkExit } from "./check_exit.ts";
import {
  ExecTimeoutError,
  type OutputLimitError,
  type PartialOutput,
} from "../errors.ts";
import { LiveOutput } from "./_live_output.ts";
import { OutputCollector } from "./_output_collector.ts";
import { MAX_OUTPUT_BYTES, outputLimit } from "./output_limit.ts";
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
import { InputFeed } from "./_byte_source.ts";

/**
 * Checks a call of `exec()`, and runs its command.
 *
 * @param host The name of the host, for messages.
 * @param command The command, as the caller gave it.
 * @param given The options, as the caller gave them.
 * @param session Makes the session of the call; what it throws is the result.
 */
export function execCommand<Encoding extends OutputEncoding>(
  host: string,
  command: Command,
  given: ConnectionExecOptions<Encoding> | undefined,
  session: (
    call: CheckedCall<ConnectionExecOptions<Encoding>>,
    listener: SessionListener,
  ) => RemoteSession,
): Promise<ExecResult<Output<Encoding>>> {
  try {
    const call = checkExec(command, given);
    return runCommand(host, call.options, (it) => session(call, it));
  } catch (error) {
    return Promise.reject(error);
  }
}

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
  readonly #live: LiveOutput | undefined;
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
      all: options.all,
    });
    if (LiveOutput.isWanted(options)) {
      this.#live = new LiveOutput(host, options);
    }
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
    return this.#take("stdout", chunk);
  }

  onStderr(chunk: Uint8Array): boolean {
    return this.#take("stderr", chunk);
  }

  #take(name: "stdout" | "stderr", chunk: Uint8Array): boolean {
    if (!this.#output[name](chunk)) this.#terminate(() => this.#tooMuch());
    else this.#tell(() => this.#live?.add(name, chunk));
    return true;
  }

  /** Calls the caller back, whose error is the end of the command. */
  #tell(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#session.stop(error);
    }
  }

  onEof(): void {}

  onFinished(status: CommandStatus): void {
    this.#release();
    try {
      this.#live?.end();
      const result = this.#result(status);
      if (this.#options.check === true) checkExit(result, this.#name);
      this.#settle.resolve(result);
    } catch (error) {
      this.#settle.reject(error);
    }
  }

  onFailed(reason: unknown): void {
    this.#release();
    try {
      this.#live?.end();
    } catch {
      // The failure of the command is what the caller has to know.
    }
    this.#settle.reject(reason);
  }

  #result(status: CommandStatus): ExecResult<string | Uint8Array> {
    return { ...status, ...this.#output.result() };
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
    return outputLimit(
      this.#name,
      this.#output.maxBytes,
      'set onOutputLimit to "truncate", or read the output of spawn()',
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
