/**
 * Bytes both ways over a stream: a subsystem, a tunnel, SFTP.
 *
 * @module
 */

import type { Tunnel } from "../connector.ts";
import { EarlyPieces } from "../session/small_pieces.ts";
import type { SftpTransport } from "../sftp/transport.ts";
import { Frame, Violation } from "./_frames.ts";
import type { Loss, Stream } from "./_stream.ts";

/** How much is held for a reader before the sender is stopped, in bytes. */
const HIGH_WATER_MARK_BYTES = 64 * 1024;

/** One side of bytes over a stream. Set its callbacks in the turn it is made. */
export class StreamBytes implements SftpTransport {
  readonly #write: number;
  readonly #read: number;
  readonly #lost: (message: string) => Error;
  #stream!: Stream;
  #receive: ((bytes: Uint8Array) => void | boolean) | undefined;
  readonly #early = new EarlyPieces();
  readonly #ends: ((error?: Error) => void)[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  #isEof = false;
  #held = 0;

  /**
   * @param side Which side this is.
   * @param lost Makes the error of a stream that was lost.
   */
  constructor(side: "client" | "worker", lost: (message: string) => Error) {
    this.#write = side === "client" ? Frame.input : Frame.out;
    this.#read = side === "client" ? Frame.out : Frame.input;
    this.#lost = lost;
  }

  /** Sets the stream, whose frames go to `frame` and whose loss to `lose`. */
  attach(stream: Stream): void {
    this.#stream = stream;
  }

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    return this.isOver ? undefined : this.#stream.write(this.#write, bytes);
  }

  /** Says that no more bytes will come from this side. */
  eof(): void {
    if (!this.isOver) this.#stream.send(Frame.eof);
  }

  /** An empty chunk is the end of what comes. */
  onData(receive: (bytes: Uint8Array) => void | boolean): void {
    this.#receive = receive;
    for (const bytes of this.#early.take()) this.#deliver(bytes);
    if (this.#isEof) receive(new Uint8Array(0));
  }

  onEnd(ended: (error?: Error) => void): void {
    this.#ends.push(ended);
    if (this.#end !== undefined) ended(this.#end.error);
  }

  /** Lets the peer send again, after a `false` of the receiver. */
  resume(): void {
    const held = this.#held;
    if (held === 0) return;
    this.#held = 0;
    this.#stream.consumed(held);
  }

  /** Ends it; the other side hears of it. */
  close(): void {
    if (this.isOver) return;
    this.#stream.send(Frame.stop);
    this.finish(undefined);
  }

  /** Ends it here. */
  finish(error: Error | undefined): void {
    if (this.isOver) return;
    this.#end = { error };
    this.#stream.end();
    for (const ended of this.#ends) ended(error);
  }

  lose({ message }: Loss): void {
    this.finish(this.#lost(message));
  }

  /** Takes the frames of data; returns whether it was one. */
  frame(type: number, payload: Uint8Array): boolean {
    if (type === this.#read) {
      if (this.#isEof) throw new Violation("data after the end of data");
      this.#deliver(payload);
    } else if (type === Frame.eof) {
      if (this.#isEof) throw new Violation("two ends of data");
      this.#isEof = true;
      this.#receive?.(new Uint8Array(0));
    } else return false;
    return true;
  }

  #deliver(bytes: Uint8Array): void {
    // What nobody takes yet is bounded by the credit of the stream.
    if (this.#receive === undefined) this.#early.add(bytes);
    else if (this.#receive(bytes) === false) this.#held += bytes.length;
    else this.#stream.consumed(bytes.length);
  }
}

/** SFTP over bytes: the end of data is the end of the session. */
export function sftpTransport(bytes: StreamBytes): SftpTransport {
  return {
    write: (chunk) => bytes.write(chunk),
    onData: (receive) =>
      bytes.onData((chunk) => {
        if (chunk.length > 0) receive(chunk);
        else bytes.close();
      }),
    onEnd: (ended) => bytes.onEnd(ended),
    close: () => bytes.close(),
  };
}

/** Bytes as a tunnel. */
export function tunnelOf(bytes: StreamBytes): Tunnel {
  let tell!: () => void;
  const closed = new Promise<void>((resolve) => tell = resolve);
  /** No more is read: it was closed, or the end has come. */
  let isReadOver = false;
  let reading!: ReadableStreamDefaultController<Uint8Array>;
  let writing!: WritableStreamDefaultController;
  const readable = new ReadableStream<Uint8Array>({
    start: (controller) => void (reading = controller),
    pull: () => bytes.resume(),
    cancel: () => bytes.close(),
  }, {
    highWaterMark: HIGH_WATER_MARK_BYTES,
    size: (chunk) => chunk?.byteLength ?? 0,
  });
  const writable = new WritableStream<Uint8Array>({
    start: (controller) => void (writing = controller),
    async write(chunk) {
      if (!(chunk instanceof Uint8Array)) {
        throw new TypeError(
          `Cannot write to the tunnel: the chunk is a ${typeof chunk}, must ` +
            "be a Uint8Array",
        );
      }
      if (bytes.isOver) throw new TypeError("The tunnel has ended");
      await bytes.write(chunk);
    },
    close: () => bytes.eof(),
    abort: () => bytes.close(),
  });
  bytes.onData((chunk) => {
    if (isReadOver) return true;
    if (chunk.length === 0) {
      isReadOver = true;
      reading.close();
      return true;
    }
    // Copied: it may be a small window on a large message.
    reading.enqueue(new Uint8Array(chunk));
    return (reading.desiredSize ?? 1) > 0;
  });
  bytes.onEnd((error) => {
    if (!isReadOver) {
      isReadOver = true;
      try {
        if (error === undefined) reading.close();
        else reading.error(error);
      } catch {
        // It was cancelled.
      }
    }
    writing.error(error ?? new TypeError("The tunnel has ended"));
    tell();
  });
  return { readable, writable, closed, close: () => bytes.close() };
}
