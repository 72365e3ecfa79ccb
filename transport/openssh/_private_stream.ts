/**
 * A private socket to which programs that `ssh` starts connect, without any
 * tool but `ssh` itself: `ssh -S path -O proxy -T x y` joins its standard
 * streams with a channel of what listens there. Here that side is played for
 * that one channel.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { rename } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { HELLO, MUX_VERSION, numberAt, PROXIED, PROXY } from "./_control.ts";
import { type FrameField, frameOf, FrameSplitter } from "./_frames.ts";

/** Messages of RFC 4254. */
const GLOBAL_REQUEST = 80;
const REQUEST_FAILURE = 82;
const OPEN = 90;
const OPEN_CONFIRMATION = 91;
const OPEN_FAILURE = 92;
const WINDOW_ADJUST = 93;
const DATA = 94;
const EOF = 96;
const CLOSE = 97;
const REQUEST = 98;
const SUCCESS = 99;
const FAILURE = 100;

const PROHIBITED = 1;
/** The socket itself holds back: there is one channel on it. */
const WINDOW_BYTES = 2 ** 31 - 1;
const PACKET_BYTES = 32 * 1024;
const MAX_WINDOW = 2 ** 32 - 1;

type Done = (error?: Error | null) => void;

/**
 * Listens on a path, and gives a stream for each `ssh` that connects.
 *
 * @param path The path of the socket, in a folder that only its owner can enter.
 * @param onStream Owns the stream, whose late errors are of no interest.
 */
export async function serveStreams(
  path: string,
  onStream: (stream: Duplex) => void,
): Promise<Server> {
  const server = createServer(
    (socket) => void new PrivateStream(socket, onStream),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(`${path}~`, () => resolve());
  });
  // It has its name once it is listened on: to find one that refuses
  // connections means that its process is gone, and its folder is swept.
  await rename(`${path}~`, path);
  return server;
}

/** The one channel of a control connection. */
class PrivateStream extends Duplex {
  readonly #socket: Socket;
  readonly #onStream: (stream: Duplex) => void;
  #frames = 0;
  #remoteId: number | undefined;
  #outbound = 0;
  #maxPacket = PACKET_BYTES;
  #rest: Buffer | undefined;
  #written: Done | undefined;
  #sentClose = false;

  constructor(socket: Socket, onStream: (stream: Duplex) => void) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#onStream = onStream;
    this.on("error", () => {});
    socket.on("error", () => this.destroy());
    socket.on("close", () => this.destroy());
    const splitter = new FrameSplitter();
    socket.on("data", (chunk) => {
      try {
        splitter.push(chunk as Buffer, (frame) => this.#onFrame(frame));
      } catch {
        this.destroy();
      }
    });
    socket.write(frameOf(HELLO, MUX_VERSION));
  }

  #onFrame(frame: Buffer): void {
    const count = ++this.#frames;
    if (count > 2) return this.#onPacket(frame);
    const type = numberAt(frame, 0);
    if (type !== (count === 1 ? HELLO : PROXY)) {
      throw new Error(`ssh asked for ${type}, which is not offered here`);
    }
    const request = numberAt(frame, 4);
    if (count === 2) this.#socket.write(frameOf(PROXIED, request));
  }

  /** A byte that has no use here, the type of the message, and the message. */
  #onPacket(frame: Buffer): void {
    const type = frame[1];
    switch (type) {
      case GLOBAL_REQUEST: {
        const end = 6 + numberAt(frame, 2);
        if (frame[end] === 1) this.#send(REQUEST_FAILURE);
        return;
      }
      case OPEN:
        return this.#onOpen(frame);
    }
    if (this.#remoteId === undefined) throw new Error("no channel is open");
    switch (type) {
      case WINDOW_ADJUST:
        this.#outbound = Math.min(
          MAX_WINDOW,
          this.#outbound + numberAt(frame, 6),
        );
        return this.#flush();
      case DATA: {
        const data = bytesAt(frame, 6);
        this.#send(WINDOW_ADJUST, this.#remoteId, data.length);
        if (data.length > 0 && !this.push(data)) this.#socket.pause();
        return;
      }
      case EOF:
        return void this.push(null);
      case CLOSE:
        this.push(null);
        return this.#close();
      case REQUEST:
        return this.#onRequest(frame);
    }
  }

  #onOpen(frame: Buffer): void {
    const at = 6 + bytesAt(frame, 2).length;
    const id = numberAt(frame, at);
    if (this.#remoteId !== undefined) {
      return this.#send(OPEN_FAILURE, id, PROHIBITED, "", "");
    }
    this.#remoteId = id;
    this.#outbound = numberAt(frame, at + 4);
    this.#maxPacket = Math.min(PACKET_BYTES, numberAt(frame, at + 8));
    this.#send(OPEN_CONFIRMATION, id, 0, WINDOW_BYTES, PACKET_BYTES);
  }

  #onRequest(frame: Buffer): void {
    const name = bytesAt(frame, 6).toString();
    const wantsReply = frame[10 + Buffer.byteLength(name)] === 1;
    const isExec = name === "exec";
    if (wantsReply) this.#send(isExec ? SUCCESS : FAILURE, this.#remoteId!);
    if (isExec) this.#onStream(this);
  }

  #send(type: number, ...fields: readonly FrameField[]): void {
    if (!this.#socket.writable) return;
    this.#socket.write(frameOf(Buffer.from([0, type]), ...fields));
  }

  #flush(): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    let at = 0;
    while (at < rest.length) {
      const size = Math.min(rest.length - at, this.#outbound, this.#maxPacket);
      if (size === 0) break;
      this.#outbound -= size;
      const piece = rest.subarray(at, at + size);
      this.#send(DATA, this.#remoteId!, piece.length, piece);
      at += size;
    }
    if (at < rest.length) {
      this.#rest = rest.subarray(at);
      return;
    }
    const done = this.#written;
    this.#rest = this.#written = undefined;
    // What the socket holds back is held back above, too.
    if (!this.#socket.writableNeedDrain) done?.();
    else this.#socket.once("drain", () => done?.());
  }

  #close(): void {
    if (this.#sentClose) return;
    this.#sentClose = true;
    if (this.#remoteId !== undefined) this.#send(CLOSE, this.#remoteId);
    this.#socket.end();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    this.#rest = chunk;
    this.#written = done;
    this.#flush();
  }

  override _final(done: Done): void {
    this.#send(EOF, this.#remoteId!);
    if (this.readableEnded) this.#close();
    else this.once("end", () => this.#close());
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#close();
    const written = this.#written;
    this.#rest = this.#written = undefined;
    written?.(error);
    // Bounded: the far side may not read its end.
    this.#socket.destroySoon();
    done(error);
  }
}

function bytesAt(frame: Buffer, at: number): Buffer {
  const length = numberAt(frame, at);
  const end = at + 4 + length;
  if (end > frame.length) throw new Error("ssh sent a message too short");
  return frame.subarray(at + 4, end);
}
