/** The channels of a connection, over a transport in memory. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { createServer } from "node:net";
import { serveAgent } from "../../../transport/channels/_agent_channels.ts";
import type { Channel } from "../../../transport/channels/_channel.ts";
import { openTunnel } from "../../../transport/channels/_tunnel.ts";
import { ProtocolViolation } from "../../../transport/channels/packet_transport.ts";
import * as wire from "../../../transport/channels/_wire.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { until } from "../../kit/until.ts";
import { rejection } from "../ssh2/_kit.ts";
import { fuzz, type Random } from "../../kit/random.ts";
import {
  fieldsOf,
  memoryTable,
  message,
  recorder,
} from "./_memory_transport.ts";

const HOST_KEYS = "hostkeys-00@openssh.com";
const AGENT = "auth-agent@openssh.com";

/** The fields of a CHANNEL_OPEN of the server, whose number is 7. */
const opening = (type: string) => [type, 7, 2 ** 21, 2 ** 15] as const;

Deno.test("ChannelTable acknowledges the first list of host keys, and answers the others with nothing", () => {
  const { transport, say } = memoryTable();
  for (let i = 0; i < 3; i++) say(wire.GLOBAL_REQUEST, HOST_KEYS, false);
  assertEquals([transport.acknowledged, transport.sent], [1, []]);
  say(wire.GLOBAL_REQUEST, HOST_KEYS, true);
  say(wire.GLOBAL_REQUEST, "keepalive@openssh.com", true);
  say(wire.GLOBAL_REQUEST, "whatever@example.org", false);
  assertEquals(transport.taken(), [wire.REQUEST_FAILURE, wire.REQUEST_FAILURE]);
});

Deno.test("ChannelTable takes a thousand unread answers, of whatever kind, and no more", () => {
  const { transport, say, openChannel } = memoryTable();
  const channel = openChannel();
  const questions = [
    () => say(wire.GLOBAL_REQUEST, "any@example.org", true),
    () => say(wire.CHANNEL_REQUEST, channel.id, "any@example.org", true),
    () => say(wire.CHANNEL_OPEN, ...opening("x11")),
  ];
  const ask = (times: number) => {
    for (let i = 0; i < times; i++) questions[i % 3]!();
  };
  // An upload that is on its way is no reason to count from the start.
  transport.unsentBytes = 1;
  ask(1000);
  assertThrows(() => ask(1), ProtocolViolation, "1000 answers unread");
  transport.unsentBytes = 0;
  ask(1);
  transport.unsentBytes = 1;
  ask(999);
  assertThrows(() => ask(1), ProtocolViolation);
});

Deno.test("ChannelTable opens none for a server that has left 4096 without its CLOSE, however many are open", () => {
  const { transport, table, say } = memoryTable();
  const channels: Channel[] = [];
  table.offers.accept(
    "x",
    () => (take) => void channels.push(take(recorder()).accept()!),
  );
  const answers = (times: number) => {
    for (let i = 0; i < times; i++) say(wire.CHANNEL_OPEN, ...opening("x"));
    return new Set(transport.taken());
  };
  assertEquals(answers(5000), new Set([wire.CHANNEL_OPEN_CONFIRMATION]));
  for (const channel of channels.slice(0, 4095)) channel.close();
  assertEquals(transport.taken().length, 4095);
  assertEquals(answers(1), new Set([wire.CHANNEL_OPEN_CONFIRMATION]));
  channels[4095]!.close();
  transport.taken();
  say(wire.CHANNEL_OPEN, ...opening("x"));
  const refusal = fieldsOf(transport.sent[0]);
  assertEquals([refusal.uint32(), refusal.uint32()], [7, 4]);
  assertEquals(transport.taken(), [wire.CHANNEL_OPEN_FAILURE]);
  say(wire.CHANNEL_CLOSE, channels[0]!.id);
  assertEquals(answers(1), new Set([wire.CHANNEL_OPEN_CONFIRMATION]));
  assertEquals(channels.length, 5002);
});

Deno.test("ChannelTable counts the channels that it has given up, and opens others for the server", async () => {
  const { transport, table, say } = memoryTable({ closeMs: 20 });
  const kept: Channel[] = [];
  table.offers.accept(
    "x",
    () => (take) => void kept.push(take(recorder()).accept()!),
  );
  const answer = () => {
    transport.taken();
    say(wire.CHANNEL_OPEN, ...opening("x"));
    return transport.taken();
  };
  assertEquals(answer(), [wire.CHANNEL_OPEN_CONFIRMATION]);
  for (let i = 0; i < 4095; i++) {
    say(wire.CHANNEL_OPEN, ...opening("x"));
    kept.pop()!.close();
  }
  await until(() => table.isFailing);
  // One is open, so that the connection is not over: and one more may be.
  assertEquals(answer(), [wire.CHANNEL_OPEN_CONFIRMATION]);
  kept.pop()!.close();
  assertEquals(answer(), [wire.CHANNEL_OPEN_FAILURE]);
  table.end();
});

Deno.test("ChannelTable gives no number a second time while one of 2^31 is free", () => {
  const { table, say, openChannel } = memoryTable();
  const kept = openChannel();
  const ids = [kept.id];
  for (let i = 0; i < 100; i++) {
    const channel = openChannel();
    ids.push(channel.id);
    channel.close();
    say(wire.CHANNEL_CLOSE, channel.id);
  }
  assertEquals(new Set(ids).size, 101);
  assertEquals(table.sessions, 1);
});

Deno.test("ChannelTable drops what comes for a channel that is closed, and hears of one that was given up", async () => {
  const { transport, table, broken, say } = memoryTable({ openMs: 20 });
  const observer = recorder();
  const kept = table.open(recorder());
  say(wire.CHANNEL_OPEN_CONFIRMATION, kept.id, 5, 0, 2 ** 15);
  const channel = table.open(observer);
  const keepAlive = setInterval(() => {}, 1000);
  await until(() => observer.heard.length > 0);
  clearInterval(keepAlive);
  assertEquals(observer.heard, ["unanswered"]);
  assertEquals([table.sessions, table.isFailing, broken], [1, true, []]);
  transport.taken();
  // It is opened after all: it is closed again, and what it says is dropped.
  say(wire.CHANNEL_OPEN_CONFIRMATION, channel.id, 6, 2 ** 21, 2 ** 15);
  assertEquals(transport.taken(), [wire.CHANNEL_CLOSE]);
  say(wire.CHANNEL_DATA, channel.id, "late");
  say(wire.CHANNEL_EOF, channel.id);
  say(wire.CHANNEL_CLOSE, channel.id);
  say(wire.CHANNEL_DATA, channel.id, "later");
  say(wire.CHANNEL_DATA, 12345, "of nobody");
  assertEquals([observer.heard, transport.taken()], [["unanswered"], []]);
  // The last that is open takes the connection with it.
  say(wire.CHANNEL_CLOSE, kept.id);
  assertEquals(broken.length, 1);
});

Deno.test("ChannelTable ends a connection that fails with the last of its channels, although the server never says what becomes of those that were given up", async () => {
  const { table, broken, say } = memoryTable({ openMs: 20 });
  const kept = table.open(recorder());
  say(wire.CHANNEL_OPEN_CONFIRMATION, kept.id, 5, 0, 2 ** 15);
  const observers = [recorder(), recorder()];
  for (const observer of observers) table.open(observer);
  const keepAlive = setInterval(() => {}, 1000);
  await until(() => observers.every(({ heard }) => heard.length > 0));
  clearInterval(keepAlive);
  assertEquals(broken, []);
  say(wire.CHANNEL_CLOSE, kept.id);
  assertEquals(broken.length, 1);
});

Deno.test("ChannelTable ends a connection that fails although a spare is open and unused", async () => {
  const { table, broken, say } = memoryTable({ openMs: 20, hasSpares: true });
  const spares = table.spares!;
  const answered = spares.open();
  say(wire.CHANNEL_OPEN_CONFIRMATION, 0, 50, 2 ** 21, 2 ** 15);
  await answered;
  assertEquals(spares.count, 1);
  // Takes the spare, and closes it in order.
  const used = table.open(recorder());
  say(wire.CHANNEL_CLOSE, used.id);
  const again = spares.open();
  say(wire.CHANNEL_OPEN_CONFIRMATION, 1, 51, 2 ** 21, 2 ** 15);
  await again;
  const second = spares.open();
  const keepAlive = setInterval(() => {}, 1000);
  const error = await rejection(second);
  clearInterval(keepAlive);
  assert(error instanceof ConnectionLostError);
  assertMatch(error.message, /open a channel$/);
  assertEquals([spares.count, table.isFailing, broken], [0, true, []]);
  say(wire.CHANNEL_CLOSE, 1);
  assertEquals(broken.length, 1);
});

Deno.test("SpareChannels.open() rejects for a spare that is closed before the server answers", async () => {
  const { transport, table, say } = memoryTable({ hasSpares: true });
  const spares = table.spares!;
  const opened = rejection(spares.open());
  const closed = spares.close();
  assert(await opened instanceof ConnectionLostError);
  transport.taken();
  say(wire.CHANNEL_OPEN_CONFIRMATION, 0, 50, 2 ** 21, 2 ** 15);
  assertEquals(transport.taken(), [wire.CHANNEL_CLOSE]);
  say(wire.CHANNEL_CLOSE, 0);
  await closed;
});

Deno.test("ChannelTable expects no CLOSE any more for a channel that has ended", async () => {
  const { table, say, openChannel } = memoryTable({ closeMs: 20 });
  const channel = openChannel();
  channel.close();
  say(wire.CHANNEL_CLOSE, channel.id);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assertEquals(table.isFailing, false);
  // On a busy machine its timer still runs.
  table.end();
});

Deno.test("ChannelTable gives the answer to our CLOSE its whole time, although that of the server was due", async () => {
  const closeMs = 200;
  const { transport, table, say, openChannel } = memoryTable({ closeMs });
  const channel = openChannel();
  let closedAt = NaN;
  transport.onSend = ([type]) => {
    if (type === wire.CHANNEL_CLOSE) closedAt = performance.now();
  };
  say(wire.CHANNEL_REQUEST, channel.id, "exit-status", false, 0);
  say(wire.CHANNEL_EOF, channel.id);
  await new Promise((resolve) => setTimeout(resolve, closeMs / 2));
  channel.close();
  await until(() => table.isFailing);
  // A timer may fire a moment early.
  assert(performance.now() - closedAt >= closeMs - 2);
});

Deno.test("ChannelTable waits no longer for a CLOSE of the server that says its status again", async () => {
  const { transport, table, say, openChannel } = memoryTable({ closeMs: 50 });
  const observer = recorder();
  const channel = openChannel(observer);
  say(wire.CHANNEL_EOF, channel.id);
  const repeating = setInterval(
    () => say(wire.CHANNEL_REQUEST, channel.id, "exit-status", false, 0),
    5,
  );
  await until(() => observer.heard.includes("closed"));
  clearInterval(repeating);
  assertEquals(transport.taken(), [wire.CHANNEL_CLOSE]);
  table.end();
});

Deno.test("ChannelTable expects no answer any more on a channel that has ended, whoever ended it", async () => {
  for (const end of ["close()", "CLOSE", "answer"]) {
    const { table, say, openChannel } = memoryTable({ answerMs: 20 });
    const channel = openChannel();
    const answered = channel.awaitWord();
    channel.request("exec", ["true"], () => {});
    if (end === "close()") channel.close();
    else if (end === "CLOSE") say(wire.CHANNEL_CLOSE, channel.id);
    else {
      say(wire.CHANNEL_SUCCESS, channel.id);
      answered();
    }
    await new Promise((resolve) => setTimeout(resolve, 60));
    assertEquals(table.isFailing, false, end);
    table.end();
  }
});

Deno.test("A spare that is used keeps the process alive, and one that is not lets it end", async () => {
  const { transport, table, say } = memoryTable({ hasSpares: true });
  const answered = table.spares!.open();
  say(wire.CHANNEL_OPEN_CONFIRMATION, 0, 50, 2 ** 21, 2 ** 15);
  await answered;
  assertEquals(transport.isRef, false);
  const channel = table.open(recorder());
  assertEquals([channel.id, transport.isRef], [0, true]);
  say(wire.CHANNEL_CLOSE, channel.id);
  assertEquals(transport.isRef, false);
});

Deno.test("A spare that is closed in the turn in which it is taken is not opened to who took it", async () => {
  const { transport, table, say } = memoryTable({ hasSpares: true });
  const answered = table.spares!.open();
  say(wire.CHANNEL_OPEN_CONFIRMATION, 0, 50, 2 ** 21, 2 ** 15);
  await answered;
  transport.taken();
  const observer = recorder();
  table.open(observer).close();
  await Promise.resolve();
  assertEquals([observer.heard, transport.taken()], [[], [wire.CHANNEL_CLOSE]]);
});

Deno.test("openTunnel() that is aborted before the answer closes the channel when it is opened", async () => {
  const { transport, table, say } = memoryTable();
  const stop = new AbortController();
  const opened = rejection(openTunnel(
    table,
    { hostname: "db1", port: 22 },
    {
      host: "ops@gate:22",
      lost: (doing) => new ConnectionLostError(doing, { host: "ops@gate:22" }),
      signal: stop.signal,
    },
  ));
  const reason = new Error("changed my mind");
  stop.abort(reason);
  assertEquals(await opened, reason);
  assertEquals(transport.taken(), [wire.CHANNEL_OPEN]);
  say(wire.CHANNEL_OPEN_CONFIRMATION, 0, 50, 2 ** 21, 2 ** 15);
  const close = fieldsOf(transport.sent[0]);
  assertEquals([transport.taken(), close.uint32()], [[wire.CHANNEL_CLOSE], 50]);
});

/** An agent that says one word to each who connects, and ends. */
async function startAgent() {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/agent`;
  let asked = 0;
  const agent = createServer({ allowHalfOpen: true }, (socket) => {
    asked++;
    socket.on("error", () => {}).on("end", () => socket.end());
    socket.once("data", (said) => socket.end(`heard ${said}`));
  });
  await new Promise<void>((done) => agent.listen(path, done));
  return {
    path,
    asked: () => asked,
    async [Symbol.asyncDispose]() {
      await new Promise((done) => agent.close(done));
      await Deno.remove(folder, { recursive: true });
    },
  };
}

const lost = (doing: string) =>
  new ConnectionLostError(doing, { host: "ops@web-1:22" });

Deno.test("ChannelTable leads a channel of the agent to its socket, and refuses one that was not asked for", async () => {
  await using agent = await startAgent();
  const { transport, table, say } = memoryTable();
  const forwarded = { path: agent.path, isForwarded: false };
  say(wire.CHANNEL_OPEN, ...opening(AGENT));
  serveAgent(table, forwarded, lost);
  say(wire.CHANNEL_OPEN, ...opening(AGENT));
  const refusals = transport.sent.splice(0).map((payload) => {
    const fields = fieldsOf(payload);
    return [payload[0], fields.uint32(), fields.uint32()];
  });
  // Of an unknown type first, then prohibited.
  const { CHANNEL_OPEN_FAILURE } = wire;
  assertEquals(refusals, [[CHANNEL_OPEN_FAILURE, 7, 3], [
    CHANNEL_OPEN_FAILURE,
    7,
    1,
  ]]);
  forwarded.isForwarded = true;
  say(wire.CHANNEL_OPEN, ...opening(AGENT));
  await until(() => transport.sent.length > 0);
  assertEquals(transport.taken(), [wire.CHANNEL_OPEN_CONFIRMATION]);
  say(wire.CHANNEL_DATA, 0, "sign this");
  say(wire.CHANNEL_EOF, 0);
  await until(() => transport.sent.some((it) => it[0] === wire.CHANNEL_CLOSE));
  const answer = fieldsOf(transport.sent[0]);
  assertEquals([answer.uint32(), answer.string()], [7, "heard sign this"]);
  say(wire.CHANNEL_CLOSE, 0);
  assertEquals([agent.asked(), transport.isRef], [1, false]);
});

Deno.test("ChannelTable opens 64 channels to the agent at once, and the next when one has ended", async () => {
  await using agent = await startAgent();
  const { transport, table, say } = memoryTable();
  serveAgent(table, { path: agent.path, isForwarded: true }, lost);
  for (let i = 0; i < 65; i++) say(wire.CHANNEL_OPEN, ...opening(AGENT));
  // The others wait for the agent.
  assertEquals(transport.taken(), [wire.CHANNEL_OPEN_FAILURE]);
  await until(() => agent.asked() === 64);
  await until(() => transport.sent.length >= 64);
  table.end();
  await until(() => {
    transport.taken();
    say(wire.CHANNEL_OPEN, ...opening(AGENT));
    return transport.taken().length === 0;
  });
  await until(() => agent.asked() === 65);
  table.end();
});

Deno.test("ChannelTable refuses a channel of the agent whose socket is gone", async () => {
  const { transport, table, say } = memoryTable();
  const path = "/no/such/agent";
  serveAgent(table, { path, isForwarded: true }, lost);
  say(wire.CHANNEL_OPEN, ...opening(AGENT));
  await until(() => transport.sent.length > 0);
  const refusal = fieldsOf(transport.sent[0]);
  assertEquals([refusal.uint32(), refusal.uint32()], [7, 2]);
  assertEquals(transport.taken(), [wire.CHANNEL_OPEN_FAILURE]);
});

Deno.test("ChannelTable answers any bytes with a violation or in order, and tells each observer of one end", async () => {
  let violations = 0;
  const rounds = await fuzz((random) => {
    const { table, say, transport } = memoryTable({ hasSpares: true });
    serveAgent(table, { path: "/no/such/agent", isForwarded: false }, lost);
    const observers = Array.from({ length: 3 }, () => recorder());
    for (const observer of observers) {
      const channel = table.open(observer);
      if (random.below(4) === 0) continue;
      say(wire.CHANNEL_OPEN_CONFIRMATION, channel.id, 9, 2 ** 20, 2 ** 15);
      channel.request("exec", ["true"], () => {});
    }
    for (let i = 0; i < 40; i++) {
      const payload = hostileMessage(random);
      try {
        table.onPayload(payload);
      } catch (error) {
        assert(error instanceof ProtocolViolation, `${error}: ${payload}`);
        violations++;
      }
    }
    table.end();
    assertEquals(transport.isRef, false);
    for (const { heard } of observers) {
      const ends = heard.filter((it) => /^(closed|lost|refused)/.test(it));
      assertEquals(ends.length, 1, `${heard}`);
      assert(ends[0] === heard.at(-1), `${heard}`);
    }
  });
  // Of one that is run again alone nothing is known.
  assert(
    rounds === 1 || violations > rounds,
    `${violations} in ${rounds} rounds`,
  );
});

/** A message that has the right form, or one byte of it wrong, or none. */
function hostileMessage(random: Random): Uint8Array {
  const numbers = [0, 1, 2, 3, 2 ** 15, 2 ** 31, 2 ** 32 - 1];
  const number = () => numbers[random.below(numbers.length)]!;
  const type = 80 + random.below(21);
  const fields = Array.from({ length: random.below(6) }, () => {
    switch (random.below(4)) {
      case 0:
        return ["exit-status", "exit-signal", AGENT, "x"][random.below(4)]!;
      case 1:
        return random.below(2) === 1;
      default:
        return number();
    }
  });
  const payload = message(type, number() % 4, ...fields);
  const cut = payload.subarray(0, 1 + random.below(payload.length));
  return random.below(3) === 0 ? cut : payload;
}

Deno.test("ChannelTable.onData() takes a part of a message as it takes a message", () => {
  const { table, say, openChannel, transport } = memoryTable();
  const observer = recorder();
  const channel = openChannel(observer);
  const bytes = (text: string) => new TextEncoder().encode(text);
  table.onData(channel.id, bytes("one"));
  say(wire.CHANNEL_DATA, channel.id, "two");
  assertEquals(observer.heard, ["opened", "stdout one", "stdout two"]);
  // Each byte counts, once: the whole window, and the tenth that is put up with.
  const pieces = 2 ** 21 * 1.2 / 2 ** 15;
  observer.stdout = () => false;
  assertThrows(
    () => {
      for (let i = 0; i < pieces; i++) {
        table.onData(channel.id, new Uint8Array(2 ** 15));
      }
    },
    ProtocolViolation,
    "more on a channel than its window allows",
  );
  const opening = table.open(recorder());
  assertThrows(() => table.onData(opening.id, bytes("?")), ProtocolViolation);
  transport.sent.length = 0;
  table.onData(4711, bytes("of one that was closed"));
  assertEquals(transport.sent, []);
});

Deno.test("MessageReader reads the text that sendMessage() wrote, short or long, ASCII or not", () => {
  for (
    const text of [
      "",
      "exec",
      "\x00\x7f",
      "\x80",
      "\u00e9".repeat(32),
      "a".repeat(64),
      "a".repeat(65),
      "\u{1f600} x".repeat(40),
    ]
  ) {
    const bytes = new TextEncoder().encode(text);
    const payload = message(
      wire.CHANNEL_REQUEST,
      2 ** 32 - 1,
      text,
      bytes,
      true,
    );
    const fields = fieldsOf(payload);
    assertEquals(fields.uint32(), 2 ** 32 - 1);
    assertEquals(fields.string(), text);
    assertEquals(fields.string(), text);
    assertEquals(fields.boolean(), true);
    assertEquals(payload.length, 1 + 4 + 2 * (4 + bytes.length) + 1);
  }
});
