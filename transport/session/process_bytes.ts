/**
 * The bytes of a process without web streams, for those who pass them on: for a
 * short command its streams cost more than all the rest.
 *
 * @module
 */

import type { RemoteProcess } from "../process.ts";

/** How much waits for room before the sender is stopped, in bytes. */
const MAX_HELD_BYTES = 256 * 1024;

/** Takes what a process of this library writes, without its streams. */
export const direct: unique symbol = Symbol("direct");

/** Takes output. What is to be kept has to be copied; false asks for a pause. */
export interface OutputSink {
  stdout(chunk: Uint8Array): boolean;
  stderr(chunk: Uint8Array): boolean;
}

/** The other direction of a process whose output goes to a sink. */
export interface DirectInput {
  /** Lets an output go on that the sink has paused. */
  hasRoom(name: keyof OutputSink): void;
  /** Writes to its input; rejects when it has ended. One at a time. */
  write(chunk: Uint8Array): Promise<void>;
  /** Says that no more input will come. */
  end(): void;
}

/** A process that can do without its streams. */
export interface DirectProcess extends RemoteProcess {
  /** Gives all of its output to a sink. Its streams stay empty. */
  [direct](sink: OutputSink): DirectInput;
}

/** Passes a chunk on; a promise asks for a pause until it settles. */
export type PassOn = (
  name: keyof OutputSink,
  chunk: Uint8Array,
) => Promise<void> | undefined;

/** The bytes of a process: its output is passed on, its input is written. */
export interface ProcessBytes {
  /** Settles when all output was passed on; for after the end of the process. */
  passedOn(): Promise<unknown> | undefined;
  /** Writes to its input; rejects when it has ended. One at a time. */
  write(chunk: Uint8Array): Promise<void>;
  /** Says that no more input will come. */
  end(): void;
}

/**
 * Passes the output of a process on, as it comes.
 *
 * @param process A process whose streams nobody uses.
 * @param pass Takes the output, each of the two in its order. Must not throw.
 */
export function passBytes(
  process: RemoteProcess,
  pass: PassOn,
): ProcessBytes {
  return direct in process
    ? new DirectBytes(process as DirectProcess, pass)
    : new StreamedBytes(process, pass);
}

/** A process of this library. */
class DirectBytes implements ProcessBytes {
  readonly #input: DirectInput;
  readonly #stdout: PassedOutput;
  readonly #stderr: PassedOutput;

  constructor(process: DirectProcess, pass: PassOn) {
    const out = this.#stdout = new PassedOutput(
      (chunk) => pass("stdout", chunk),
      () => this.#input.hasRoom("stdout"),
    );
    const err = this.#stderr = new PassedOutput(
      (chunk) => pass("stderr", chunk),
      () => this.#input.hasRoom("stderr"),
    );
    this.#input = process[direct]({
      stdout: (chunk) => out.take(chunk),
      stderr: (chunk) => err.take(chunk),
    });
  }

  passedOn(): Promise<unknown> | undefined {
    const { waiting: out } = this.#stdout;
    const { waiting: err } = this.#stderr;
    return out === undefined
      ? err
      : err === undefined
      ? out
      : out.then(() => err);
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#input.write(chunk);
  }

  end(): void {
    this.#input.end();
  }
}

/** One output on its way, in order. */
class PassedOutput {
  readonly #pass: (chunk: Uint8Array) => Promise<void> | undefined;
  readonly #onRoom: () => void;
  #waiting: Promise<void> | undefined;
  /** Bytes that wait behind a chunk for which there is no room. */
  #held = 0;
  #isPaused = false;

  constructor(
    pass: (chunk: Uint8Array) => Promise<void> | undefined,
    onRoom: () => void,
  ) {
    this.#pass = pass;
    this.#onRoom = onRoom;
  }

  /** Settles when all that waits has been passed on. */
  get waiting(): Promise<void> | undefined {
    return this.#waiting;
  }

  /** Takes a chunk; false asks for a pause. */
  take(chunk: Uint8Array): boolean {
    const before = this.#waiting;
    const room = before === undefined
      ? this.#pass(chunk)
      : this.#passAfter(before, new Uint8Array(chunk));
    if (room === undefined) return true;
    const waiting: Promise<void> = this.#waiting = room.then(() =>
      this.#onPassed(waiting)
    );
    // It stays paused until it is told to go on, whatever still comes before.
    this.#isPaused ||= this.#held >= MAX_HELD_BYTES;
    return !this.#isPaused;
  }

  #onPassed(waiting: Promise<void>): void {
    if (this.#waiting === waiting) this.#waiting = undefined;
    if (!this.#isPaused || this.#held > 0) return;
    this.#isPaused = false;
    this.#onRoom();
  }

  async #passAfter(before: Promise<void>, chunk: Uint8Array): Promise<void> {
    this.#held += chunk.length;
    await before;
    this.#held -= chunk.length;
    await this.#pass(chunk);
  }
}

/** A process of a connector that is not of this library. */
class StreamedBytes implements ProcessBytes {
  readonly #process: RemoteProcess;
  readonly #pumps: Promise<unknown>;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;

  constructor(process: RemoteProcess, pass: PassOn) {
    this.#process = process;
    this.#pumps = Promise.allSettled([
      pump(process.stdout, (bytes) => pass("stdout", bytes)),
      pump(process.stderr, (bytes) => pass("stderr", bytes)),
    ]);
  }

  passedOn(): Promise<unknown> {
    return this.#pumps;
  }

  get #input(): WritableStreamDefaultWriter<Uint8Array> {
    return this.#writer ??= this.#process.stdin.getWriter();
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#input.write(chunk);
  }

  end(): void {
    this.#input.close().catch(() => {});
  }
}

/** Reads a stream to its end, and passes on what it gives. */
async function pump(
  from: ReadableStream<Uint8Array>,
  pass: (bytes: Uint8Array) => Promise<void> | undefined,
): Promise<void> {
  const reader = from.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const room = pass(value);
      if (room !== undefined) await room;
    }
  } finally {
    reader.releaseLock();
  }
}
