/**
 * An address on loopback that never answers a SYN.
 *
 * @module
 */

import { connect, type Socket } from "node:net";

/** A listener whose queue is full: the kernel drops what comes on top. */
export interface BlackHole extends AsyncDisposable {
  readonly hostname: string;
  readonly port: number;
}

/** Starts a black hole. */
export async function startBlackHole(): Promise<BlackHole> {
  const hostname = "127.0.0.1";
  const listener = Deno.listen({ hostname, port: 0, tcpBacklog: 1 });
  const { port } = listener.addr as Deno.NetAddr;
  const waiting: Socket[] = [];
  // Two fit in the queue; the rest are there to be sure.
  for (let i = 0; i < 4; i++) {
    const socket = connect({ host: hostname, port });
    socket.on("error", () => {});
    waiting.push(socket);
  }
  await Promise.all(
    waiting.slice(0, 2).map((socket) =>
      new Promise((resolve) => socket.once("connect", resolve))
    ),
  );
  return {
    hostname,
    port,
    async [Symbol.asyncDispose]() {
      const gone = waiting.map((socket) =>
        new Promise((resolve) => socket.once("close", resolve))
      );
      for (const socket of waiting) socket.destroy();
      listener.close();
      await Promise.all(gone);
    },
  };
}
