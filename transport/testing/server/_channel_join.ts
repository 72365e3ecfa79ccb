/** Joins a channel of ssh2's server with a socket, as sshd does for forwards. */

import type { Socket } from "node:net";
// @ts-types="@types/ssh2"
import type { ServerChannel } from "ssh2";

/**
 * Joins them until both have ended. Each direction ends by itself.
 *
 * @param channel The channel.
 * @param socket The socket; made with `allowHalfOpen`.
 */
export function joinChannel(channel: ServerChannel, socket: Socket): void {
  // A socket that dies under a channel is no error of the server.
  channel.on("error", () => {});
  // The end of the client is an end of file for the socket, and no more.
  channel.pipe(socket);
  // ssh2's server closes a channel with its `end()`, in both directions.
  socket.pipe(channel, { end: false });
  socket.once("end", () => {
    if (!channel.writableEnded) channel.write("", () => channel.eof());
  });
  // After all that was written.
  socket.once("close", () => channel.end());
  channel.once("close", () => {
    if (socket.destroyed) return;
    if (socket.writableFinished) return void socket.destroy();
    socket.once("finish", () => socket.destroy());
    socket.end();
  });
}
