/** The join of a socket and a tunnel, where one side ends without an error. */

import { assertEquals, assertStrictEquals } from "@std/assert";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { splice } from "../../../transport/forward/_splice.ts";

/** A stream that keeps what is written to it, and never ends by itself. */
function endless(): { stream: Duplex; written: () => string } {
  const chunks: string[] = [];
  const stream = new Duplex({
    allowHalfOpen: true,
    read() {},
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      // Later, as a network does.
      queueMicrotask(done);
    },
  });
  return { stream, written: () => chunks.join("") };
}

Deno.test("splice() ends with a socket that was closed in order, though the tunnel goes on sending", async () => {
  const socket = endless();
  const remote = endless();
  const joined = splice(socket.stream as Socket, remote.stream);
  socket.stream.push("last words");
  socket.stream.push(null);
  socket.stream.once("end", () => socket.stream.destroy());
  remote.stream.push("nobody takes this");
  assertEquals(await joined, undefined);
  assertEquals(remote.written(), "last words");
  assertEquals(remote.stream.destroyed, true);
});

Deno.test("splice() reports the failure of a tunnel that was lost before", async () => {
  const socket = endless();
  const remote = endless();
  const lost = new Error("the connection was lost");
  remote.stream.on("error", () => {});
  remote.stream.destroy(lost);
  await new Promise((resolve) => remote.stream.once("close", resolve));
  const failure = await splice(socket.stream as Socket, remote.stream);
  assertStrictEquals(failure, lost);
  assertEquals(socket.stream.destroyed, true);
});

Deno.test("splice() ends with a socket whose end is on its way when its tunnel fails", async () => {
  const remote = endless();
  remote.stream.on("error", () => {});
  const { promise: ended, resolve: final } = Promise.withResolvers<void>();
  const socket = Object.assign(
    // Its end is not confirmed: the callback is not called.
    new Duplex({
      allowHalfOpen: true,
      read() {},
      write() {},
      final: () => final(),
    }),
    // As Node's, which answers with EINVAL then and is never closed.
    { resetAndDestroy() {} },
  );
  const joined = splice(socket as unknown as Socket, remote.stream);
  remote.stream.push(null);
  await ended;
  assertEquals([socket.writableEnded, socket.writableFinished], [true, false]);
  const lost = new Error("the connection was lost");
  remote.stream.destroy(lost);
  assertStrictEquals(await joined, lost);
  assertEquals(socket.destroyed, true);
});
