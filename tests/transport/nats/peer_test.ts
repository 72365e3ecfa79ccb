// Peers and their streams over a bus in memory: what becomes of those that have
// gone, and what a stranger can do.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { mock } from "node:test";
import { StreamBytes, tunnelOf } from "../../../transport/nats/_bytes.ts";
import {
  busFrame,
  CHUNK_BYTES,
  Frame,
  HEADER_BYTES,
  newId,
  wordBytes,
} from "../../../transport/nats/_frames.ts";
import { Peer, type PeerParts } from "../../../transport/nats/_peer.ts";
import { Stream, type StreamPeer } from "../../../transport/nats/_stream.ts";
import { NatsConnector } from "../../../transport/nats/mod.ts";
import { DialError } from "../../../transport/errors.ts";
import { until } from "../../kit/until.ts";
import { MemoryBus } from "./_memory_bus.ts";

const REMOTE = `ssh.c.a.${"0".repeat(32)}`;
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

/** A peer over a bus in memory. */
function startPeer(parts: Partial<PeerParts> = {}) {
  const bus = new MemoryBus();
  const peer = new Peer({
    bus,
    base: "ssh.w.w1",
    remote: /^ssh\.c\.[a-z]+\.[0-9a-f]{32}$/,
    pingMs: 20,
    maxMisses: 3,
    idleEvery: 1,
    ...parts,
  });
  const lost: string[] = [];
  const open = () => {
    const id = newId();
    const stream = new Stream(peer, REMOTE, id, {
      frame: () => {},
      lost: ({ message }) => void lost.push(message),
    });
    return stream;
  };
  /** Frames of a type that were sent to a subject. */
  const sent = (type: number, to: string) =>
    bus.sent.filter(({ subject, payload }) =>
      subject === to && payload[0] === type
    ).length;
  return {
    bus,
    peer,
    lost,
    open,
    sent,
    [Symbol.dispose]() {
      peer.close();
      bus.close();
    },
  };
}

Deno.test("a peer that answers no ping is given up, and told of each stream in case it lives", async () => {
  using site = startPeer();
  const { bus, lost, open, sent } = site;
  bus.subscribe(`${REMOTE}.*`, { callback: () => {} });
  const streams = [open(), open()];
  for (const stream of streams) stream.noteOpened();
  await until(() => lost.length === 2);
  assertEquals(lost[0], "no answer to 3 pings");
  await turn();
  for (const { id } of streams) {
    assertEquals(sent(Frame.reset, `${REMOTE}.${id}`), 1);
  }
});

Deno.test("what was just opened is spared once when its peer has left, and not for ever", async () => {
  using site = startPeer();
  const { bus, lost, open } = site;
  const stream = open();
  // Its first frame arrives, and then nobody is there any more.
  bus.subscribe(`${REMOTE}.${stream.id}`, { callback: () => {} });
  stream.sendJson(Frame.open, {});
  await until(() => lost.length === 1);
  assertEquals(lost, ["the other side has left the bus"]);
  assertEquals(stream.wasSpared, true);
});

Deno.test("the streams with a peer that has left are looked through once, and not for each answer that says so", async () => {
  using site = startPeer({ pingMs: 60_000 });
  const { bus, lost, open } = site;
  let looks = 0;
  const { get } = Object.getOwnPropertyDescriptor(
    Stream.prototype,
    "isJustOpened",
  )!;
  const all = Array.from({ length: 300 }, () => {
    const stream = open();
    Object.defineProperty(stream, "isJustOpened", {
      get: () => (looks++, get!.call(stream)),
    });
    return stream;
  });
  const [idle, silent, ...rest] = all;
  idle!.noteOpened();
  // What was sent on it has arrived: only the answers of the others say that
  // nobody is there any more.
  bus.subscribe(`${REMOTE}.${silent!.id}`, { callback: () => {} });
  for (const stream of [silent!, ...rest]) stream.sendJson(Frame.open, {});
  await until(() => lost.length === rest.length + 1);
  assert(looks <= 3 * all.length, `${looks} looks at ${all.length} streams`);
  assertEquals([idle!.isOver, silent!.isOver], [true, false]);
  // Where nothing was open any more it is looked again.
  silent!.end();
  const later = open();
  later.noteOpened();
  open().sendJson(Frame.open, {});
  await until(() => later.isOver);
});

Deno.test("strangers are told so often in a second that there is no such stream, and not more often", async () => {
  using site = startPeer({ pingMs: 60_000 });
  const { bus, peer } = site;
  for (let i = 0; i < 700; i++) {
    const id = newId();
    const frame = busFrame(Frame.out, 3);
    bus.publish(`${peer.subject}.${id}`, frame, { reply: `${REMOTE}.${id}` });
  }
  await turn();
  await turn();
  const resets = bus.sent.filter(({ payload }) => payload[0] === Frame.reset);
  assertEquals(resets.length, 500);
});

Deno.test("the pings of a peer, and of all strangers, have so many answers from tick to tick", async () => {
  mock.timers.enable({ apis: ["setInterval"] } as never);
  try {
    using site = startPeer({ pingMs: 60_000 });
    const { bus, peer, open } = site;
    bus.subscribe(`${REMOTE}.*`, { callback: () => {} });
    open();
    const strangers = ["1", "2"].map((it) => `ssh.c.b.${it.repeat(32)}`);
    // With its own name each names 4,001, of 20,000.
    const audit = new Uint8Array(4_000 * 20);
    const answered = async (from: readonly string[]) => {
      bus.sent.length = 0;
      for (let i = 0; i < 10; i++) {
        const reply = `${from[i % from.length]}.x`;
        bus.publish(`${peer.subject}.ping`, audit, { reply });
      }
      await turn();
      await turn();
      return from.map((it) =>
        bus.sent.filter(({ subject }) => subject === `${it}.x`).length
      );
    };
    for (let ticks = 0; ticks < 2; ticks++) {
      assertEquals(await answered(strangers), [2, 2]);
      assertEquals(await answered(strangers), [0, 0]);
      assertEquals(await answered([REMOTE]), [4]);
      assertEquals(await answered([REMOTE]), [0]);
      mock.timers.tick(60_000);
    }
  } finally {
    mock.timers.reset();
  }
});

Deno.test("a ping of a stranger that names a stream does not disturb it", async () => {
  using site = startPeer({ pingMs: 60_000 });
  const { bus, peer, lost, open } = site;
  const stream = open();
  const other = `ssh.c.b.${"1".repeat(32)}`;
  const audit = new Uint8Array(20);
  for (let i = 0; i < 16; i++) {
    audit[i] = parseInt(stream.id.slice(2 * i, 2 * i + 2), 16);
  }
  audit[19] = 99;
  bus.publish(`${peer.subject}.ping`, audit, { reply: `${other}.x` });
  await until(() => bus.sent.some(({ subject }) => subject === `${other}.x`));
  // For who has it no more than for others: it is not known.
  const verdict = bus.sent.find(({ subject }) => subject === `${other}.x`)!;
  assertEquals([...verdict.payload], [...audit.subarray(0, 16)]);
  assertEquals([lost, stream.isOver], [[], false]);
  // Its own peer says the same, and there it counts.
  bus.publish(`${peer.subject}.ping`, audit, { reply: `${REMOTE}.x` });
  await until(() => lost.length === 1);
  assertEquals(lost, ["frames were lost on the bus"]);
});

Deno.test("a connector that the server has refused asks again once the bus is back", async () => {
  const bus = new MemoryBus();
  const connector = new NatsConnector(bus);
  const connect = () =>
    assertRejects(
      () => connector.connect({ hostname: "web-1", port: 22, user: "ops" }),
      DialError,
    );
  bus.refuse();
  assertEquals((await connect()).phase, "auth");
  bus.tell("disconnect");
  bus.tell("reconnect");
  await turn();
  const { phase, message } = await connect();
  assertEquals(phase, "tcp", message);
  connector.close();
  assertEquals(bus.subscriptions, 0);
  bus.close();
});

Deno.test("a connector sends nothing to what is no worker, whoever says that it is one", async () => {
  const epoch = "2".repeat(32);
  const named = [
    `ssh.c.evil.${epoch}`,
    `ssh.w.a.b.${epoch}`,
    `ssh.w.*.${epoch}`,
    `ssh.w.>.${epoch}`,
    `ssh.w..${epoch}`,
    `ssh.w.a b.${epoch}`,
    `ssh.w.a\r\nPUB x 0\r\n.${epoch}`,
    // The server would hang up.
    `ssh.w.${"a".repeat(5_000)}.${epoch}`,
    `ssh.w.a.${epoch}\n`,
    `ssh.w.a.${epoch}.x`,
    `ssh.w.a.x`,
    `$SYS.REQ.${epoch}`,
    [`ssh.w.a.${epoch}`],
  ];
  const bus = new MemoryBus();
  const connector = new NatsConnector(bus);
  const asked = new Set<string>();
  bus.subscribe("ssh.dial.default.*", {
    callback(_error, { subject, respond }) {
      asked.add(subject);
      const worker = named[Number(subject.split(".").at(-1))];
      const answer = { worker, ticket: newId() };
      respond(new TextEncoder().encode(JSON.stringify(answer)));
    },
  });
  await Promise.all(named.map(async (_, index) => {
    const alias = String(index);
    const host = { hostname: "web-1", port: 22, user: "ops", alias };
    const error = await assertRejects(
      () => connector.connect(host, { timeoutMs: 300 }),
      DialError,
      "no worker answered",
    );
    assertEquals(error.phase, "timeout");
  }));
  assertEquals(asked.size, named.length);
  assertEquals(
    bus.sent.filter(({ payload }) => payload[0] === Frame.open),
    [],
  );
  connector.close();
  bus.close();
});

Deno.test("a name that no worker takes is refused before anybody is asked", async () => {
  const bus = new MemoryBus();
  const connector = new NatsConnector(bus);
  // As parts of a subject these are longer.
  for (const alias of ["a".repeat(256), "ü".repeat(100), "a.".repeat(120)]) {
    const host = { hostname: "web-1", port: 22, user: "ops", alias };
    const error = await assertRejects(
      () => connector.connect(host),
      DialError,
      "its name is too long",
    );
    assertEquals([error.phase, bus.sent], ["config", []]);
  }
  connector.close();
  bus.close();
});

/** A stream whose frames go nowhere but into a list. */
function looseStream() {
  const sent: Uint8Array[] = [];
  const lost: string[] = [];
  const peer: StreamPeer = {
    subject: "me",
    chunkBytes: CHUNK_BYTES,
    publish: (_subject, payload) => void sent.push(payload),
    add: () => {},
    remove: () => {},
    reserve: () => false,
    release: () => {},
    reset: () => {},
  };
  const bytes = new StreamBytes("client", (message) => new Error(message));
  const stream = new Stream(peer, "you", newId(), {
    frame: (type, payload) => void bytes.frame(type, payload),
    lost: ({ message }) => void lost.push(message),
  });
  bytes.attach(stream);
  let seq = 0;
  const receive = (type: number, payload?: Uint8Array) =>
    stream.receive(busFrame(type, seq++, payload));
  return { stream, bytes, sent, lost, receive };
}

Deno.test("credit for more than a window ends the stream", () => {
  const { stream, lost, receive } = looseStream();
  receive(Frame.credit, wordBytes(512 * 1024));
  assertEquals(stream.isOver, false);
  receive(Frame.credit, wordBytes(600 * 1024));
  assertEquals(lost, ["the peer sent nonsense: a wrong credit"]);
});

Deno.test("who waits for room goes on when the stream ends", async () => {
  const { stream, sent } = looseStream();
  const writing = stream.write(Frame.input, new Uint8Array(100_000));
  await turn();
  assertEquals(sent.length, 1);
  stream.end();
  await writing;
  assertEquals(sent.length, 1);
});

Deno.test("of two that wait for room the second waits on if the first has taken it", async () => {
  const { stream, sent, receive } = looseStream();
  const writing = [Frame.out, Frame.err].map((type) =>
    stream.write(type, new Uint8Array(40_000))
  );
  for (const size of [7_000, 400, 40_000]) {
    receive(Frame.credit, wordBytes(size));
    await turn();
  }
  await Promise.all(writing);
  const data = sent.map((frame) => [frame[0]!, frame.length - HEADER_BYTES]);
  assertEquals(data, [
    [Frame.out, 32_768],
    [Frame.out, 7_000],
    [Frame.out, 232],
    [Frame.err, 168],
    [Frame.err, 39_832],
  ]);
});

Deno.test("a tunnel whose reader has stopped gives its peer no more credit", async () => {
  const { bytes, sent, lost, receive } = looseStream();
  const { readable } = tunnelOf(bytes);
  const credits = () => sent.filter(([type]) => type === Frame.credit).length;
  const chunk = new Uint8Array(8 * 1024);
  for (let i = 0; i < 8; i++) receive(Frame.out, chunk);
  const before = credits();
  // From here on it is full.
  receive(Frame.out, chunk);
  receive(Frame.out, chunk);
  assertEquals([credits(), lost], [before, []]);
  const reader = readable.getReader();
  for (let i = 0; i < 10; i++) {
    assertEquals((await reader.read()).value?.length, chunk.length);
  }
  await turn();
  assert(credits() > before);
  bytes.close();
});
