import { onAbort } from "../abort.ts";
import { ConnectionLostError, SshError } from "../errors.ts";
import { joinBytes } from "../bytes.ts";
import { SftpError } from "./errors.ts";
import {
  PacketReader,
  PacketType,
  PacketWriter,
  protocolError,
} from "./packets.ts";
import { OpeningText } from "./_opening_text.ts";
import { PacketBuffers, PacketSplitter, TextError } from "./splitter.ts";
import type { SftpTransport } from "./transport.ts";

/** Packets up to this size, all together, are sent as one piece. */
const SMALL_BYTES = 16 * 1024;
/** What a channel sends in one message. */
const MESSAGE_BYTES = 32 * 1024;
/** What is under way at once at least, in bytes: four or five large requests. */
const MIN_WINDOW_BYTES = 1024 * 1024;
/** And at most. */
const MAX_WINDOW_BYTES = 4 * 1024 * 1024;
/** Faster than a cipher: what a link carries in a millisecond at most. */
const BYTES_PER_MS = 512 * 1024;
const NOTHING = new Uint8Array();

interface Outgoing {
  readonly id: number;
  readonly packet: Uint8Array;
  readonly payload: Uint8Array | undefined;
}

/**
 * What an operation has done so far: one that takes several requests may have
 * changed something before the one that fails.
 */
export interface Effects {
  /** Whether it has, or may have, changed something on the server. */
  isDone: boolean;
}

/** Options of one request. */
export interface RequestOptions {
  /** Gives the request up: its answer is dropped when it comes. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes that follow the packet, as part of it: data that is not copied. */
  readonly payload?: Uint8Array | undefined;
  /** Whether it changes something on the server. */
  readonly changes?: boolean;
  /** What the operation has done that this request is part of. */
  readonly effects?: Effects | undefined;
  /** Told of the answer to a request that was given up. */
  readonly onLateAnswer?: (answer: PacketReader) => void;
}

/** A request without an answer yet. */
interface Pending {
  /** Settles it; `undefined` once it was given up. */
  settle: Settle | undefined;
  readonly changes: boolean;
  readonly effects: Effects;
  readonly onLateAnswer: ((answer: PacketReader) => void) | undefined;
  isSent: boolean;
  /** When it was sent, if no other was under way. */
  readonly aloneSince: number | undefined;
}

interface Settle {
  resolve(answer: PacketReader): void;
  reject(error: unknown): void;
}

/**
 * The requests of one session: any number in flight, each with an id of its
 * own. Answers may come in any order. When the session ends every request
 * settles, and so does every later one.
 */
export class Requests {
  /** The memory of large answers. */
  readonly buffers: PacketBuffers = new PacketBuffers();
  readonly #transport: SftpTransport;
  readonly #host: string | undefined;
  readonly #pending = new Map<number, Pending>();
  /** What waits for room in the transport, by id, in its order. */
  readonly #queue = new Map<number, Outgoing>();
  readonly #onVersion: (packet: PacketReader) => void;
  readonly #ended: Promise<void>;
  readonly #watchers = new Set<() => void>();
  #isBlocked = false;
  #isPumping = false;
  #nextId = 0;
  #roundTripMs = Infinity;
  #end: { readonly error: Error | undefined } | undefined;
  #hasVersion = false;
  /** What came instead of the first packet. */
  #text: OpeningText | undefined;

  /**
   * Starts the session: sends INIT.
   *
   * @param transport The channel, which this owns from here on.
   * @param host The name of the host for errors.
   * @param onVersion Called with the server's VERSION.
   */
  constructor(
    transport: SftpTransport,
    host: string | undefined,
    onVersion: (packet: PacketReader) => void,
  ) {
    this.#transport = transport;
    this.#host = host;
    this.#onVersion = onVersion;
    this.#ended = new Promise((resolve) => void this.onEnd(resolve));
    const splitter = new PacketSplitter(
      (packet) => this.#receive(packet),
      this.buffers,
    );
    // In this order: what came before the end is heard before it.
    transport.onData((bytes) => {
      if (this.#end !== undefined) return;
      if (this.#text !== undefined) return this.#text.add(bytes);
      try {
        splitter.push(bytes);
      } catch (error) {
        if (error instanceof TextError) this.#onText(error.bytes);
        else this.end(error as Error);
      }
    });
    transport.onEnd((error) => this.end(error ?? this.#closedByServer()));
    this.#write({
      id: 0,
      packet: new PacketWriter(PacketType.INIT).u32(3).finish(0),
      payload: undefined,
    });
  }

  /** Whether the session has ended. */
  get isEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Resolves when the session has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /**
   * Calls back when the session ends, or at once if it has.
   *
   * @returns Forgets the callback.
   */
  onEnd(callback: () => void): () => void {
    if (this.isEnded) callback();
    // Two calls with one function are two entries.
    const entry = () => callback();
    this.#watchers.add(entry);
    return () => void this.#watchers.delete(entry);
  }

  /** Requests that wait for an answer, those that were given up included. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /**
   * The bytes to read or write ahead: as many as fill the link. More would wait
   * for their turn, and leave the caches of the processors meanwhile.
   */
  get windowBytes(): number {
    const bytes = this.#roundTripMs * BYTES_PER_MS;
    return Math.min(MAX_WINDOW_BYTES, Math.max(MIN_WINDOW_BYTES, bytes));
  }

  /**
   * Sends a request.
   *
   * @returns The answer, whatever its type.
   * @throws {ConnectionLostError} If the channel is lost first.
   * @throws {SftpError} If the session is closed first.
   */
  send(
    writer: PacketWriter,
    options: RequestOptions = {},
  ): Promise<PacketReader> {
    const { signal, payload, changes = false, onLateAnswer } = options;
    const { effects = { isDone: false } } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#end !== undefined) {
      return Promise.reject(this.endError(effects.isDone));
    }
    return new Promise((resolve, reject) => {
      const id = this.#freeId();
      const isAlone = this.#pending.size === 0;
      const pending: Pending = {
        settle: { resolve, reject },
        changes,
        effects,
        onLateAnswer,
        isSent: false,
        aloneSince: isAlone ? performance.now() : undefined,
      };
      if (isAlone) this.#transport.ref?.();
      this.#pending.set(id, pending);
      if (signal !== undefined) this.#watch(id, pending, signal);
      const packet = writer.finish(id, payload?.length);
      this.#write({ id, packet, payload });
    });
  }

  /**
   * Ends the session: closes the channel, and every request rejects.
   *
   * @param error Why; none if this side closes it.
   */
  end(error?: Error): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#text?.stop();
    this.#queue.clear();
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const { changes, isSent, effects } of all) {
      if (changes && isSent) effects.isDone = true;
    }
    for (const { settle, effects } of all) {
      settle?.reject(this.endError(effects.isDone));
    }
    this.#transport.close();
    for (const tell of [...this.#watchers]) tell();
    this.#watchers.clear();
  }

  #watch(id: number, pending: Pending, signal: AbortSignal): void {
    const settle = pending.settle as Settle;
    const giveUp = () => {
      pending.settle = undefined;
      // What was not sent yet is not sent at all.
      if (this.#queue.delete(id)) this.#forget(id);
      settle.reject(signal.reason);
    };
    const done = onAbort(signal, giveUp);
    pending.settle = {
      resolve: (answer) => (done(), settle.resolve(answer)),
      reject: (error) => (done(), settle.reject(error)),
    };
  }

  #forget(id: number): void {
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#transport.unref?.();
  }

  #freeId(): number {
    do this.#nextId = (this.#nextId + 1) >>> 0; while (
      this.#pending.has(this.#nextId)
    );
    return this.#nextId;
  }

  #write(outgoing: Outgoing): void {
    this.#queue.set(outgoing.id, outgoing);
    if (this.#isPumping) return;
    // Not in this turn: what is asked for in one turn goes out in one piece.
    this.#isPumping = true;
    queueMicrotask(() => {
      this.#isPumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.#isBlocked && this.#end === undefined) {
      const pieces = this.#takePieces();
      if (pieces.length === 0) return;
      let room: Promise<void> | undefined;
      for (const piece of pieces) room = this.#transport.write(piece) ?? room;
      if (room === undefined) continue;
      this.#isBlocked = true;
      room.then(() => {
        this.#isBlocked = false;
        this.#pump();
      }, (error) => this.end(error));
    }
  }

  /** Takes small packets out of the queue as one piece, a large one alone. */
  #takePieces(): Uint8Array[] {
    const small: Uint8Array[] = [];
    let bytes = 0;
    for (const [id, { packet, payload = NOTHING }] of this.#queue) {
      const length = packet.length + payload.length;
      if (bytes > 0 && bytes + length > SMALL_BYTES) break;
      this.#queue.delete(id);
      const pending = this.#pending.get(id);
      if (pending !== undefined) pending.isSent = true;
      if (length > SMALL_BYTES) return messagesOf(packet, payload);
      small.push(packet, payload);
      bytes += length;
    }
    return bytes === 0 ? [] : [joinBytes(small)];
  }

  #receive(packet: Uint8Array): void {
    if (this.#end !== undefined) return;
    const answer = new PacketReader(packet);
    if (!this.#hasVersion) {
      if (answer.type !== PacketType.VERSION) {
        throw protocolError(`its first packet has type ${answer.type}`);
      }
      this.#hasVersion = true;
      this.#onVersion(answer);
      if (this.#pending.size === 0) this.#transport.unref?.();
      return;
    }
    const id = answer.u32();
    const pending = this.#pending.get(id);
    if (pending === undefined || !pending.isSent) {
      throw protocolError(`an answer to request ${id}, which was not sent`);
    }
    this.#forget(id);
    if (pending.aloneSince !== undefined) this.#timed(pending.aloneSince);
    if (pending.settle !== undefined) pending.settle.resolve(answer);
    else pending.onLateAnswer?.(answer);
  }

  /** The least counts: one side may have been busy. But a way can grow longer. */
  #timed(since: number): void {
    const ms = performance.now() - since;
    this.#roundTripMs = Math.min(ms, 2 * this.#roundTripMs);
  }

  #onText(bytes: Uint8Array): void {
    this.#text = new OpeningText((error) => this.end(error));
    this.#text.add(bytes);
  }

  #closedByServer(): SftpError {
    const words = this.#transport.lastWords?.() ?? "";
    if (this.#text !== undefined) return this.#text.end(words);
    const doing = this.#hasVersion ? "go on with" : "start";
    const said = words === "" ? "" : `: ${words}`;
    return new SftpError(
      "SSH_SFTP_CLOSED",
      `Cannot ${doing} the SFTP session${this.#on()}: ` +
        `the server closed it${said}`,
      { host: this.#host },
    );
  }

  /**
   * Makes the error of a request that meets the end of the session.
   *
   * @param mayHaveRun Whether it may have changed something on the server.
   * @returns The error.
   */
  endError(mayHaveRun = false): Error {
    const error = this.#end?.error;
    const options = {
      host: this.#host,
      mayHaveRun,
      cause: error,
      hint: error instanceof SshError ? error.hint : undefined,
    };
    if (error === undefined) {
      return new SftpError(
        "SSH_SFTP_CLOSED",
        `Cannot use the SFTP session${this.#on()}: it is closed`,
        { host: this.#host, mayHaveRun },
      );
    }
    if (error instanceof SftpError) {
      return new SftpError(error.code, error.message, options);
    }
    return new ConnectionLostError(
      error instanceof ConnectionLostError
        ? error.message
        : `Lost the SFTP session${this.#on()}: ${error.message}`,
      options,
    );
  }

  #on(): string {
    return this.#host === undefined ? "" : ` on "${this.#host}"`;
  }
}

/**
 * Puts the start of the data behind its packet: a message of its own for a few
 * bytes costs each side of the connection as much as a large one.
 */
function messagesOf(packet: Uint8Array, payload: Uint8Array): Uint8Array[] {
  const room = Math.max(0, MESSAGE_BYTES - packet.length);
  const first = joinBytes([packet, payload.subarray(0, room)]);
  const rest = payload.subarray(room);
  return rest.length === 0 ? [first] : [first, rest];
}
