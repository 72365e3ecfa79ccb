/**
 * Running a command to its end and collecting what it writes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Command } from "../command.ts";
import type { ExecOptions, ExecResult } from "../process.ts";
import {
  type ChannelOpenError,
  ExecTimeoutError,
  OutputLimitError,
  type PartialOutput,
} from "../errors.ts";
import type { Channel, ChannelObserver } from "./_channel.ts";
import { type CommandContext, CommandStart } from "./_command.ts";

/**
 * Runs a command.
 *
 * @param context The connection.
 * @param command The command.
 * @param options Its options.
 */
export function runCommand(
  context: CommandContext,
  command: Command,
  options: ExecOptions,
): Promise<ExecResult<string | Uint8Array>> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    new Execution(context, command, options, { resolve, reject }).start();
  });
}

interface Settle {
  readonly resolve: (result: ExecResult<string | Uint8Array>) => void;
  readonly reject: (reason: unknown) => void;
}

class Execution implements ChannelObserver {
  readonly #context: CommandContext;
  readonly #options: ExecOptions;
  readonly #settle: Settle;
  readonly #start: CommandStart;
  readonly #out: Buffer[] = [];
  readonly #err: Buffer[] = [];
  readonly #limit: number;
  #size = 0;
  #channel!: Channel;
  #isSettled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stdin: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(
    context: CommandContext,
    command: Command,
    options: ExecOptions,
    settle: Settle,
  ) {
    this.#context = context;
    this.#options = options;
    this.#settle = settle;
    this.#limit = options.maxOutputBytes ?? Infinity;
    this.#start = new CommandStart(context, command, options);
  }

  start(): void {
    const { signal, timeoutMs } = this.#options;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => this.#onTimeout(timeoutMs), timeoutMs);
    }
    this.#channel = this.#context.table.open(this);
  }

  opened(): void {
    try {
      this.#options.onOpen?.();
    } catch (error) {
      return this.#stop(error);
    }
    this.#start.send(this.#channel, (error) => {
      if (error !== undefined) this.#stop(error);
    }, () => this.#feed());
  }

  stdout(chunk: Buffer): boolean {
    return this.#collect(this.#out, chunk);
  }

  stderr(chunk: Buffer): boolean {
    return this.#collect(this.#err, chunk);
  }

  eof(): void {}

  closed(): void {
    if (!this.#start.wasSent) this.#reject(this.#start.closedEarly());
    else this.#finish();
  }

  refused(error: ChannelOpenError): void {
    this.#reject(error);
  }

  lost(): void {
    // All that a complete command had to say was said before the end.
    if (this.#channel.isComplete) return this.#finish();
    const mayHaveRun = this.#start.wasSent;
    this.#reject(this.#context.lost("run the command", {
      mayHaveRun,
      output: mayHaveRun ? this.#output() : undefined,
    }));
  }

  readonly #onAbort = (): void => this.#stop(this.#options.signal?.reason);

  #onTimeout(timeoutMs: number): void {
    const { name } = this.#context;
    const mayHaveRun = this.#start.wasSent;
    const doing = mayHaveRun ? "it was still running" : "it had not started";
    this.#stop(
      new ExecTimeoutError(
        `Cannot run the command on ${JSON.stringify(name)}: ` +
          `${doing} after ${timeoutMs} ms`,
        { host: name, timeoutMs, mayHaveRun, output: this.#output() },
      ),
    );
  }

  #collect(chunks: Buffer[], chunk: Buffer): boolean {
    this.#size += chunk.length;
    chunks.push(chunk);
    if (this.#size > this.#limit) {
      const { name } = this.#context;
      this.#stop(
        new OutputLimitError(
          `Cannot collect the output of the command on ${
            JSON.stringify(name)
          }: it has more than ${this.#limit} bytes`,
          { host: name },
        ),
      );
    }
    return true;
  }

  /** Stops the remote process, and does not wait for it. */
  #stop(reason: unknown): void {
    if (this.#isSettled) return;
    if (this.#start.wasSent) this.#channel.signal("TERM");
    this.#channel.close();
    this.#reject(reason);
  }

  #reject(reason: unknown): void {
    this.#release();
    this.#settle.reject(reason);
  }

  #finish(): void {
    this.#release();
    const { stdout, stderr } = this.#output();
    const text = this.#options.encoding !== "bytes";
    this.#settle.resolve({
      ...this.#channel.status,
      stdout: text ? decode(stdout) : stdout,
      stderr: text ? decode(stderr) : stderr,
    });
  }

  #release(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    // A command may end before it has read all that it was given.
    this.#stdin?.cancel().catch(() => {});
  }

  #output(): PartialOutput {
    return { stdout: join(this.#out), stderr: join(this.#err) };
  }

  #feed(): void {
    const { stdin } = this.#options;
    if (stdin === undefined) return this.#channel.eof();
    if (stdin instanceof ReadableStream) {
      this.#stdin = stdin.getReader();
      void this.#pump(this.#stdin);
      return;
    }
    const bytes = typeof stdin === "string" ? Buffer.from(stdin) : stdin;
    const pending = this.#channel.write(bytes);
    if (pending === undefined) this.#channel.eof();
    else pending.then(() => this.#channel.eof());
  }

  async #pump(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    try {
      while (!this.#isSettled) {
        const { done, value } = await reader.read();
        if (done) return this.#channel.eof();
        await this.#channel.write(value);
      }
    } catch (error) {
      this.#stop(error);
    }
  }
}

function join(chunks: readonly Buffer[]): Uint8Array {
  // Copied also when there is only one: a Buffer may be a small window on a
  // large packet, or on ssh2's pool.
  let size = 0;
  for (const chunk of chunks) size += chunk.length;
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

// Decoded once, at the end: a character may be split between two packets.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  return bytes.length === 0 ? "" : decoder.decode(bytes);
}
