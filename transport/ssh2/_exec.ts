/**
 * Running a command to its end and collecting what it writes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Command } from "../command.ts";
import type { CommandStatus, ExecOptions, ExecResult } from "../process.ts";
import {
  ExecTimeoutError,
  OutputLimitError,
  type PartialOutput,
} from "../errors.ts";
import type { LostDetails } from "./_channel.ts";
import type { CommandContext } from "./_command.ts";
import { Session } from "./_session.ts";
import { commandRequest } from "./_session_request.ts";

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
    new Execution(context, command, options, { resolve, reject }).open();
  });
}

interface Settle {
  readonly resolve: (result: ExecResult<string | Uint8Array>) => void;
  readonly reject: (reason: unknown) => void;
}

/** A command whose output is collected. */
class Execution extends Session {
  readonly #options: ExecOptions;
  readonly #settle: Settle;
  readonly #out: Buffer[] = [];
  readonly #err: Buffer[] = [];
  readonly #limit: number;
  #size = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stdin: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(
    context: CommandContext,
    command: Command,
    options: ExecOptions,
    settle: Settle,
  ) {
    super(context, commandRequest(command, options, context.env), options);
    this.#options = options;
    this.#settle = settle;
    this.#limit = options.maxOutputBytes ?? Infinity;
  }

  override open(): void {
    const { timeoutMs } = this.#options;
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => this.#onTimeout(timeoutMs), timeoutMs);
    }
    super.open();
  }

  override stdout(chunk: Buffer): boolean {
    return this.#collect(this.#out, chunk);
  }

  override stderr(chunk: Buffer): boolean {
    return this.#collect(this.#err, chunk);
  }

  protected override lostDetails(): LostDetails {
    const mayHaveRun = this.wasSent;
    return { mayHaveRun, output: mayHaveRun ? this.#output() : undefined };
  }

  protected override finished(status: CommandStatus): void {
    this.#release();
    const { stdout, stderr } = this.#output();
    const text = this.#options.encoding !== "bytes";
    this.#settle.resolve({
      ...status,
      stdout: text ? decode(stdout) : stdout,
      stderr: text ? decode(stderr) : stderr,
    });
  }

  protected override failed(reason: unknown): void {
    this.#release();
    this.#settle.reject(reason);
  }

  protected override sent(): void {
    this.#feed();
  }

  #onTimeout(timeoutMs: number): void {
    const { name } = this.context;
    const mayHaveRun = this.wasSent;
    const doing = mayHaveRun ? "it was still running" : "it had not started";
    this.stop(
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
      const { name } = this.context;
      this.stop(
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

  #release(): void {
    clearTimeout(this.#timer);
    // A command may end before it has read all that it was given.
    this.#stdin?.cancel().catch(() => {});
  }

  #output(): PartialOutput {
    return { stdout: join(this.#out), stderr: join(this.#err) };
  }

  #feed(): void {
    const { stdin } = this.#options;
    if (stdin === undefined) return this.channel.eof();
    if (stdin instanceof ReadableStream) {
      this.#stdin = stdin.getReader();
      void this.#pump(this.#stdin);
      return;
    }
    const bytes = typeof stdin === "string" ? Buffer.from(stdin) : stdin;
    const pending = this.channel.write(bytes);
    if (pending === undefined) this.channel.eof();
    else pending.then(() => this.channel.eof());
  }

  async #pump(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    try {
      while (!this.isOver) {
        const { done, value } = await reader.read();
        if (done) return this.channel.eof();
        await this.channel.write(value);
      }
    } catch (error) {
      this.stop(error);
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
