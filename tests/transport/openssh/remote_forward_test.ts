/** Listening on the host over `ssh`, where it crosses an abort or the end. */

import {
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { existsSync, readdirSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { ForwardError } from "../../../transport/forward/errors.ts";
import type { Control } from "../../../transport/openssh/_control.ts";
import { DialLog } from "../../../transport/openssh/_log.ts";
import type { Master } from "../../../transport/openssh/_master.ts";
import { MuxTransport } from "../../../transport/openssh/_packet_transport.ts";
import { openRemoteForward } from "../../../transport/openssh/_remote_forward.ts";
import type { Tunnel } from "../../../transport/connector.ts";
import { freePort } from "../../kit/ports.ts";
import { until } from "../../kit/until.ts";
import { rejection, socketFolder, sshdTest } from "./_kit.ts";

sshdTest(
  "an abort of forwardIn() while ssh asks takes the listener back",
  async ({ connect, folder }, sshd) => {
    await using connection = await connect(sshd.host());
    const listen = { hostname: "127.0.0.1", port: freePort() };
    const [own] = readdirSync(folder);
    const controller = new AbortController();
    const reason = new Error("enough");
    const asked = connection.forwardIn!(listen, () => {}, {
      signal: controller.signal,
    });
    const refused = rejection(asked);
    await until(() => existsSync(join(folder, own!, "f0")));
    controller.abort(reason);
    assertStrictEquals(await refused, reason);
    // The host listens there no more: it can be asked to do so again.
    for (let tries = 1;; tries++) {
      try {
        const again = await connection.forwardIn!(listen, () => {});
        return await again.close();
      } catch (error) {
        assertInstanceOf(error, ForwardError);
        assertEquals(tries < 100, true, error.message);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  },
);

Deno.test("a listener that is granted when its connection has ended ends with it", async () => {
  const folder = await socketFolder();
  const path = join(folder, "f0");
  // A socket of any kind: nothing is sent over it.
  const server = createServer().listen(join(folder, "c"));
  await new Promise((resolve) => server.once("listening", resolve));
  const socket = connect(join(folder, "c"));
  await new Promise((resolve) => socket.once("connect", resolve));
  const granted = Promise.withResolvers<{ type: number; rest: Buffer }>();
  const asked = Promise.withResolvers<void>();
  const master = {
    name: "web-1",
    log: new DialLog("web-1"),
    newPath: () => path,
    ask() {
      asked.resolve();
      return granted.promise;
    },
    stop: () => Promise.resolve(),
  };
  const transport = new MuxTransport(
    master as unknown as Master,
    { socket: socket as Socket } as unknown as Control,
  );
  const listen = { hostname: "127.0.0.1", port: 0 };
  const listening = transport.listen(listen, () => {}, undefined);
  await asked.promise;
  await transport.close();
  granted.resolve({ type: 0, rest: Buffer.from([0, 0, 1, 0]) });
  const listener = await listening;
  assertEquals(listener.address, { ...listen, port: 256 });
  await listener.closed;
  // Nobody listens for what would come from there.
  await until(() => !existsSync(path));
  await new Promise((resolve) => server.close(resolve));
  await Deno.remove(folder, { recursive: true });
});

for (const ended of ["closed", "ended with its connection"] as const) {
  Deno.test(`a listener on the host that is ${ended} leaves nothing behind`, async () => {
    const folder = await socketFolder();
    const path = join(folder, "f0");
    const master = {
      name: "db1",
      newPath: () => path,
      ask: () => Promise.resolve({ type: 0, rest: Buffer.alloc(0) }),
    };
    const ends = new Set<() => void>();
    const { promise: taken, resolve: take } = Promise.withResolvers<void>();
    const listener = await openRemoteForward(master as unknown as Master, {
      listen: { hostname: "127.0.0.1", port: 8080 },
      onConnection: () => take(),
      signal: undefined,
      tunnelOf: () => ({}) as Tunnel,
      onEnd: (end) => {
        ends.add(end);
        return () => void ends.delete(end);
      },
    });
    const client = connect({ path });
    await taken;
    assertEquals(ends.size, 1);
    if (ended === "closed") {
      await listener.close();
      client.destroy();
    } else {
      client.resume();
      for (const end of ends) end();
    }
    await listener.closed;
    await until(() => client.closed, "its client is gone");
    assertEquals(ends.size, 0);
    assertEquals(readdirSync(folder), []);
    await Deno.remove(folder);
  });
}
