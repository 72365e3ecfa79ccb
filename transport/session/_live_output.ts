/**
 * Output of a command that is shown while it runs, beside being collected.
 *
 * @module
 */

import process from "node:process";
import type { ConnectionExecOptions, OutputSource } from "../process.ts";
import { callersError } from "./callers_error.ts";

type Name = "stdout" | "stderr";
type Listener = (chunk: string & Uint8Array, source: OutputSource) => void;

/** Hands pieces of both outputs to the callbacks of the caller. */
export class LiveOutput {
  readonly #streams: Readonly<Record<Name, LiveStream>>;
  #tellEnded!: () => void;

  /**
   * @param host The name of the host.
   * @param options The options of the command, checked.
   */
  constructor(host: string, options: ConnectionExecOptions) {
    const ended = new Promise<void>((resolve) => this.#tellEnded = resolve);
    const source: OutputSource = Object.freeze({ host, ended });
    this.#streams = {
      stdout: new LiveStream("stdout", options, options.onStdout, source),
      stderr: new LiveStream("stderr", options, options.onStderr, source),
    };
  }

  /** Returns whether a command has callbacks for its output. */
  static isWanted(options: ConnectionExecOptions): boolean {
    const { onStdout, onStderr, stdout, stderr } = options;
    return (onStdout ?? onStderr ?? stdout ?? stderr) !== undefined;
  }

  /**
   * Hands a piece on.
   *
   * @throws What the callback of the caller throws.
   */
  add(name: Name, chunk: Uint8Array): void {
    this.#streams[name].add(chunk);
  }

  /**
   * The command has ended; halves of characters are handed on.
   *
   * @throws What a callback of the caller throws.
   */
  end(): void {
    try {
      this.#streams.stdout.end();
      this.#streams.stderr.end();
    } finally {
      this.#tellEnded();
    }
  }
}

class LiveStream {
  readonly #listener: Listener | undefined;
  readonly #source: OutputSource;
  readonly #own: NodeJS.WriteStream | undefined;
  readonly #decoder: TextDecoder | undefined;

  constructor(
    name: Name,
    options: ConnectionExecOptions,
    listener: Listener | undefined,
    source: OutputSource,
  ) {
    this.#listener = listener;
    this.#source = source;
    this.#own = options[name] === "inherit" ? process[name] : undefined;
    this.#decoder = options.encoding === "bytes"
      ? undefined
      : new TextDecoder("utf-8", { ignoreBOM: true });
  }

  add(chunk: Uint8Array): void {
    if (this.#listener === undefined && this.#own === undefined) return;
    // A copy: it may be a small window on a packet that is used again.
    const bytes = new Uint8Array(chunk);
    this.#own?.write(bytes);
    if (this.#decoder === undefined) this.#tell(bytes);
    else this.#tell(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): void {
    if (this.#decoder !== undefined) this.#tell(this.#decoder.decode());
  }

  #tell(chunk: string | Uint8Array): void {
    if (chunk.length === 0) return;
    try {
      // It is what `encoding` says.
      this.#listener?.(chunk as string & Uint8Array, this.#source);
    } catch (error) {
      throw callersError(error);
    }
  }
}
