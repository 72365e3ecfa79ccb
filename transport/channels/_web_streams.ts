/**
 * The two directions of a node stream as web streams.
 *
 * Not `Duplex.toWeb()`: closing its writable stream waits until the readable
 * one was read to its end, so a client that sends a request, closes, and reads
 * a long answer then would wait for ever.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";

/** How much is held for a reader before the sender is stopped, in bytes. */
const HIGH_WATER_MARK_BYTES = 64 * 1024;

/** Both directions. */
export interface WebStreams {
  /** What comes. Cancelling it destroys the node stream. */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * Where to write to. Closing it ends this direction alone; aborting it
   * destroys the node stream.
   */
  readonly writable: WritableStream<Uint8Array>;
}

/**
 * Makes both web streams. They are made together: the end of a node stream is
 * seen only if somebody reads it, also by one who has nothing but to write.
 *
 * @param stream The node stream, which nobody else uses.
 */
export function webStreamsOf(stream: Duplex): WebStreams {
  return { readable: readableOf(stream), writable: writableOf(stream) };
}

function readableOf(stream: Duplex): ReadableStream<Uint8Array> {
  let isOver = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      stream.pause();
      stream.on("data", (chunk: Buffer) => {
        if (isOver) return;
        // Copied: it may be a small window on a large packet.
        controller.enqueue(new Uint8Array(chunk));
        if ((controller.desiredSize ?? 0) <= 0) stream.pause();
      });
      stream.once("end", () => {
        if (isOver) return;
        isOver = true;
        controller.close();
      });
      whenClosed(stream, (error) => {
        if (isOver) return;
        isOver = true;
        controller.error(error);
      });
    },
    pull: () => void stream.resume(),
    cancel() {
      isOver = true;
      stream.destroy();
    },
  }, {
    highWaterMark: HIGH_WATER_MARK_BYTES,
    size: (chunk) => chunk?.byteLength ?? 0,
  });
}

function writableOf(stream: Duplex): WritableStream<Uint8Array> {
  /** Rejects the write or the close that is under way. */
  let fail = (_error: unknown): void => {};
  return new WritableStream<Uint8Array>({
    start(controller) {
      whenClosed(stream, (error) => {
        if (stream.writableFinished) return;
        fail(error);
        controller.error(error);
      });
    },
    write(chunk) {
      if (!(chunk instanceof Uint8Array)) {
        throw new TypeError(
          `Cannot write to the tunnel: the chunk is a ${typeof chunk}, must ` +
            "be a Uint8Array",
        );
      }
      if (stream.write(chunk)) return;
      return new Promise((resolve, reject) => {
        fail = reject;
        stream.once("drain", resolve);
      });
    },
    close: () =>
      new Promise((resolve, reject) => {
        fail = reject;
        stream.once("finish", resolve).end();
      }),
    abort: () => void stream.destroy(),
  });
}

/** Tells when no more can come or go, with the error that a user sees then. */
function whenClosed(stream: Duplex, then: (error: unknown) => void): void {
  const closed = () =>
    then(
      stream.errored ?? new DOMException("The tunnel was closed", "AbortError"),
    );
  if (stream.destroyed) closed();
  else stream.once("close", closed);
}
