/**
 * What a command reads, as bytes that come one piece after the other.
 *
 * @module
 */

import { joinBytes } from "../bytes.ts";
import {
  bytesOf,
  isBlob,
  isNodeReadable,
  isProcess,
  isReadableStream,
  type ProcessSource,
  STDIN_ALLOWED,
  stdinFault,
} from "../command/stdin.ts";
import { showType } from "../options/show_value.ts";
import type { CommandStatus, RemoteProcess, StdinSource } from "../process.ts";
import { encodeText } from "../sftp/names.ts";
import { callBack, callersError } from "./callers_error.ts";
import { exitError } from "./check_exit.ts";
import { readAlong } from "./process_reads.ts";
import type { RemoteSession } from "./remote_session.ts";

/** Bytes that come one piece after the other. */
export interface ByteSource {
  /**
   * Gives the next piece.
   *
   * @returns The piece; `undefined` at the end.
   * @throws {TypeError} If the source yields what is neither bytes nor text.
   * @throws {CommandError} If the source is a process that did not succeed.
   */
  next(): Promise<Uint8Array | undefined>;
  /** Tells the source that nothing more is read. Never throws. */
  cancel(reason?: unknown): void;
}

/**
 * Begins to read a source.
 *
 * @param source The source; a stream is locked from here on.
 * @returns All bytes where they are at hand, else the pieces.
 * @throws {TypeError} If it is none, or it is being read.
 */
export function openStdin(source: StdinSource): Uint8Array | ByteSource {
  if (typeof source === "string") return encodeText(source);
  const fault = stdinFault(source);
  if (fault !== undefined) {
    throw new TypeError(
      `Cannot read stdin: it is ${fault}, must be ${STDIN_ALLOWED}`,
    );
  }
  const bytes = bytesOf(source);
  if (bytes !== undefined) return bytes;
  if (isBlob(source)) return new Pieces(fromStream(source.stream()));
  if (isReadableStream(source)) return new Pieces(fromStream(source));
  if (isProcess(source)) return new Pieces(fromProcess(source));
  return new Pieces(fromIterable(source as AsyncIterable<unknown>));
}

/** A source before its pieces are looked at. */
interface RawSource {
  next(): Promise<{ readonly done?: boolean; readonly value?: unknown }>;
  cancel(reason: unknown): unknown;
}

function fromStream(stream: ReadableStream<unknown>): RawSource {
  const reader = stream.getReader();
  return {
    next: () => reader.read(),
    cancel: (reason) => reader.cancel(reason),
  };
}

/** What a process of this library tells the command that reads its output. */
export const whenSucceeded: unique symbol = Symbol("whenSucceeded");

/** A process that knows its host, and what it wrote to standard error last. */
export interface FeedingProcess extends RemoteProcess {
  /**
   * Resolves when it has exited with code 0.
   *
   * @throws {CommandError} If it ended otherwise.
   */
  [whenSucceeded](): Promise<void>;
}

/** Its end is one of the input only if the process has succeeded. */
function fromProcess(process: ProcessSource): RawSource {
  const { next, cancel } = fromStream(process.stdout);
  if (isFeeding(process)) readAlong(process);
  return {
    next: async () => {
      const piece = await next();
      if (piece.done !== true) return piece;
      if (isFeeding(process)) await process[whenSucceeded]();
      const status: unknown = await process.status;
      if (!isStatus(status)) {
        throw new TypeError(
          "Cannot read stdin: the status of the process resolved to " +
            `${showType(status)}, must be an object with success`,
        );
      }
      if (status.success) return piece;
      throw exitError({ ...status, stdout: "", stderr: "" });
    },
    cancel,
  };
}

function isStatus(status: unknown): status is CommandStatus {
  return typeof status === "object" && status !== null &&
    "success" in status && typeof status.success === "boolean";
}

function isFeeding(process: ProcessSource): process is FeedingProcess {
  return whenSucceeded in process;
}

function fromIterable(source: AsyncIterable<unknown>): RawSource {
  const iterator = source[Symbol.asyncIterator]();
  return {
    // A source of the caller may throw instead of rejecting.
    next: async () => await iterator.next(),
    cancel: () => {
      // The iterator of a Node stream would first wait for another piece.
      if (isNodeReadable(source)) source.destroy();
      return iterator.return?.();
    },
  };
}

class Pieces implements ByteSource {
  readonly #raw: RawSource;
  /** The first half of a character that two strings share. */
  #half = "";
  #isOver = false;

  constructor(raw: RawSource) {
    this.#raw = raw;
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#isOver) return undefined;
    const { done, value } = await this.#raw.next().catch((error) => {
      throw callersError(error);
    });
    if (this.#isOver) return undefined;
    if (done === true) return this.#last();
    if (typeof value === "string") return this.#encode(value);
    const bytes = typeof value === "object" && value !== null
      ? bytesOf(value)
      : undefined;
    if (bytes === undefined) {
      throw new TypeError(
        `Cannot read stdin: it yielded ${
          showType(value)
        }, must yield a Uint8Array or a string`,
      );
    }
    return this.#half === "" ? bytes : joinBytes([this.#flush(), bytes]);
  }

  cancel(reason?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // Not awaited: a generator that waits for something returns after that.
    (async () => await this.#raw.cancel(reason))().catch(() => {});
  }

  #last(): Uint8Array | undefined {
    this.#isOver = true;
    return this.#half === "" ? undefined : this.#flush();
  }

  #encode(text: string): Uint8Array {
    const whole = this.#half + text;
    const isSplit = /[\ud800-\udbff]$/.test(whole);
    this.#half = isSplit ? whole.slice(-1) : "";
    return encodeText(isSplit ? whole.slice(0, -1) : whole);
  }

  /** Half a character that nothing completes becomes U+FFFD. */
  #flush(): Uint8Array {
    const bytes = encodeText(this.#half);
    this.#half = "";
    return bytes;
  }
}

/** Sends a source to a session; a source that fails stops the session. */
export class InputFeed {
  readonly #session: RemoteSession;
  #source: ByteSource | undefined;

  /** @param session The session that reads it. */
  constructor(session: RemoteSession) {
    this.#session = session;
  }

  /** Sends all of it, and then the end of the input. */
  start(stdin: StdinSource): void {
    try {
      const input = callBack(() => openStdin(stdin));
      if (input instanceof Uint8Array) return this.#sendAll(input);
      this.#source = input;
      void this.#send(input);
    } catch (error) {
      // The stream was taken after it was checked, or the source has thrown.
      this.#session.stop(error);
    }
  }

  /** The session is over: it may not have read all that it was given. */
  cancel(): void {
    this.#source?.cancel();
  }

  #sendAll(bytes: Uint8Array): void {
    const pending = this.#session.write(bytes);
    if (pending === undefined) this.#session.endInput();
    else pending.then(() => this.#session.endInput());
  }

  async #send(input: ByteSource): Promise<void> {
    try {
      while (!this.#session.isOver) {
        const piece = await input.next();
        if (piece === undefined) return this.#session.endInput();
        await this.#session.write(piece);
      }
    } catch (error) {
      this.#session.stop(error);
    }
  }
}
