/**
 * A server of ssh2 on a port of its own, whose sockets can be cut.
 *
 * @module
 */

import { type AddressInfo, createServer, type Socket } from "node:net";
// @ts-types="@types/ssh2"
import type ssh2 from "ssh2";
import type { SshHost } from "../../transport/host/host.ts";

/** A server that listens; dispose of it to cut and stop it. */
export interface Listening extends AsyncDisposable {
  /** The host as a pool takes it. */
  readonly host: SshHost;
  /** Cuts every connection. */
  drop(): void;
}

/**
 * Lets a server listen on a free port of 127.0.0.1.
 *
 * @param ssh The server, which listens on no port itself.
 * @param fingerprint That of its host key.
 */
export async function listenOn(
  ssh: ssh2.Server,
  fingerprint: string,
): Promise<Listening> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    // Node's own types know no injectSocket().
    (ssh as unknown as { injectSocket(socket: Socket): void })
      .injectSocket(socket);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    host: {
      hostname: "127.0.0.1",
      port,
      user: "ops",
      password: "any",
      hostKey: fingerprint,
    },
    drop,
    async [Symbol.asyncDispose]() {
      drop();
      await new Promise((done) => server.close(done));
    },
  };
}
