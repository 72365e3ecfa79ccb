import { assert, assertEquals } from "@std/assert";
import { DelayProxy } from "../../bench/kit/delay_proxy.ts";

/** A server on loopback that does something with each connection. */
function serve(handle: (connection: Deno.TcpConn) => Promise<void>) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    for await (const connection of listener) await handle(connection);
  })();
  return {
    port: (listener.addr as Deno.NetAddr).port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await served;
    },
  };
}

const echo = (connection: Deno.TcpConn) =>
  connection.readable.pipeTo(connection.writable);

Deno.test("DelayProxy keeps each byte for the time of one way, and the handshake for none", async () => {
  await using server = serve(echo);
  await using proxy = await DelayProxy.start(server, 1_000);
  const start = performance.now();
  using client = await Deno.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
  });
  const connectedMs = performance.now() - start;
  await client.write(new Uint8Array([7]));
  const answer = new Uint8Array(1);
  await client.read(answer);
  const answeredMs = performance.now() - start;
  assertEquals(answer[0], 7);
  assert(connectedMs < 1_000, `connected after ${connectedMs} ms`);
  assert(answeredMs >= 2_000, `answered after ${answeredMs} ms`);
});

Deno.test("DelayProxy keeps the order, and passes the end on behind the data", async () => {
  await using server = serve(echo);
  await using proxy = await DelayProxy.start(server, 5);
  const client = await Deno.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
  });
  const sent = new Uint8Array(3_000_000).map((_, i) => i * 7 + (i >> 8));
  const received = new Response(client.readable).bytes();
  for (let i = 0; i < sent.length;) {
    i += await client.write(sent.subarray(i, i + 70_000));
  }
  await client.closeWrite();
  assertEquals(await received, sent);
});

Deno.test("DelayProxy closes the other side when one is closed", async () => {
  let ended = () => {};
  const seen = new Promise<void>((resolve) => ended = resolve);
  await using server = serve(async (connection) => {
    await new Response(connection.readable).bytes();
    ended();
  });
  await using proxy = await DelayProxy.start(server, 5);
  const client = await Deno.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
  });
  client.close();
  await seen;
});

Deno.test("DelayProxy ends with connections through it", async () => {
  await using server = serve(async (connection) => {
    await new Response(connection.readable).bytes().catch(() => {});
  });
  const proxy = await DelayProxy.start(server, 10_000);
  using client = await Deno.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
  });
  await client.write(new Uint8Array(10));
  await proxy[Symbol.asyncDispose]();
  assertEquals(await client.read(new Uint8Array(1)).catch(() => null), null);
});
