import { assert, assertEquals } from "@std/assert";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { FaultProxy } from "./fault_proxy.ts";
import { until } from "./until.ts";

/** A client and the server's end of its connection through a proxy. */
async function pair(
  body: (parts: {
    proxy: FaultProxy;
    client: Socket;
    server: Socket;
    log: string[];
  }) => Promise<void>,
): Promise<void> {
  const accepted = Promise.withResolvers<Socket>();
  const target = createServer({ allowHalfOpen: true }, accepted.resolve);
  await new Promise<void>((resolve) => target.listen(0, "127.0.0.1", resolve));
  const proxy = await FaultProxy.start((target.address() as AddressInfo).port);
  const client = connect({
    host: "127.0.0.1",
    port: proxy.port,
    allowHalfOpen: true,
  });
  const server = await accepted.promise;
  const log: string[] = [];
  for (
    const [name, socket] of [["client", client], ["server", server]] as const
  ) {
    socket.on("data", (data) => log.push(`${name} ${data}`));
    socket.on("end", () => log.push(`${name} end`));
    socket.on(
      "error",
      (error: Error & { code?: string }) => log.push(`${name} ${error.code}`),
    );
  }
  try {
    await body({ proxy, client, server, log });
  } finally {
    client.destroy();
    server.destroy();
    await proxy[Symbol.asyncDispose]();
    await new Promise((resolve) => target.close(resolve));
  }
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("FaultProxy passes data and ends on, in order, delayed or not", () =>
  pair(async ({ proxy, client, server, log }) => {
    client.write("up");
    await until(() => log.length === 1);
    proxy.delayMs = 20;
    const start = performance.now();
    server.write("down");
    server.end();
    await until(() => log.length === 3);
    assert(performance.now() - start >= 19);
    assertEquals(log, ["server up", "client down", "client end"]);
    assertEquals([proxy.links[0]!.bytesUp, proxy.links[0]!.bytesDown], [2, 4]);
  }));

Deno.test("FaultProxy.stall() swallows all until resume()", () =>
  pair(async ({ proxy, client, server, log }) => {
    proxy.stall();
    client.write("up");
    server.end("down");
    await until(() =>
      proxy.links[0]!.bytesUp > 0 && proxy.links[0]!.bytesDown > 0
    );
    await wait(10);
    assertEquals(log, []);
    proxy.resume();
    await until(() => log.length === 3);
    assertEquals(log.toSorted(), ["client down", "client end", "server up"]);
  }));

Deno.test("FaultProxy.reset() resets both ends", () =>
  pair(async ({ proxy, log }) => {
    await until(() => proxy.links.length === 1);
    proxy.reset();
    await until(() => log.length === 2);
    assertEquals(log.toSorted(), ["client ECONNRESET", "server ECONNRESET"]);
    assertEquals(proxy.open, []);
  }));

Deno.test("FaultProxy.halfClose() ends the client's side alone", () =>
  pair(async ({ proxy, client, log }) => {
    proxy.halfClose();
    await until(() => log.includes("client end"));
    client.write("still");
    await until(() => log.includes("server still"));
  }));

Deno.test("FaultProxy.dropAfterBytes() passes so many bytes and resets", () =>
  pair(async ({ proxy, server, log }) => {
    proxy.dropAfterBytes(3);
    server.write("abcdef");
    await until(() => log.includes("server ECONNRESET"));
    await until(() => log.includes("client ECONNRESET"));
    // The reset may overtake the three bytes, but no fourth may come.
    const data = log.filter((line) => /^client [a-f]/.test(line));
    assert(data.every((line) => "client abc".startsWith(line)), `${log}`);
  }));

Deno.test("FaultLink.cutAfter() ends both sides after so many bytes up", () =>
  pair(async ({ proxy, client, log }) => {
    await until(() => proxy.links.length === 1);
    const link = proxy.links[0]!;
    link.cutAfter({ direction: "up", bytes: 3, how: "end" });
    assertEquals(link.wasCut, false);
    client.write("abcdef");
    await until(() => log.length === 3);
    assertEquals(log.toSorted(), ["client end", "server abc", "server end"]);
    assertEquals([link.wasCut, link.hasClientLeft], [true, false]);
    client.end();
    await until(() => link.hasClientLeft);
  }));

Deno.test("FaultLink.cutAfter() freezes after so many bytes down", () =>
  pair(async ({ proxy, client, server, log }) => {
    await until(() => proxy.links.length === 1);
    const link = proxy.links[0]!;
    link.cutAfter({ direction: "down", bytes: 2, how: "freeze" });
    server.end("abc");
    await until(() => link.wasCut);
    client.end("up");
    await until(() => link.hasClientLeft);
    await wait(10);
    assertEquals(log, ["client ab"]);
  }));

Deno.test("FaultProxy.refuseNew resets new connections", () =>
  pair(async ({ proxy }) => {
    proxy.refuseNew = true;
    const late = connect({ host: "127.0.0.1", port: proxy.port });
    late.on("error", () => {});
    await new Promise((resolve) => late.once("close", resolve));
    assertEquals(proxy.refused, 1);
  }));
