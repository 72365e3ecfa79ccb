/** One session channel of a memory connection: a scripted process. */

import type {
  CommandStatus,
  ExecOptions,
  ExecResult,
  RemoteProcess,
} from "../process.ts";
import type { PartialOutput } from "../errors.ts";
import { checkExit } from "../_check_exit.ts";
import { openStdin } from "../stdin.ts";
import { collectOutput, linesOf, textOf } from "../process_reads.ts";
import {
  type CommandContext,
  type CommandResult,
  type CommandScript,
  runScript,
} from "./commands.ts";
import { until } from "./_gate.ts";

/** As much as an SSH window: a writer ahead of its reader by more has to wait. */
const WINDOW_BYTES = 2 * 1024 * 1024;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Encodes text; lets bytes through. */
export function toBytes(chunk: string | Uint8Array): Uint8Array {
  return typeof chunk === "string" ? encoder.encode(chunk) : chunk;
}

/** Gives output as the options ask for it. */
function encode(
  chunk: string | Uint8Array = "",
  options: ExecOptions,
): string | Uint8Array {
  if (options.encoding === "bytes") return toBytes(chunk);
  return typeof chunk === "string" ? chunk : decoder.decode(chunk);
}

/** Gives the result as the options ask for it, or throws what `check` says. */
export function resultOf(
  { success, code, signal }: CommandStatus,
  output: Pick<CommandResult, "stdout" | "stderr">,
  options: ExecOptions,
  host: string,
): ExecResult<string | Uint8Array> {
  const stdout = encode(output.stdout, options);
  const stderr = encode(output.stderr, options);
  const result = { success, code, signal, stdout, stderr };
  if (options.check === true) checkExit(result, host);
  return result;
}

class Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  #controller!: TransformStreamDefaultController<Uint8Array>;

  constructor() {
    const size = (chunk?: Uint8Array) => chunk?.byteLength ?? 0;
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(
      { start: (controller) => void (this.#controller = controller) },
      undefined,
      { highWaterMark: WINDOW_BYTES, size },
    );
    this.readable = readable;
    this.writable = writable;
  }

  /** Ends both sides: with an error, or as if the peer were gone. */
  end(error?: unknown): void {
    if (error === undefined) this.#controller.terminate();
    else this.#controller.error(error);
  }
}

/** What a channel needs of its connection. */
export interface ChannelOwner {
  /** Called once, when the channel has ended: its slot is free. */
  release(channel: MemoryChannel): void;
}

/**
 * A channel from its open request to its close. Whatever ends it early calls
 * {@linkcode MemoryChannel.fail}, which settles everything that waits on it.
 */
export class MemoryChannel implements RemoteProcess {
  readonly line: string;
  readonly status: Promise<CommandStatus>;
  /** Whether the command's request was sent: it may have run. */
  sent = false;
  #in = new Pipe();
  #out = new Pipe();
  #err = new Pipe();
  #stop = new AbortController();
  #process = new AbortController();
  #owner: ChannelOwner;
  #ended = false;
  #resolve!: (status: CommandStatus) => void;
  #collected: [Uint8Array[], Uint8Array[]] = [[], []];

  constructor(line: string, owner: ChannelOwner) {
    this.line = line;
    this.#owner = owner;
    this.status = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.signal.addEventListener("abort", () => reject(this.signal.reason));
    });
    this.status.catch(() => {});
  }

  get stdin(): WritableStream<Uint8Array> {
    return this.#in.writable;
  }

  get stdout(): ReadableStream<Uint8Array> {
    return this.#out.readable;
  }

  get stderr(): ReadableStream<Uint8Array> {
    return this.#err.readable;
  }

  /** Aborts when the channel fails, with the error. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** What was collected before the channel failed. */
  get collected(): PartialOutput {
    const [stdout, stderr] = this.#collected;
    return { stdout: concat(stdout), stderr: concat(stderr) };
  }

  /** Starts the script; `close` is the gate before the channel's end. */
  run(
    script: CommandScript,
    place: Pick<CommandContext, "env" | "host">,
    close: () => Promise<void>,
  ): void {
    this.sent = true;
    const out = this.#out.writable.getWriter();
    const err = this.#err.writable.getWriter();
    const write =
      (writer: WritableStreamDefaultWriter<Uint8Array>) =>
      async (chunk: string | Uint8Array) => {
        this.#process.signal.throwIfAborted();
        // A cancelled output swallows, as an SSH client's does.
        await until(
          writer.write(toBytes(chunk)).catch(() => {}),
          this.#process.signal,
        );
      };
    const context: CommandContext = {
      command: this.line,
      ...place,
      stdin: this.#in.readable,
      signal: this.#process.signal,
      write: write(out),
      writeError: write(err),
    };
    const end = async () => {
      const result = await runScript(script, context);
      const last = (
        writer: WritableStreamDefaultWriter<Uint8Array>,
        chunk: string | Uint8Array = "",
      ) =>
        (chunk.length > 0 ? writer.write(toBytes(chunk)) : Promise.resolve())
          .then(() => writer.close()).catch(() => {});
      await Promise.all([last(out, result.stdout), last(err, result.stderr)]);
      await close();
      this.#finish(result);
    };
    end().catch((error) => this.fail(error));
  }

  /** Ends the channel early. Idempotent; synchronous in all that matters. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#end();
    this.#stop.abort(error);
    this.#process.abort("HUP");
    for (const pipe of [this.#in, this.#out, this.#err]) pipe.end(error);
  }

  kill(signal = "TERM"): void {
    this.#process.abort(signal);
  }

  output(): Promise<ExecResult<Uint8Array>> {
    return collectOutput(this);
  }

  lines(): AsyncIterable<string> {
    return linesOf(this);
  }

  text(): Promise<string> {
    return textOf(this);
  }

  /** Nothing: there is no terminal. */
  resize(_size: { readonly columns: number; readonly rows: number }): void {}

  /** Feeds and collects as `exec` does; `onBytes` may fail the channel. */
  async collect(
    stdin: ExecOptions["stdin"],
    onBytes: (bytes: number) => void,
  ): Promise<ExecResult<Uint8Array>> {
    this.#feed(stdin).catch((error) => this.fail(error));
    const [out, err] = this.#collected;
    const work = Promise.all([
      this.status,
      collect(this.stdout, onBytes, out),
      collect(this.stderr, onBytes, err),
    ]);
    const [status] = await until(work, this.signal);
    return { ...status, ...this.collected };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fail(new DOMException("The process was disposed of", "AbortError"));
    await this.status.catch(() => {});
  }

  #finish(result: CommandResult): void {
    if (this.#ended) return;
    this.#end();
    this.#in.end();
    this.#resolve(statusOf(result));
  }

  #end(): void {
    this.#ended = true;
    this.#owner.release(this);
  }

  async #feed(stdin: ExecOptions["stdin"]): Promise<void> {
    const writer = this.stdin.getWriter();
    if (stdin !== undefined) {
      const input = openStdin(stdin);
      if (input instanceof Uint8Array) {
        if (input.length > 0) await writer.write(input);
      } else {
        const stop = () => input.cancel();
        this.status.then(stop, stop);
        for (;;) {
          const piece = await input.next();
          if (piece === undefined) break;
          // A command may end before it has read all.
          await writer.write(piece).catch(stop);
        }
      }
    }
    await writer.close().catch(() => {});
  }
}

/** Turns a scripted result into what the treaty gives. */
export function statusOf(result: CommandResult): CommandStatus {
  const signal = result.signal ?? null;
  const code = signal === null
    ? result.code === undefined ? 0 : result.code
    : null;
  return { success: code === 0, code, signal };
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  onBytes: (bytes: number) => void,
  into: Uint8Array[] = [],
): Promise<Uint8Array[]> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return into;
    into.push(value);
    onBytes(value.byteLength);
  }
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, c) => sum + c.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
