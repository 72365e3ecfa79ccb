/**
 * What runs on a worker for a client: a command or a shell.
 *
 * @module
 */

import { abortable } from "../abort.ts";
import { markCollected } from "../command/call_options.ts";
import type { Command } from "../command/command.ts";
import type { Connection } from "../connector.ts";
import type {
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  RemoteProcess,
  SudoOptions,
} from "../process.ts";
import { passBytes, type ProcessBytes } from "../session/process_bytes.ts";
import { EarlyPieces } from "../session/small_pieces.ts";
import {
  type Deferred,
  deferred,
  Frame,
  parseJson,
  parseObject,
  Violation,
  wordBytes,
} from "./_frames.ts";
import type { Client } from "./_clients.ts";
import type { FleetRequest, FleetWorkerOptions } from "./options.ts";
import type { Peer } from "./_peer.ts";
import type { QueueClock } from "./_queue_clock.ts";
import { Stream } from "./_stream.ts";

/** What is served for one connection of a client. */
export interface Served {
  readonly peer: Peer;
  readonly options: FleetWorkerOptions;
  readonly request: FleetRequest;
  readonly connection: Connection;
  /** The subject of the client. */
  readonly remote: string;
  readonly client: Client;
  /** What ends what is open. */
  readonly parts: Set<() => void>;
  /** Sees which commands wait: those are run when their client says so. */
  readonly clock: QueueClock;
  /** Makes JSON of an error, for the client. */
  errorJson(error: unknown): unknown;
}

/** What a client asks for, parsed. */
export type Asked = Readonly<Record<string, unknown>>;

/** How many signals and sizes may wait for a process to start. */
const MAX_EARLY = 16;

/** How long the name of a signal may be. */
const MAX_SIGNAL = 16;

const isSide = (value: unknown): value is number => typeof value === "number";
const isWord = (value: number | null): value is number =>
  value !== null && value >>> 0 === value;
const isText = (value: unknown): value is string => typeof value === "string";

/** Makes the error for what the connector of a worker cannot do. */
export function lacks(what: string): TypeError {
  return new TypeError(
    `Cannot serve this: the connector of the worker does not support ${what}`,
  );
}

/** A command or a shell. */
export class ServedProcess {
  readonly #served: Served;
  readonly #asked: Asked;
  readonly #stream: Stream;
  readonly #abort = new AbortController();
  /** Made when somebody waits for it: a short command is through before. */
  #go: Deferred<void> | undefined;
  #ready: Deferred<RemoteProcess | undefined> | undefined;
  #isReady = false;
  /** Whether it waits for the client before it is sent. */
  #isHeld: boolean;
  #isOpened = false;
  #process: RemoteProcess | undefined;
  #bytes: ProcessBytes | undefined;
  #input: Promise<unknown> = Promise.resolve();
  /** What was not written to the process yet, and whether that is to come. */
  readonly #unread = new EarlyPieces();
  #isReading = false;
  /** Signals and sizes that wait for the process. */
  #early = 0;
  #hasInputEnded: boolean;
  #isStopped = false;

  constructor(served: Served, id: string, asked: Asked) {
    this.#served = served;
    this.#asked = asked;
    this.#isHeld = asked.holds === true;
    this.#hasInputEnded = asked.noInput === true;
    this.#stream = new Stream(served.peer, served.remote, id, {
      frame: (type, payload) => this.#frame(type, payload),
      lost: () => this.#stop(),
    });
    this.#stream.noteOpened();
  }

  async run(): Promise<void> {
    const { parts, errorJson, clock } = this.#served;
    const stream = this.#stream;
    const stop = () => this.#stop();
    parts.add(stop);
    const leaveClock = this.#isHeld ? () => {} : clock.add(() => this.#queue());
    try {
      const process = this.#process = await this.#start();
      leaveClock();
      const bytes = this.#bytes = passBytes(
        process,
        (name, chunk) =>
          stream.write(name === "stdout" ? Frame.out : Frame.err, chunk),
      );
      this.#setReady(process);
      if (this.#asked.noInput === true) bytes.end();
      else stream.send(Frame.started);
      const { code, signal } = await process.status;
      await bytes.passedOn();
      this.#exit(code, signal);
    } catch (error) {
      this.#setReady(undefined);
      if (this.#isStopped) {
        await this.#process?.[Symbol.asyncDispose]();
        stream.send(Frame.closed);
      } else this.#fail(errorJson(error));
    } finally {
      leaveClock();
      parts.delete(stop);
      stream.end();
    }
  }

  #setReady(process: RemoteProcess | undefined): void {
    this.#isReady = true;
    this.#ready?.resolve(process);
  }

  #exit(code: number | null, signal: string | null): void {
    if (signal === null && isWord(code)) {
      this.#stream.send(Frame.exit, wordBytes(code));
    } else this.#stream.sendJson(Frame.exit, { code, signal });
  }

  #fail(json: unknown): void {
    this.#stream.sendJson(Frame.fail, json);
  }

  /** It waits for its turn: the client decides again when that has come. */
  #queue(): void {
    if (this.#isHeld || this.#isOpened || this.#stream.isOver) return;
    this.#isHeld = true;
    this.#stream.send(Frame.queued);
  }

  async #start(): Promise<RemoteProcess> {
    const { connection, options: { runInTrace } } = this.#served;
    const options = await this.#options();
    if (this.#asked.collects === true) markCollected(options);
    const start = () => {
      if (this.#asked.kind === "command") {
        return connection.spawn(this.#asked.line as Command, options);
      }
      if (connection.shell === undefined) throw lacks("shells");
      return connection.shell(options as ConnectionShellOptions);
    };
    const trace = traceOf(this.#asked.trace);
    if (trace === undefined || runInTrace === undefined) return await start();
    return await runInTrace(trace, start);
  }

  /** The options of the client, which the connection checks, and ours. */
  #options(): ConnectionSpawnOptions | Promise<ConnectionSpawnOptions> {
    const { options } = this.#asked;
    const given = typeof options === "object" && options !== null
      ? options as Record<string, unknown>
      : {};
    // What is about this side's own streams and files has no place here.
    const { stdin: _stdin, check: _check, ...kept } = given;
    const own: ConnectionSpawnOptions = {
      ...kept,
      signal: this.#abort.signal,
      onOpen: () => this.#onOpen(),
    };
    const { sudo } = own;
    const { sudoPassword } = this.#served.options;
    if (!sudo || sudoPassword === undefined) return own;
    const asked: SudoOptions = typeof sudo === "object" ? sudo : {};
    if (asked.password !== undefined) return own;
    return this.#withPassword(own, asked, sudoPassword);
  }

  async #withPassword(
    own: ConnectionSpawnOptions,
    sudo: SudoOptions,
    find: NonNullable<FleetWorkerOptions["sudoPassword"]>,
  ): Promise<ConnectionSpawnOptions> {
    const { user = "root" } = sudo;
    const { request } = this.#served;
    const password = await abortable(
      Promise.resolve(find({ ...request, user })),
      this.#abort.signal,
    );
    if (password === undefined) return own;
    return { ...own, sudo: { ...sudo, password } };
  }

  #onOpen(): Promise<void> | undefined {
    // The pool may try again: the client is told once.
    const isFirst = !this.#isOpened;
    this.#isOpened = true;
    if (!this.#isHeld) {
      // Whoever collects the output learns it from that, or from the end.
      if (isFirst && this.#asked.collects !== true) {
        this.#stream.send(Frame.opened, Uint8Array.of(0));
      }
      return undefined;
    }
    if (isFirst) this.#stream.send(Frame.opened, Uint8Array.of(1));
    this.#go ??= deferred<void>();
    return this.#go.promise;
  }

  #frame(type: number, payload: Uint8Array): void {
    switch (type) {
      case Frame.go:
        this.#go ??= deferred<void>();
        return this.#go.resolve();
      case Frame.stop:
        return this.#stop();
      case Frame.input:
        if (this.#hasInputEnded) throw new Violation("input after its end");
        return this.#onInput(payload);
      case Frame.eof:
        if (this.#hasInputEnded) throw new Violation("two ends of input");
        this.#hasInputEnded = true;
        return this.#then(() => this.#bytes?.end());
      case Frame.signal: {
        const name = parseJson(payload);
        const isName = isText(name) && name.length <= MAX_SIGNAL;
        if (!isName) throw new Violation("a wrong signal");
        return this.#now((process) => process.kill(name));
      }
      case Frame.resize: {
        // The numbers alone: whatever else was sent would wait with them.
        const { columns, rows } = parseObject(payload);
        if (!isSide(columns) || !isSide(rows)) throw new Violation("no size");
        return this.#now((process) => process.resize({ columns, rows }));
      }
    }
    throw new Violation(`a frame of type ${type} for a process`);
  }

  #onInput(bytes: Uint8Array): void {
    this.#unread.add(bytes);
    if (this.#isReading) return;
    this.#isReading = true;
    this.#then(async () => {
      this.#isReading = false;
      for (const piece of this.#unread.take()) {
        // It may have ended.
        await this.#bytes?.write(piece).catch(() => {});
        this.#stream.consumed(piece.length);
      }
    });
  }

  /** Does something with the process before what it reads. */
  #now(act: (process: RemoteProcess) => void): void {
    if (!this.#isReady && ++this.#early > MAX_EARLY) {
      throw new Violation("signals without end for what has not started");
    }
    this.#then(act, true);
  }

  /** Does something with the process, when it is there; input in its order. */
  #then(
    act: (process: RemoteProcess) => unknown,
    isUrgent = false,
  ): void {
    const before = isUrgent ? Promise.resolve() : this.#input;
    const done = before.then(async () => {
      const process = this.#isReady ? this.#process : await this.#whenReady();
      if (process !== undefined) await act(process);
    }).catch(() => {
      // It has ended, or it is no such signal.
    });
    if (!isUrgent) this.#input = done;
  }

  #whenReady(): Promise<RemoteProcess | undefined> {
    this.#ready ??= deferred<RemoteProcess | undefined>();
    return this.#ready.promise;
  }

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#abort.abort(new DOMException("The client has left", "AbortError"));
  }
}

/** What a client sends along for a tracer; `undefined` if it is none. */
function traceOf(value: unknown): Record<string, string> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const entries = Object.entries(value);
  const isFine = entries.length <= 8 &&
    entries.every(([name, text]) =>
      name.length <= 64 && isText(text) && text.length <= 1024
    );
  return isFine ? Object.fromEntries(entries) : undefined;
}
