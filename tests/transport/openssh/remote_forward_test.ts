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
