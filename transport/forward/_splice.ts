/**
 * Joins two byte streams: half-close and back-pressure pass in both
 * directions, and a failure of one side is a failure of the other.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/**
 * Joins a socket and the stream of a tunnel until both have ended.
 *
 * @param socket The socket; made with `allowHalfOpen`.
 * @param remote The stream of the tunnel.
 * @returns The first error, or `undefined` if both ended in an orderly way.
 */
export function splice(
  socket: Socket,
  remote: Duplex,
): Promise<Error | undefined> {
  return new Promise((resolve) => {
    // One may have failed before: the tunnel, while its target was dialled.
    let failure = socket.errored ?? remote.errored ?? undefined;
    let open = 2;
    const closed = () => {
      if (--open === 0) resolve(failure);
    };
    socket.on("error", (error) => failure ??= error);
    remote.on("error", (error) => failure ??= error);
    whenClosed(socket, () => {
      // After an orderly end what was written may still be on its way.
      if (failure !== undefined || !remote.writableEnded) remote.destroy();
      else endSoon(remote);
      closed();
    });
    whenClosed(remote, () => {
      // A lost connection must not look like an end of file.
      if (failure !== undefined || !remote.readableEnded) reset(socket);
      else endSoon(socket);
      closed();
    });
    if (socket.destroyed || remote.destroyed) return;
    socket.pipe(remote);
    remote.pipe(socket);
  });
}

function whenClosed(stream: Duplex, then: () => void): void {
  if (stream.closed) then();
  else stream.once("close", then);
}

/** Ends a socket so that its peer sees a failure, where its kind can. */
export function reset(socket: Socket): void {
  if (socket.destroyed) return;
  // Its end is on its way, and cannot be taken back. Node, asked to reset a
  // socket while that is so, never says that it is closed.
  if (socket.writableEnded && !socket.writableFinished) {
    return void socket.destroy();
  }
  try {
    socket.resetAndDestroy();
  } catch {
    socket.destroy(); // A unix socket has no reset.
  }
}

/** Sends what is written, then ends the stream whatever its peer does. */
function endSoon(stream: Duplex): void {
  if (stream.destroyed) return;
  if (stream.writableFinished) return void stream.destroy();
  stream.once("finish", () => stream.destroy());
  if (!stream.writableEnded) stream.end();
  // What it still sends goes nowhere.
  stream.resume();
}
