// What a worker keeps for a client is bounded, whatever the client sends, and
// whatever connects to what it listens on.

import { setImmediate } from "node:timers";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import type { Connection, Tunnel } from "../../../transport/connector.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { Client } from "../../../transport/nats/_clients.ts";
import {
  busFrame,
  Frame,
  jsonBytes,
  newId,
} from "../../../transport/nats/_frames.ts";
import { NatsConnector } from "../../../transport/nats/mod.ts";
import type { Peer } from "../../../transport/nats/_peer.ts";
import { QueueClock } from "../../../transport/nats/_queue_clock.ts";
import { serve } from "../../../transport/nats/_served.ts";
import type { Asked, Served } from "../../../transport/nats/_served_process.ts";
import type { Stream } from "../../../transport/nats/_stream.ts";
import type { RemoteProcess } from "../../../transport/process.ts";
import { FakeTime } from "../../pool/_kit.ts";
import { FakeWorker } from "./_fake_worker.ts";

const HOST = { hostname: "web-1", port: 22, user: "ops", alias: "web-1" };
const SIGNAL = jsonBytes("TERM");

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((next) => setTimeout(next));
}

/** A worker that serves one client; what goes over the bus is a test's. */
function served(parts: Partial<Connection>, sessions = 10) {
  const streams = new Map<string, Stream>();
  const sent: { id: string; type: number; payload: Uint8Array }[] = [];
  const resets: string[] = [];
  const heard = new Map<string, number>();
  const peer = {
    subject: "ssh.w.x.y",
    chunkBytes: 1024,
    publish: (to: string, frame: Uint8Array) =>
      void sent.push({
        id: to.split(".").at(-1)!,
        type: frame[0]!,
        payload: frame.subarray(5),
      }),
    add: (stream: Stream) => void streams.set(stream.id, stream),
    remove: (stream: Stream) => void streams.delete(stream.id),
    reserve: () => false,
    release() {},
    reset: ({ id }: { id: string }) => void resets.push(id),
  };
  const client = new Client({ rate: 1_000, sessions, connections: 1 });
  const clock = new QueueClock();
  const it = {
    peer: peer as unknown as Peer,
    options: {},
    request: { name: "web-1", group: "default" },
    connection: parts as Connection,
    client,
    remote: "ssh.c.a.b",
    parts: new Set<() => void>(),
    clock,
    errorJson: (error: unknown) => String(error),
  } as unknown as Served;
  return {
    client,
    sent,
    resets,
    serve(id: string, asked: Asked) {
      heard.set(id, 1);
      return serve(it, id, asked);
    },
    /** The client sends a frame. */
    say(id: string, type: number, payload?: Uint8Array) {
      const seq = heard.get(id) ?? 0;
      heard.set(id, seq + 1);
      streams.get(id)?.receive(busFrame(type, seq, payload));
    },
    /** How many of the frames that were sent on a stream are of a type. */
    count: (id: string, type: number) =>
      sent.filter((it) => it.id === id && it.type === type).length,
    end() {
      for (const stop of it.parts) stop();
      clock.stop();
    },
  };
}

Deno.test("a worker keeps few signals and sizes for a process that has not started", async () => {
  for (const type of [Frame.signal, Frame.resize]) {
    const starting = Promise.withResolvers<RemoteProcess>();
    const worker = served({ spawn: () => starting.promise });
    const id = newId();
    const running = worker.serve(id, { kind: "command", line: "x" });
    const payload = type === Frame.signal
      ? SIGNAL
      : jsonBytes({ columns: 80, rows: 24 });
    for (let i = 0; i < 16; i++) worker.say(id, type, payload);
    assertEquals(worker.resets, []);
    worker.say(id, type, payload);
    assertEquals(worker.resets, [id]);
    starting.reject(new Error("stopped"));
    await running;
    worker.end();
  }
});

Deno.test("a worker keeps no long name of a signal, and no size that has no numbers", async () => {
  for (
    const [type, payload] of [
      [Frame.signal, jsonBytes("T".repeat(17))],
      [Frame.signal, jsonBytes(15)],
      [Frame.resize, jsonBytes({ columns: "8".repeat(1_000), rows: 24 })],
      [Frame.resize, jsonBytes({ columns: 80 })],
    ] as const
  ) {
    const starting = Promise.withResolvers<RemoteProcess>();
    const worker = served({ spawn: () => starting.promise });
    const id = newId();
    const running = worker.serve(id, { kind: "command", line: "x" });
    worker.say(id, type, payload);
    assertEquals(worker.resets, [id]);
    starting.reject(new Error("stopped"));
    await running;
    worker.end();
  }
});

Deno.test("a worker joins small pieces of input, and writes all of it in its order", async () => {
  const starting = Promise.withResolvers<RemoteProcess>();
  const worker = served({ spawn: () => starting.promise });
  const id = newId();
  const running = worker.serve(id, { kind: "command", line: "cat" });
  const expected = Uint8Array.from({ length: 30_000 }, (_, i) => i & 255);
  for (const byte of expected) {
    worker.say(id, Frame.input, Uint8Array.of(byte));
  }
  worker.say(id, Frame.eof);
  const pieces: Uint8Array[] = [];
  const status = Promise.withResolvers<
    { success: boolean; code: number; signal: null }
  >();
  const success = { success: true, code: 0, signal: null };
  starting.resolve({
    stdin: new WritableStream({
      write: (piece) => void pieces.push(piece),
      close: () => status.resolve(success),
    }),
    stdout: ReadableStream.from([]),
    stderr: ReadableStream.from([]),
    status: status.promise,
  } as unknown as RemoteProcess);
  await running;
  assertEquals(pieces.flatMap((piece) => [...piece]), [...expected]);
  assert(pieces.length < 20, `${pieces.length} pieces`);
  assertEquals(worker.count(id, Frame.exit), 1);
  worker.end();
});

/** A tunnel that says whether somebody has asked for its bytes. */
function quietTunnel() {
  const closed = Promise.withResolvers<void>();
  let isAsked = false;
  const tunnel: Tunnel = {
    get readable() {
      isAsked = true;
      return new ReadableStream<Uint8Array>();
    },
    get writable() {
      isAsked = true;
      return new WritableStream<Uint8Array>();
    },
    closed: closed.promise,
    close: () => closed.resolve(),
  };
  return { tunnel, closed: closed.promise, isAsked: () => isAsked };
}

const isSettled = async (promise: Promise<unknown>) =>
  await Promise.race([promise.then(() => true), turns().then(() => false)]);

Deno.test("what connects to a listener of a client counts as its sessions, and is opened once the client has it", async () => {
  let connect!: (tunnel: Tunnel) => void;
  const closed = Promise.withResolvers<void>();
  const worker = served({
    forwardIn(address, onConnection) {
      connect = onConnection;
      const close = () => (closed.resolve(), closed.promise);
      return Promise.resolve({ address, closed: closed.promise, close });
    },
  }, 2);
  const id = newId();
  const listen = { hostname: "127.0.0.1", port: 8080 };
  const running = worker.serve(id, { kind: "listen", listen });
  await turns();
  const [first, second, third] = [quietTunnel(), quietTunnel(), quietTunnel()];
  for (const { tunnel } of [first, second, third]) connect(tunnel);
  assertEquals(worker.client.sessions, 2);
  assertEquals(await isSettled(third.closed), true);
  const offers = worker.sent.filter(({ type }) => type === Frame.incoming)
    .map(({ payload }) => JSON.parse(new TextDecoder().decode(payload)));
  assertEquals(offers.length, 2);
  assertEquals([first.isAsked(), second.isAsked()], [false, false]);
  worker.say(offers[0], Frame.opened);
  await turns();
  assertEquals([first.isAsked(), second.isAsked()], [true, false]);
  // One that ends before the client has it is over for both.
  second.tunnel.close();
  await turns();
  assertEquals([worker.client.sessions, second.isAsked()], [1, false]);
  assertEquals(worker.count(offers[1], Frame.exit), 1);
  // A client may have it no more.
  const fourth = quietTunnel();
  connect(fourth.tunnel);
  const { payload } = worker.sent.at(-1)!;
  worker.say(JSON.parse(new TextDecoder().decode(payload)), Frame.stop);
  assertEquals(await isSettled(fourth.closed), true);
  await turns();
  assertEquals([worker.client.sessions, fourth.isAsked()], [1, false]);
  worker.end();
  await running;
});

Deno.test("connection.sftp() over the bus waits 20 s at most for the first word of a server", async () => {
  using time = new FakeTime();
  const worker = new FakeWorker();
  worker.answer = [[Frame.started, jsonBytes(null)]];
  const connector = new NatsConnector(worker.bus);
  const connection = await connector.connect(HOST);
  const starting = connection.sftp!().catch((error) => error);
  // The bus takes messages at the end of a turn.
  for (let i = 0; i < 10; i++) await new Promise((next) => setImmediate(next));
  assertEquals(worker.opened, ["subsystem"]);
  await time.advance(20_000);
  const error = await starting;
  assertInstanceOf(error, ConnectionLostError);
  assertStringIncludes(error.message, "the server does not answer");
  connector.close();
  worker.bus.close();
});
