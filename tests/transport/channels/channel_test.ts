/** One channel, over a transport in memory. */

import { assertEquals, assertThrows } from "@std/assert";
import {
  CHANNEL_CLOSE,
  CHANNEL_DATA,
  CHANNEL_EOF,
  CHANNEL_FAILURE,
  CHANNEL_OPEN_CONFIRMATION,
  CHANNEL_REQUEST,
  CHANNEL_SUCCESS,
  CHANNEL_WINDOW_ADJUST,
} from "../../../transport/channels/_wire.ts";
import { fieldsOf, memoryTable, recorder } from "./_memory_transport.ts";

/** Bytes of a DATA message before its data: type, channel, length. */
const DATA_HEAD = 9;

Deno.test("Channel.request() throws what a bad value causes, ends nothing, and waits for no answer to it", () => {
  const { transport, say, broken, openChannel } = memoryTable();
  const channel = openChannel();
  const answers: [string, boolean][] = [];
  assertThrows(
    () =>
      channel.request("pty-req", ["xterm", 2 ** 40], (granted) => {
        answers.push(["bad", granted]);
      }),
    RangeError,
  );
  assertEquals(transport.sent, []);
  channel.request("env", ["A", "b"], (granted) => {
    answers.push(["good", granted]);
  });
  assertEquals(transport.taken(), [CHANNEL_REQUEST]);
  say(CHANNEL_SUCCESS, channel.id);
  assertEquals(answers, [["good", true]]);
  assertEquals(broken, []);
});

Deno.test("Channel gives answers to requests in their order, and passes over one that nobody asked for", () => {
  const { say, openChannel } = memoryTable();
  const channel = openChannel();
  const answers: string[] = [];
  for (const name of ["a", "b", "c"]) {
    channel.request("env", [name, ""], (granted) => {
      answers.push(`${name} ${granted}`);
    });
  }
  say(CHANNEL_SUCCESS, channel.id);
  say(CHANNEL_FAILURE, channel.id);
  say(CHANNEL_SUCCESS, channel.id);
  say(CHANNEL_FAILURE, channel.id);
  assertEquals(answers, ["a true", "b false", "c true"]);
});

Deno.test("Channel tells all who wait for its end, once, whether it was abandoned or not", () => {
  for (const isAbandoned of [false, true]) {
    const { say, openChannel } = memoryTable();
    const channel = openChannel();
    const told: string[] = [];
    channel.whenEnded(() => told.push("a"));
    channel.whenEnded(() => told.push("b"));
    if (isAbandoned) channel.close();
    say(CHANNEL_CLOSE, channel.id);
    say(CHANNEL_CLOSE, channel.id);
    channel.whenEnded(() => told.push("late"));
    assertEquals(told, ["a", "b", "late"]);
  }
});

Deno.test("Channel holds data back while much is unsent, whatever the window says, and gives each channel its turn", async () => {
  const { transport, table, say } = memoryTable();
  const channels = [0, 1].map((id) => {
    const channel = table.open(recorder());
    say(CHANNEL_OPEN_CONFIRMATION, id, 100 + id, 2 ** 32 - 1, 2 ** 15);
    return channel;
  });
  transport.taken();
  transport.unsentBytes = 2 ** 23;
  const writes = channels.map((it) => it.write(new Uint8Array(80_000)));
  for (const channel of channels) channel.eof();
  say(CHANNEL_WINDOW_ADJUST, 0, 0);
  assertEquals(transport.taken(), []);
  const turn = () => {
    table.onDrain();
    return transport.sent.splice(0).map((it) => fieldsOf(it).uint32());
  };
  // A packet of each, although as much is unsent again.
  assertEquals([turn(), turn()], [[100, 101], [100, 101]]);
  transport.unsentBytes = 0;
  // What is left, and the end of file.
  assertEquals(turn(), [100, 100, 101, 101]);
  await Promise.all(writes);
  assertEquals(turn(), []);
});

Deno.test("Channel sends in one piece what windows that are opened in one turn allow, and then its end of file", async () => {
  const { transport, say, openChannel } = memoryTable();
  const channel = openChannel(recorder(), 0);
  const written = channel.write(new Uint8Array(50_000));
  channel.eof();
  for (let i = 0; i < 3; i++) {
    say(CHANNEL_WINDOW_ADJUST, channel.id, 10_000);
  }
  await Promise.resolve();
  assertEquals(transport.sent.map((it) => it.length), [DATA_HEAD + 30_000]);
  transport.taken();
  say(CHANNEL_WINDOW_ADJUST, channel.id, 40_000);
  await written;
  assertEquals(transport.taken(), [CHANNEL_DATA, CHANNEL_EOF]);
});

Deno.test("Channel ends its transport when it cannot send what a window allows", async () => {
  const { transport, say, openChannel } = memoryTable();
  const channel = openChannel(recorder(), 0);
  channel.write(new Uint8Array(10));
  const error = new Error("no memory");
  transport.alloc = () => {
    throw error;
  };
  say(CHANNEL_WINDOW_ADJUST, channel.id, 10);
  await Promise.resolve();
  assertEquals(transport.destroyedWith, error);
});

Deno.test("Channel cuts its data into packets as its transport likes best, but for one more packet", () => {
  const { transport, openChannel } = memoryTable();
  transport.usualDataBytes = 2 ** 15 - 10;
  const channel = openChannel();
  const [usual, most] = [2 ** 15 - 10, 2 ** 15];
  for (
    const [bytes, ...packets] of [
      [10, 10],
      [2 ** 15, most],
      [2 ** 16, most, most],
      [2 ** 15 + 1, usual, 11],
      [228_445, ...Array(6).fill(usual), 228_445 - 6 * usual],
    ]
  ) {
    channel.write(new Uint8Array(bytes!));
    const sent = transport.sent.splice(0).map((it) => it.length - DATA_HEAD);
    assertEquals(sent, packets, `${bytes} bytes`);
  }
});

Deno.test("Channel sends what waits before what is written when a window was just opened", async () => {
  const { transport, say, openChannel } = memoryTable();
  const channel = openChannel(recorder(), 0);
  const first = channel.write(new Uint8Array(10));
  say(CHANNEL_WINDOW_ADJUST, channel.id, 100);
  assertEquals(channel.write(new Uint8Array(20)), undefined);
  await first;
  const sizes = transport.sent.map((it) => it.length - DATA_HEAD);
  assertEquals(sizes, [10, 20]);
});

Deno.test("Channel sends nothing but its CLOSE once it is closed, and that once", () => {
  const { transport, say, openChannel } = memoryTable();
  const channel = openChannel();
  channel.eof();
  channel.eof();
  assertEquals(transport.taken(), [CHANNEL_EOF]);
  channel.close();
  channel.tell("window-change", [80, 24, 0, 0]);
  channel.request("env", ["A", "b"], () => {});
  channel.signal("TERM");
  channel.write(new Uint8Array(10));
  channel.close();
  say(CHANNEL_REQUEST, channel.id, "keepalive@openssh.com", true);
  say(CHANNEL_CLOSE, channel.id);
  assertEquals(transport.taken(), [CHANNEL_CLOSE]);
});

Deno.test("Channel.close() ends a write that waits for the window, and sends none of it", async () => {
  const { transport, say, openChannel } = memoryTable();
  const channel = openChannel(recorder(), 0);
  const written = channel.write(new Uint8Array(10));
  channel.close();
  await written;
  say(CHANNEL_WINDOW_ADJUST, channel.id, 100);
  await Promise.resolve();
  assertEquals(transport.taken(), [CHANNEL_CLOSE]);
});

Deno.test("Channel gives nobody an answer that comes after its close()", () => {
  const { say, openChannel } = memoryTable();
  const channel = openChannel();
  const answers: boolean[] = [];
  channel.request("env", ["A", "b"], (granted) => answers.push(granted));
  channel.request("exec", ["true"], (granted) => answers.push(granted));
  say(CHANNEL_SUCCESS, channel.id);
  channel.close();
  say(CHANNEL_SUCCESS, channel.id);
  assertEquals(answers, [true]);
});

Deno.test("Channel.ref() holds no process for a channel that has ended", () => {
  const { transport, say, openChannel } = memoryTable();
  const channel = openChannel();
  channel.unref();
  say(CHANNEL_CLOSE, channel.id);
  channel.ref();
  assertEquals(transport.isRef, false);
});

Deno.test("Channel sends no packet of more than 32 KiB, whatever the server says that it takes", () => {
  const { transport, table, say } = memoryTable();
  const channel = table.open(recorder());
  const most = 2 ** 32 - 1;
  say(CHANNEL_OPEN_CONFIRMATION, channel.id, 100, most, most);
  transport.taken();
  channel.write(new Uint8Array(80_000));
  const sizes = transport.sent.map((it) => it.length - DATA_HEAD);
  assertEquals(sizes, [2 ** 15, 2 ** 15, 80_000 - 2 ** 16]);
});

Deno.test("Channel copies data that is only lent for who keeps it, and for no other", () => {
  for (const lendsData of [false, true]) {
    for (const copies of [false, true]) {
      const { transport, openChannel } = memoryTable();
      transport.lendsData = lendsData;
      const kept: Uint8Array[] = [];
      const keep = (chunk: Uint8Array) => kept.push(chunk) > 0;
      const channel = openChannel({
        ...recorder(),
        copies,
        stdout: keep,
        stderr: keep,
      });
      const memory = new TextEncoder().encode("data");
      channel.onData(memory.subarray(1), "stdout");
      channel.onData(memory.subarray(2), "stderr");
      memory.fill(0x78);
      assertEquals(
        kept.map((chunk) => new TextDecoder().decode(chunk)),
        lendsData && !copies ? ["ata", "ta"] : ["xxx", "xx"],
      );
    }
  }
});
