import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ConnectionPool } from "../../pool/mod.ts";
import { ConnectionLostError } from "../../transport/errors.ts";
import { Ssh2Connector } from "../../transport/ssh2/mod.ts";
import {
  EmbeddedServer,
  MemoryConnector,
} from "../../transport/testing/mod.ts";

/** More than the window of a channel, and than any buffer on the way. */
const DUMP_BYTES = 5_000_000;

/** A server as databases are: it greets, echoes, and ends when it is told so. */
async function startDatabase() {
  const server = createServer((socket: Socket) => {
    socket.write("hello\n");
    socket.on("data", (bytes) => {
      if (String(bytes) === "quit") socket.end("bye\n");
      else if (String(bytes) === "dump") socket.end(new Uint8Array(DUMP_BYTES));
      else socket.write(bytes);
    });
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** Talks as pg does, which takes the stream for a socket. */
async function talk(stream: Duplex): Promise<string> {
  const socket = stream as Socket;
  socket.setNoDelay(true);
  socket.connect(5432, "localhost");
  await once(socket, "connect");
  socket.setKeepAlive(true, 1000);
  socket.setTimeout(1000);
  socket.ref();
  socket.unref();
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: unknown) => {
    text += chunk;
    if (text.endsWith("question")) socket.write("quit");
  });
  socket.write("question");
  await once(socket, "end");
  socket.end();
  await once(socket, "close");
  return text;
}

Deno.test("PoolTunnel.node() is a stream that a driver of a database takes for its socket", async () => {
  await using database = await startDatabase();
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool({
    connector: new Ssh2Connector(),
    config: false,
  });
  const tunnel = await pool.connect(server.host(), database.address);
  const stream = tunnel.node<Duplex>();
  assertEquals(tunnel.node<Duplex>() === stream, true);
  assertEquals(await talk(stream), "hello\nquestionbye\n");
  await tunnel.closed;
});

Deno.test("PoolTunnel.node() gives a long answer whole, and its web streams take nothing of it", async () => {
  await using database = await startDatabase();
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool({
    connector: new Ssh2Connector(),
    config: false,
  });
  const answerOf = async (stream: Duplex): Promise<number> => {
    let bytes = 0;
    stream.on("data", (chunk: Uint8Array) => bytes += chunk.length);
    stream.write("dump");
    await once(stream, "end");
    return bytes - "hello\n".length;
  };
  const tunnel = await pool.connect(server.host(), database.address);
  const answer = answerOf(tunnel.node<Duplex>());
  for (const direction of ["readable", "writable"] as const) {
    assertThrows(
      () => tunnel[direction],
      TypeError,
      "stream of Node is in use",
    );
  }
  assertEquals(await answer, DUMP_BYTES);
  tunnel.close();
  await tunnel.closed;
  // Web streams that were looked at read already: it goes on from there.
  const seen = await pool.connect(server.host(), database.address);
  assertEquals(seen.readable.locked, false);
  assertEquals(await answerOf(seen.node<Duplex>()), DUMP_BYTES);
  seen.close();
  await seen.closed;
});

Deno.test("PoolTunnel.node() ends with its tunnel, and with its host", async () => {
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({ connector, config: false });
  const tunnel = await pool.connect("ops@gate", "db:5432");
  const stream = tunnel.node<Duplex>();
  stream.write("x");
  assertEquals(String((await once(stream, "data"))[0]), "x");
  stream.destroy();
  await tunnel.closed;
  const other = await pool.connect("ops@gate", "db:5432");
  const closed = once(other.node<Duplex>().resume(), "close");
  const failed = assertRejects(() => closed, ConnectionLostError);
  connector.dropAll();
  await failed;
});

Deno.test("PoolTunnel.node() is refused when the web streams are in use", async () => {
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({ connector, config: false });
  await using tunnel = await pool.connect("ops@gate", "db:5432");
  const reader = tunnel.readable.getReader();
  assertThrows(() => tunnel.node(), TypeError, "its web streams are in use");
  reader.releaseLock();
  assert(tunnel.node<Duplex>().writable);
});
