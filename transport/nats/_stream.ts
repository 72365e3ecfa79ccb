/**
 * One stream between two peers: frames in order, with credit for data.
 *
 * @module
 */

import {
  busFrame,
  deferred,
  Frame,
  HEADER_BYTES,
  jsonBytes,
  Violation,
  wordAt,
  wordBytes,
} from "./_frames.ts";

/** What each side may send from the start, in bytes: most commands need no more. */
export const FIRST_WINDOW_BYTES = 32 * 1024;
/** The most that may be under way, in bytes. */
const MAX_WINDOW_BYTES = 1024 * 1024;

/** Why a stream is lost. */
export interface Loss {
  readonly message: string;
  /** The bus says that its first frame, and no other was sent, reached no one. */
  readonly isUndelivered: boolean;
}

/** What a stream needs of the peer that it is one of. */
export interface StreamPeer {
  readonly subject: string;
  /** The most bytes of data that a frame may have. */
  readonly chunkBytes: number;
  publish(subject: string, payload: Uint8Array, reply: string): void;
  add(stream: Stream): void;
  remove(stream: Stream): void;
  /** Takes room for a larger window, if there is some. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  /** Tells the other side that a stream is over here. */
  reset(stream: { readonly remote: string; readonly id: string }): void;
}

/** Told of what comes on a stream. What `frame` throws ends it. */
export interface StreamEvents {
  frame(type: number, payload: Uint8Array): void;
  lost(loss: Loss): void;
}

const isData = (type: number) =>
  type === Frame.out || type === Frame.err || type === Frame.input;

/** Two directions of frames, each with its numbers and its credit. */
export class Stream {
  readonly id: string;
  /** The subject of the peer. */
  readonly remote: string;
  /** Whether it is open for nothing but what others are opened on. */
  readonly isIdle: boolean;
  /** Whether it was kept when its peer seemed to be gone. */
  wasSpared = false;
  readonly #peer: StreamPeer;
  readonly #to: string;
  readonly #reply: string;
  readonly #events: StreamEvents;
  #hasHeard = false;
  #sent = 0;
  #received = 0;
  /** What may be sent. */
  #credit = FIRST_WINDOW_BYTES;
  /** What the peer may send, and what of it was not read yet. */
  #window = FIRST_WINDOW_BYTES;
  #granted = FIRST_WINDOW_BYTES;
  #unread = 0;
  #room:
    | { readonly promise: Promise<void>; resolve(value: void): void }
    | undefined;
  #isOver = false;

  constructor(
    peer: StreamPeer,
    remote: string,
    id: string,
    events: StreamEvents,
    isIdle = false,
  ) {
    this.#peer = peer;
    this.remote = remote;
    this.id = id;
    this.isIdle = isIdle;
    this.#events = events;
    this.#to = `${remote}.${id}`;
    this.#reply = `${peer.subject}.${id}`;
    peer.add(this);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** What the messages of the peer name as their sender. */
  get sender(): string {
    return this.#to;
  }

  /** Whether it has sent one frame and heard nothing. */
  get isJustOpened(): boolean {
    return !this.#hasHeard && this.#sent === 1;
  }

  /** Frames sent so far: what the peer must have received. */
  get sent(): number {
    return this.#sent;
  }

  /** Frames received so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * Sends a frame.
   *
   * @throws {Error} If it is longer than the bus takes.
   */
  send(type: number, payload?: Uint8Array): void {
    if (this.#isOver) return;
    const frame = busFrame(type, this.#sent, payload);
    this.#peer.publish(this.#to, frame, this.#reply);
    this.#sent = (this.#sent + 1) >>> 0;
  }

  sendJson(type: number, value: unknown): void {
    this.send(type, jsonBytes(value));
  }

  /**
   * Sends data, as far as there is credit.
   *
   * @returns A promise if the writer has to wait; `undefined` if there is room.
   */
  write(type: number, bytes: Uint8Array): Promise<void> | undefined {
    if (bytes.length > Math.min(this.#peer.chunkBytes, this.#credit)) {
      return this.#writeInParts(type, bytes);
    }
    if (bytes.length === 0) return undefined;
    this.#credit -= bytes.length;
    this.send(type, bytes);
    return this.#credit > 0 ? undefined : this.#waitForRoom();
  }

  async #writeInParts(type: number, bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#isOver) return;
      if (this.#credit <= 0) {
        // The caller may use its buffer again.
        rest = new Uint8Array(rest);
        await this.#waitForRoom();
        // Who waits for the other output may have taken all of it.
        continue;
      }
      const size = Math.min(this.#peer.chunkBytes, this.#credit, rest.length);
      this.#credit -= size;
      this.send(type, rest.subarray(0, size));
      rest = rest.subarray(size);
    }
  }

  #waitForRoom(): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    this.#room ??= deferred<void>();
    return this.#room.promise;
  }

  /** Gives the peer credit for what was read. */
  consumed(bytes: number): void {
    this.#unread -= bytes;
    if (this.#isOver) return;
    let free = this.#window - this.#granted - this.#unread;
    if (free < this.#window / 4) return;
    // A stream that carries much gets more, while the link has room for it.
    const more = Math.min(this.#window, MAX_WINDOW_BYTES - this.#window);
    if (more > 0 && this.#peer.reserve(more)) {
      this.#window += more;
      free += more;
    }
    this.#granted += free;
    this.send(Frame.credit, wordBytes(free));
  }

  /** Notes the frame that opened it, on the side that did not. */
  noteOpened(): void {
    this.#received = 1;
    this.#hasHeard = true;
  }

  /** Takes a message of the peer, whatever it holds. */
  receive(data: Uint8Array): void {
    if (this.#isOver) return;
    try {
      this.#take(data);
    } catch (error) {
      const why = error instanceof Violation ? error.message : "it failed here";
      this.#peer.reset(this);
      this.lose({
        message: `the peer sent nonsense: ${why}`,
        isUndelivered: false,
      });
    }
  }

  #take(data: Uint8Array): void {
    const type = data[0];
    if (data.length < HEADER_BYTES || type === undefined) {
      throw new Violation("a frame is too short");
    }
    if (type === Frame.reset) {
      const message = "the other side does not know it any more";
      return this.lose({ message, isUndelivered: false });
    }
    this.#hasHeard = true;
    const seq = wordAt(data, 1);
    if (seq !== this.#received) {
      this.#peer.reset(this);
      const message = "frames were lost on the bus";
      return this.lose({ message, isUndelivered: false });
    }
    this.#received = (this.#received + 1) >>> 0;
    const payload = data.subarray(HEADER_BYTES);
    if (type === Frame.credit) return this.#addCredit(payload);
    if (isData(type)) {
      // It would be taken for the end, and needs no credit.
      if (payload.length === 0) throw new Violation("data without a byte");
      if (payload.length > this.#granted) {
        throw new Violation("more data than was granted");
      }
      this.#granted -= payload.length;
      this.#unread += payload.length;
    }
    this.#events.frame(type, payload);
  }

  #addCredit(payload: Uint8Array): void {
    const amount = payload.length === 4 ? wordAt(payload, 0) : 0;
    if (amount === 0 || this.#credit + amount > MAX_WINDOW_BYTES) {
      throw new Violation("a wrong credit");
    }
    this.#credit += amount;
    this.#freeRoom();
  }

  /** The bus says that nobody listens at the peer. */
  undelivered(): void {
    const isUndelivered = this.isJustOpened;
    this.lose({ message: "the other side has left the bus", isUndelivered });
  }

  lose(loss: Loss): void {
    if (this.#isOver) return;
    this.end();
    this.#events.lost(loss);
  }

  /** Ends it on this side. Idempotent. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#peer.remove(this);
    this.#peer.release(this.#window - FIRST_WINDOW_BYTES);
    this.#freeRoom();
  }

  #freeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
