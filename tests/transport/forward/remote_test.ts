// Remote forwards over tunnels that need no SSH.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { createServer, type Socket } from "node:net";
import type {
  Connection,
  RemoteListener,
  Tunnel,
} from "../../../transport/connector.ts";
import { RemoteForward } from "../../../transport/forward/remote.ts";
import { dial, tunnelOf } from "./_kit.ts";

/** A connection whose host listens; `accept()` is a client of it. */
function listening() {
  let give: (tunnel: Tunnel) => void = () => {};
  const listener = {
    address: { hostname: "127.0.0.1", port: 9 },
    closed: new Promise<void>(() => {}),
    close: () => Promise.resolve(),
  } as unknown as RemoteListener;
  const connection = {
    forwardIn: (_address: unknown, onTunnel: typeof give) => {
      give = onTunnel;
      return Promise.resolve(listener);
    },
  } as unknown as Connection;
  return { connection, accept: (tunnel: Tunnel) => give(tunnel) };
}

Deno.test("RemoteForward closes the tunnel beyond maxConnections, connects nowhere for it, and tells of it", async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const to = { hostname: "127.0.0.1", port };
  const host = listening();
  const errors: unknown[] = [];
  const forward = await RemoteForward.start({
    get: () => Promise.resolve(host.connection),
    listen: { hostname: "127.0.0.1", port: 9 },
    to,
    options: { maxConnections: 2, onError: (error) => void errors.push(error) },
    isFinal: () => false,
  });
  // Far ends of tunnels: plain connections to a server of their own.
  const far = createServer(() => {});
  await new Promise<void>((resolve) => far.listen(0, "127.0.0.1", resolve));
  const { port: farPort } = far.address() as { port: number };
  const tunnels = await Promise.all(
    [1, 2, 3].map(async () =>
      tunnelOf(await dial({ hostname: "127.0.0.1", port: farPort }), false)
    ),
  );
  for (const tunnel of tunnels) host.accept(tunnel);
  await tunnels[2]!.closed;
  assertEquals(forward.connections, 2);
  assertEquals(errors.length, 1);
  assertStringIncludes(
    String(errors[0]),
    `Cannot serve 127.0.0.1:${port}: 2 connections are open, the most allowed`,
  );
  await forward.close();
  assertEquals(sockets.length <= 2, true);
  for (const socket of sockets) socket.destroy();
  await Promise.all(
    [server, far].map((each) => new Promise((resolve) => each.close(resolve))),
  );
});

Deno.test("RemoteForward says of a connection that breaks whether its target was reached", async () => {
  const server = createServer((socket) =>
    void socket.once("data", () => socket.resetAndDestroy())
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const far = createServer((socket) =>
    void socket.on("error", () => {}).write("x")
  );
  await new Promise<void>((resolve) => far.listen(0, "127.0.0.1", resolve));
  const { port: farPort } = far.address() as { port: number };
  for (
    const [to, reason] of [[port, "broken"], [1, "not-opened"]] as const
  ) {
    const host = listening();
    const { promise: told, resolve: tell } = Promise.withResolvers<unknown>();
    const forward = await RemoteForward.start({
      get: () => Promise.resolve(host.connection),
      listen: { hostname: "127.0.0.1", port: 9 },
      to: { hostname: "127.0.0.1", port: to },
      options: { onError: () => {} },
      tell: (failure) => tell(failure.reason),
      isFinal: () => false,
    });
    const socket = await dial({ hostname: "127.0.0.1", port: farPort });
    const tunnel = tunnelOf(socket, false);
    host.accept(tunnel);
    assertEquals(await told, reason);
    await forward.close();
    socket.destroy();
    await tunnel.closed;
  }
  await Promise.all(
    [server, far].map((each) => new Promise((resolve) => each.close(resolve))),
  );
});
