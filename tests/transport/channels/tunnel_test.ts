/** What a hop's tunnel does with what is written to it. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { Duplex, PassThrough } from "node:stream";
import { setImmediate } from "node:timers";
import { joinBytes } from "../../../transport/bytes.ts";
import type { Tunnel } from "../../../transport/connector.ts";
import type {
  Channel,
  ChannelObserver,
} from "../../../transport/channels/_channel.ts";
import type { ChannelTable } from "../../../transport/channels/_channel_table.ts";
import {
  socketOfTunnel,
  streamOfTunnel,
} from "../../../transport/forward/tunnel_stream.ts";
import { openTunnel } from "../../../transport/channels/_tunnel.ts";
import { webStreamsOf } from "../../../transport/channels/_web_streams.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** The channels of a hop that tells of its channel's end when it is told to. */
function losableHop() {
  let observer: ChannelObserver | undefined;
  const channel = { resume() {}, close() {}, eof() {} } as unknown as Channel;
  const table = {
    open(it: ChannelObserver) {
      observer = it;
      queueMicrotask(() => it.opened());
      return channel;
    },
  } as unknown as ChannelTable;
  return {
    table,
    lose: () => observer?.lost(),
    /** Has the far side send a piece. */
    send: (bytes: Uint8Array) => void observer?.stdout(bytes),
    /** Has the far side send it byte by byte, and end. */
    say(bytes: Uint8Array): void {
      for (const byte of bytes) observer?.stdout(Uint8Array.of(byte));
      observer?.eof();
    },
  };
}

Deno.test("Tunnel.readable and writable fail with the loss, also if they are asked for after it", async () => {
  for (const asksBefore of [true, false]) {
    const lost = new Error("lost");
    const hop = losableHop();
    const tunnel = await openTunnel(
      hop.table,
      { hostname: "db1", port: 22 },
      { host: "ops@gate:22", lost: () => lost as never },
    );
    if (asksBefore) void tunnel.readable;
    hop.lose();
    await tunnel.closed;
    const read = tunnel.readable.getReader().read();
    assertStrictEquals(await read.catch((error) => error), lost);
    const write = tunnel.writable.getWriter().write(new Uint8Array(1));
    assertStrictEquals(await write.catch((error) => error), lost);
  }
});

/** The channels of a hop that writes down what it is to encrypt. */
function recordingHop(written: string[]): ChannelTable {
  const channel = {
    write: (chunk: Uint8Array) => void written.push(String(chunk)),
    eof: () => void written.push("end"),
    resume() {},
    close() {},
  };
  return {
    open(observer: ChannelObserver) {
      queueMicrotask(() => observer.opened());
      return channel as unknown as Channel;
    },
  } as unknown as ChannelTable;
}

Deno.test("openTunnel() gives a stream whose hop encrypts nothing before the writer is done", async () => {
  // ssh2 writes a packet in three parts, from the middle of a cipher whose
  // nonce it shares with every other connection, that of the hop too.
  const written: string[] = [];
  const tunnel = await openTunnel(
    recordingHop(written),
    { hostname: "db1", port: 22 },
    { host: "ops@gate:22", lost: () => new Error("lost") as never },
  );
  const stream = streamOfTunnel(tunnel);
  for (const part of ["length,", "content,", "mac"]) {
    stream.write(Buffer.from(part));
    assertEquals(written, []);
  }
  stream.end();
  await new Promise((resolve) => stream.once("finish", resolve));
  assertEquals(written.join(""), "length,content,macend");
  tunnel.close();
  await tunnel.closed;
});

/** A tunnel, and what the far side of it does. */
async function webTunnel(written: string[]) {
  let observer!: ChannelObserver;
  const hop = recordingHop(written);
  const table = {
    open(it: ChannelObserver) {
      observer = it;
      return (hop.open as (it: ChannelObserver) => Channel)(it);
    },
  } as unknown as ChannelTable;
  const tunnel = await openTunnel(
    table,
    { hostname: "db1", port: 80 },
    { host: "ops@gate:22", lost: () => new Error("lost") as never },
  );
  return { tunnel, observer };
}

Deno.test("Tunnel.writable can be closed before a long answer is read", async () => {
  const written: string[] = [];
  const { tunnel, observer } = await webTunnel(written);
  const answer = new Uint8Array(300_000).fill(7);
  for (let at = 0; at < answer.length; at += 30_000) {
    observer.stdout(Buffer.from(answer.subarray(at, at + 30_000)));
  }
  const writer = tunnel.writable.getWriter();
  await writer.write(new TextEncoder().encode("request,"));
  await writer.close();
  assertEquals(written, ["request,", "end"]);
  observer.eof();
  observer.closed();
  const read = await new Response(tunnel.readable).bytes();
  assertEquals(read, answer);
  await tunnel.closed;
});

Deno.test("Tunnel.closed resolves for a user who only writes, once the far side has closed", async () => {
  const { tunnel, observer } = await webTunnel([]);
  await tunnel.writable.close();
  observer.eof();
  observer.closed();
  await tunnel.closed;
});

Deno.test("Tunnel.close() and a lost connection are errors of both streams, and no end of file", async () => {
  for (const [end, name] of [["close", "AbortError"], ["lost", "Error"]]) {
    const { tunnel, observer } = await webTunnel([]);
    const reader = tunnel.readable.getReader();
    const writer = tunnel.writable.getWriter();
    const reading = reader.read();
    if (end === "close") tunnel.close();
    else observer.lost();
    for (const call of [() => reading, () => writer.write(new Uint8Array(1))]) {
      assertEquals((await assertRejects(call) as Error).name, name);
    }
  }
});

Deno.test("Tunnel.readable holds its sender back while nobody reads, and gives every byte then", async () => {
  const stream = new PassThrough();
  const { readable } = webStreamsOf(stream);
  const all = new Uint8Array(2 ** 20).map((_, at) => at);
  const piece = 2 ** 14;
  for (let at = 0; at < all.length; at += piece) {
    stream.write(all.subarray(at, at + piece));
  }
  stream.end();
  for (let i = 0; i < 10; i++) await turn();
  const waiting = stream.readableLength + stream.writableLength;
  assertEquals(waiting >= all.length - 2 ** 17, true, `${waiting} bytes wait`);
  const read = new Uint8Array(await new Response(readable).arrayBuffer());
  assertEquals(Buffer.compare(read, all), 0);
});

Deno.test("Tunnel.writable makes a writer wait for its stream", async () => {
  const taken: (() => void)[] = [];
  const stream = new Duplex({
    read() {},
    write: (_chunk, _encoding, done) => void taken.push(done),
  });
  const { writable } = webStreamsOf(stream);
  const writer = writable.getWriter();
  let isWritten = false;
  const written = writer.write(new Uint8Array(2 ** 20))
    .then(() => isWritten = true);
  for (let i = 0; i < 10; i++) await turn();
  assertEquals([isWritten, taken.length], [false, 1]);
  taken[0]!();
  await written;
  stream.destroy();
  await writer.closed.catch(() => {});
});

Deno.test("socketOfTunnel() tells a reader who wants more than there is of each piece that comes", async () => {
  const hop = losableHop();
  const tunnel = await openTunnel(
    hop.table,
    { hostname: "db1", port: 5432 },
    { host: "ops@gate:22", lost: () => new Error("lost") as never },
  );
  const socket = socketOfTunnel(tunnel);
  const frames: string[] = [];
  socket.on("readable", () => {
    let frame: Uint8Array | null;
    while ((frame = socket.read(4)) !== null) frames.push(String(frame));
  });
  await turn();
  for (const letter of "abcdefgh") {
    hop.send(Buffer.from(letter));
    await turn();
  }
  await turn();
  assertEquals(frames, ["abcd", "efgh"]);
  tunnel.close();
  await tunnel.closed;
});

for (
  const [name, read] of [
    ["a web stream", (it: Tunnel) => Array.fromAsync(it.readable)],
    ["a loop", (it: Tunnel) => Array.fromAsync<Uint8Array>(streamOfTunnel(it))],
    [
      "read() on 'readable'",
      (it: Tunnel) =>
        new Promise<Uint8Array[]>((resolve) => {
          const chunks: Uint8Array[] = [];
          const stream = streamOfTunnel(it);
          stream.on("readable", () => {
            let chunk: Uint8Array | null;
            while ((chunk = stream.read()) !== null) chunks.push(chunk);
          });
          stream.on("end", () => resolve(chunks));
        }),
    ],
    [
      "a reader that stops now and then",
      async (it: Tunnel) => {
        const chunks: Uint8Array[] = [];
        const stream = streamOfTunnel(it);
        stream.on("data", (chunk: Uint8Array) => {
          chunks.push(chunk);
          stream.pause();
          queueMicrotask(() => stream.resume());
        });
        await new Promise((resolve) => stream.on("end", resolve));
        return chunks;
      },
    ],
  ] as const
) {
  Deno.test(`Tunnel gives ${name} all bytes that came one by one, in a few pieces`, async () => {
    const hop = losableHop();
    const tunnel = await openTunnel(
      hop.table,
      { hostname: "db1", port: 22 },
      { host: "ops@gate:22", lost: () => new Error("lost") as never },
    );
    const all = Uint8Array.from({ length: 50_000 }, (_, index) => index % 251);
    hop.say(all);
    const chunks = await read(tunnel);
    assertEquals(joinBytes(chunks), all);
    assert(chunks.length < 50, `${chunks.length} pieces`);
  });
}
