/**
 * A command or a shell that runs on a worker, as the client sees it.
 *
 * @module
 */

import { onAbort } from "../abort.ts";
import { mayHold } from "../command/call_options.ts";
import { SudoError } from "../command/errors.ts";
import {
  ConnectionLostError,
  type PartialOutput,
  SshError,
} from "../errors.ts";
import type { CommandStatus, SessionOptions } from "../process.ts";
import type {
  RemoteSession,
  SessionListener,
} from "../session/remote_session.ts";
import { failureOf } from "./_failure.ts";
import {
  Frame,
  isId,
  newId,
  parseJson,
  parseObject,
  Violation,
  wordAt,
} from "./_frames.ts";
import type { Peer } from "./_peer.ts";
import type { StreamRequest } from "./_requests.ts";
import { type Loss, Stream } from "./_stream.ts";

/** What was opened so soon has not waited at the worker, in milliseconds. */
const CALM_MS = 20;
/** The payload of `opened`, of a command that was not held back. */
const NOT_HELD = Uint8Array.of(0);

/** What is open on a connection. */
export interface ConnectionPart {
  /** Whether it was just asked for, and has an answer of its own to come. */
  readonly isJustOpened: boolean;
  lost(loss: Loss): void;
}

/** The connection of a session. */
export interface SessionOwner {
  readonly peer: Peer;
  /** The subject of the worker. */
  readonly worker: string;
  /** Whether commands have to wait at the worker: they go when they are told to. */
  isCrowded: boolean;
  add(part: ConnectionPart, isSession: boolean): void;
  remove(part: ConnectionPart, isSession: boolean): void;
  /** Sends the frame that opens something on this connection. */
  sendOpen(stream: Stream, request: StreamRequest): void;
  lost(
    doing: string,
    why: string,
    details?: {
      readonly mayHaveRun?: boolean;
      readonly output?: PartialOutput | undefined;
    },
  ): ConnectionLostError;
}

/**
 * One session:
 *
 *     open() --> sent --> opened --> started --> exit
 *                  |         ^
 *                  +-> queued -> go: it runs from here on
 */
export class FleetSession implements RemoteSession, ConnectionPart {
  readonly ended: Promise<void>;
  readonly #connection: SessionOwner;
  readonly #request: StreamRequest;
  readonly #options: SessionOptions;
  readonly #listener: SessionListener;
  readonly #stopWatching: () => void;
  #stream: Stream | undefined;
  #wasSent = false;
  #sentAt = 0;
  /** Whether the worker runs it after `go` alone. */
  #isHeld: boolean;
  #wasOpened = false;
  #hasStarted = false;
  /** Whether the worker has said that it runs or has ended, or sent its output. */
  #hasRun = false;
  #isOver = false;
  #isPaused = false;
  /** Bytes of output for which the worker has no credit yet. */
  #unread = 0;
  #stopping: (() => unknown) | undefined;
  #graceTimer: ReturnType<typeof setTimeout> | undefined;
  #tellEnded!: () => void;
  #hasEnded = false;

  constructor(
    connection: SessionOwner,
    request: StreamRequest,
    options: SessionOptions,
    listener: SessionListener,
  ) {
    this.#connection = connection;
    this.#isHeld = connection.isCrowded || mayHold(options);
    this.#request = this.#isHeld ? { ...request, holds: true } : request;
    this.#options = options;
    this.#listener = listener;
    this.ended = new Promise((resolve) => this.#tellEnded = resolve);
    const { signal } = options;
    this.#stopWatching = onAbort(signal, () => this.stop(signal?.reason));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get isJustOpened(): boolean {
    return this.#stream?.isJustOpened === true;
  }

  get mayHaveRun(): boolean {
    return this.#wasSent && !this.#isHeld;
  }

  open(): void {
    const { peer, worker } = this.#connection;
    this.#connection.add(this, true);
    this.#stream = new Stream(peer, worker, newId(), {
      frame: (type, payload) => this.#frame(type, payload),
      lost: (loss) => this.lost(loss),
    });
    if (peer.isDown) {
      const message = "the bus is not connected";
      return this.lost({ message, isUndelivered: true });
    }
    try {
      this.#connection.sendOpen(this.#stream, this.#request);
      this.#wasSent = true;
      this.#sentAt = performance.now();
    } catch (error) {
      this.#fail(error);
    }
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#isOver) return undefined;
    return this.#stream?.write(Frame.input, chunk);
  }

  endInput(): void {
    if (this.#isOver || this.#request.noInput === true) return;
    this.#stream?.send(Frame.eof);
  }

  resume(): void {
    this.#isPaused = false;
    const unread = this.#unread;
    this.#unread = 0;
    if (unread > 0) this.#stream?.consumed(unread);
  }

  signal(name: string): void {
    if (!this.#isOver) this.#stream?.sendJson(Frame.signal, name);
  }

  resize(columns: number, rows: number): void {
    if (this.#isOver) return;
    this.#stream?.sendJson(Frame.resize, { columns, rows });
  }

  stop(reason: unknown): void {
    if (this.#isOver) return;
    this.#stream?.send(Frame.stop);
    // Its slot is free when the worker says so.
    this.#fail(reason, this.#stream?.isOver === false);
  }

  terminate(reason: () => unknown, graceMs: number): void {
    if (this.#isOver || this.#stopping !== undefined) return;
    if (graceMs === 0 || !this.mayHaveRun) return this.stop(reason());
    this.#stopping = reason;
    this.signal("TERM");
    this.#graceTimer = setTimeout(() => {
      this.signal("KILL");
      this.stop(reason());
    }, graceMs);
  }

  lost({ message, isUndelivered }: Loss): void {
    if (this.#isOver) return this.#end();
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    const mayHaveRun = this.mayHaveRun && !isUndelivered;
    const output = mayHaveRun ? this.#listener.output() : undefined;
    const details = { mayHaveRun, output };
    this.#fail(this.#connection.lost("run the command", message, details));
  }

  #frame(type: number, payload: Uint8Array): void {
    switch (type) {
      case Frame.out:
      case Frame.err:
        return this.#onOutput(type, payload);
      case Frame.queued:
        if (this.#wasOpened) throw new Violation("it waits, and was opened");
        this.#connection.isCrowded = true;
        this.#isHeld = true;
        return;
      case Frame.opened:
        return this.#onOpened(payload);
      case Frame.started:
        // Its input would be sent again.
        if (this.#hasStarted) throw new Violation("it was started twice");
        this.#hasStarted = true;
        this.#noteRuns();
        if (this.#isOver) return;
        this.#listener.onStarted();
        return this.#listener.onSent();
      case Frame.exit:
        return this.#onExit(statusOf(payload));
      case Frame.fail:
        return this.#onFail(payload);
      case Frame.closed:
        return this.lost({
          message: "the worker ended it",
          isUndelivered: false,
        });
    }
    throw new Violation(`a frame of type ${type} for a session`);
  }

  #onOpened(payload: Uint8Array): void {
    if (this.#isOver) return;
    const isHeld = payload[0] === 1;
    if (isHeld !== this.#isHeld || this.#wasOpened) {
      // Whatever it says next: it may have run unasked.
      this.#isHeld = false;
      throw new Violation("another way to open");
    }
    this.#wasOpened = true;
    const waited = performance.now() - this.#sentAt;
    if (waited < CALM_MS) this.#connection.isCrowded = false;
    try {
      const ready = this.#options.onOpen?.();
      if (!isHeld) return;
      if (!(ready instanceof Promise)) return this.#go();
      ready.then(() => this.#go(), (error) => this.stop(error));
    } catch (error) {
      this.stop(error);
    }
  }

  #go(): void {
    if (this.#isOver) return;
    this.#isHeld = false;
    this.#stream?.send(Frame.go);
  }

  /** A command that is collected is not said to be open: its output says so. */
  #noteRuns(): void {
    if (!this.#wasOpened || this.#isHeld) this.#onOpened(NOT_HELD);
    this.#hasRun = true;
  }

  #onOutput(type: number, payload: Uint8Array): void {
    const size = payload.length;
    this.#noteRuns();
    if (this.#isOver) return this.#stream?.consumed(size);
    const goesOn = type === Frame.out
      ? this.#listener.onStdout(payload)
      : this.#listener.onStderr(payload);
    if (!goesOn) this.#isPaused = true;
    if (this.#isPaused) this.#unread += size;
    else this.#stream?.consumed(size);
  }

  #onExit(status: CommandStatus): void {
    this.#noteRuns();
    if (this.#isOver) return this.#end();
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    this.#release();
    this.#end();
    this.#listener.onEof();
    this.#listener.onFinished(status);
  }

  #onFail(payload: Uint8Array): void {
    if (this.#isOver) return this.#end();
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    let error = failureOf(payload, this.mayHaveRun);
    // Of what was seen to run nobody can say that it has not, but sudo.
    const isDenied = error instanceof SshError && !error.mayHaveRun &&
      !(error instanceof SudoError);
    if (this.#hasRun && isDenied) {
      const details = { mayHaveRun: true };
      error = this.#connection.lost("go on", error.message, details);
    }
    if (error instanceof ConnectionLostError && error.mayHaveRun) {
      const value = this.#listener.output();
      Object.defineProperty(error, "output", { value, enumerable: false });
    }
    this.#fail(error);
  }

  /** @param waits Whether the worker has still to say that it has ended. */
  #fail(reason: unknown, waits = false): void {
    if (this.#isOver) return;
    this.#release();
    if (!waits) this.#end();
    this.#listener.onFailed(reason);
  }

  #release(): void {
    this.#isOver = true;
    clearTimeout(this.#graceTimer);
    this.#stopWatching();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stream?.end();
    this.#connection.remove(this, true);
    this.#tellEnded();
  }
}

function statusOf(payload: Uint8Array): CommandStatus {
  if (payload.length === 4) {
    const code = wordAt(payload, 0);
    return { success: code === 0, code, signal: null };
  }
  const { code = null, signal = null } = parseObject(payload);
  const isCode = code === null ||
    (typeof code === "number" && Number.isSafeInteger(code) && code >= 0);
  const isSignal = signal === null ||
    (typeof signal === "string" && /^[A-Za-z0-9@.+-]{1,64}$/.test(signal));
  if (!isCode || !isSignal) throw new Violation("a wrong exit status");
  return {
    success: code === 0 && signal === null,
    code: code as number | null,
    signal: signal as string | null,
  };
}

/** The name of a stream that the worker opens. */
export function incomingId(payload: Uint8Array): string {
  const id = parseJson(payload);
  if (!isId(id)) throw new Violation("a wrong name of a stream");
  return id;
}
