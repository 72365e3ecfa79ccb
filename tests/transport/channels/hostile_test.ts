/** Servers that send numbers which no server may, floods, and too little. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import type { Connection } from "../../../transport/connector.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { string, uint32 } from "../../../transport/ssh2/_bytes.ts";
import { until } from "../../kit/until.ts";
import { connect, rejection } from "../ssh2/_kit.ts";
import {
  type RawCommand,
  type RawServerProtocol,
  sendRaw,
  startRawServer,
} from "../ssh2/_raw_server.ts";
import {
  connectWithin,
  type ScriptedChannel,
  scriptedTest,
  startScriptedServer,
} from "../ssh2/_scripted_server.ts";

const GLOBAL_REQUEST = 80;
const REQUEST_SUCCESS = 81;
const OPEN = 90;
const WINDOW_ADJUST = 93;
const EXTENDED_DATA = 95;
const WINDOW = 2 * 1024 * 1024;

/** Asserts that the connection ends, and that this is why. */
async function endsBecause(connection: Connection, why: RegExp) {
  // Within a time: otherwise it never would.
  await until(() => connection.isClosed);
  const reason = await connection.closed;
  assert(reason.kind === "lost", reason.kind);
  assertMatch(reason.message, why);
}

for (const size of [0, 1, 100, 511]) {
  Deno.test(`Connection ends when the server takes packets of ${size} bytes at most`, async () => {
    await using server = await startScriptedServer({
      onOpen: (channel) => channel.confirm(size),
    });
    await using connection = await connect(server.host);
    const stdin = "x".repeat(100_000);
    const running = connection.exec("cat", { stdin, timeoutMs: 5000 });
    const error = await rejection(running);
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, false);
    await endsBecause(connection, new RegExp(`packets of ${size} bytes`));
  });
}

scriptedTest(
  "Connection sends to a server that takes packets of 512 bytes at most no more than those",
  {
    onOpen: (channel) => channel.confirm(512),
    onRequest(channel, { type }) {
      if (type === "exec") channel.succeed();
    },
    onClose: (channel) => channel.close(),
    onEof(channel) {
      const pieces = channel.seen.filter((it) => it.startsWith("data "));
      const sizes = pieces.map((it) => it.length - "data ".length);
      channel.say(`${Math.max(...sizes)} ${sizes.reduce((a, b) => a + b)}`);
      channel.status(0);
      channel.eof();
      channel.close();
    },
  },
  async (connection) => {
    const stdin = "x".repeat(5000);
    assertEquals((await connection.exec("wc", { stdin })).stdout, "512 5000");
  },
);

/** A GLOBAL_REQUEST that wants an answer. */
const question = [GLOBAL_REQUEST, ...string("nothing@example.org"), 1];

/** A relay to a server, whose client can stop to hear and to be heard. */
async function startRelay(port: number) {
  const clients: Socket[] = [];
  const relay = createServer((client) => {
    clients.push(client);
    const server = connectTcp(port, "127.0.0.1");
    for (const [from, to] of [[client, server], [server, client]] as const) {
      from.on("error", () => {});
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((done) => relay.listen(0, "127.0.0.1", done));
  return {
    port: (relay.address() as { port: number }).port,
    stopReading: () => clients.forEach((client) => client.pause().unpipe()),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      await new Promise((done) => relay.close(done));
    },
  };
}

Deno.test("Connection ends when the server asks and asks and reads no answer", async () => {
  await using server = await startRawServer();
  await using relay = await startRelay(server.host.port!);
  await using connection = await connect({ ...server.host, port: relay.port });
  relay.stopReading();
  const protocol = server.protocol();
  // Far more than the system buffers of the sockets hold, and no more than
  // would be kept in the memory of this test.
  for (let sent = 0; sent < 400_000 && !connection.isClosed; sent++) {
    sendRaw(protocol, question);
    if (sent % 1000 === 0) await new Promise((done) => setTimeout(done, 0));
  }
  // On a busy machine they may still be on their way.
  await endsBecause(connection, /has left 1000 answers unread/);
});

Deno.test("Connection answers any number of questions of a server that reads the answers", async () => {
  await using server = await startRawServer(({ channel }) => {
    channel.exit(0);
    channel.end();
  });
  await using connection = await connect(server.host);
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 500; i++) sendRaw(server.protocol(), question);
    // Its answers come before the command.
    await connection.exec("true");
  }
  assertEquals(connection.isClosed, false);
});

Deno.test("Connection reads no more of an input than a server takes, however wide its window is", async () => {
  await using server = await startRawServer(undefined, (protocol) => {
    const { _handlers: handlers } = protocol;
    handlers.CHANNEL_OPEN = (_protocol, { sender }) =>
      protocol.channelOpenConfirm(sender, 0, 2 ** 32 - 1, 2 ** 15);
    handlers.CHANNEL_REQUEST = () => protocol.channelSuccess(0);
    handlers.CHANNEL_DATA = () => {};
  });
  await using relay = await startRelay(server.host.port!);
  await using connection = await connect({ ...server.host, port: relay.port });
  const process = await connection.spawn("cat");
  relay.stopReading();
  const writer = process.stdin.getWriter();
  writer.closed.catch(() => {});
  const chunk = new Uint8Array(2 ** 20);
  let written = 0;
  const writing = (async () => {
    for (; written < 200; written++) await writer.write(chunk);
  })().catch(() => {});
  // 8 MiB here, and what the system holds of three sockets.
  let before = -1;
  while (written !== before) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert(written < 60, `${written} MiB were taken`);
  await connection.close();
  await writing;
});

/** What is asked for and never answered, and whether something may have run. */
const UNANSWERED: Record<
  string,
  { run: (connection: Connection) => Promise<unknown>; mayHaveRun: boolean }
> = {
  "exec()": { run: (it) => it.exec("true"), mayHaveRun: true },
  "exec() with a variable": {
    run: (it) => it.exec("true", { env: { NAME: "value" } }),
    mayHaveRun: false,
  },
  "spawn()": { run: (it) => it.spawn("true"), mayHaveRun: true },
  "spawn() in a terminal": {
    run: (it) => it.spawn("true", { pty: true }),
    mayHaveRun: false,
  },
  "shell()": { run: (it) => it.shell!(), mayHaveRun: false },
  "sftp()": { run: (it) => it.sftp!(), mayHaveRun: false },
};

for (const [name, { run, mayHaveRun }] of Object.entries(UNANSWERED)) {
  scriptedTest(
    `Connection.${name} rejects when the server opens the channel and never answers what is asked on it, and the connection ends`,
    { onRequest() {} },
    async (connection) => {
      const error = await rejection(run(connection));
      assertInstanceOf(error, ConnectionLostError);
      assertEquals(error.mayHaveRun, mayHaveRun);
      assertMatch(error.message, /the server does not answer$/);
      assertEquals(connection.isFailing, true);
      await endsBecause(connection, /did not answer a request on a channel/);
    },
    { answerMs: 100 },
  );
}

scriptedTest(
  "Connection.sftp() rejects when what was started says nothing, and the connection ends",
  {},
  async (connection) => {
    const error = await rejection(connection.sftp!());
    assertInstanceOf(error, ConnectionLostError);
    assertMatch(error.message, /the server does not answer$/);
    await endsBecause(connection, /did not answer a request on a channel/);
  },
  { answerMs: 100 },
);

scriptedTest(
  "Connection lets a command run for as long as it likes, once it was granted",
  {
    onRequest(channel, { type }) {
      if (type !== "exec") return;
      channel.succeed();
      setTimeout(() => {
        channel.status(3);
        channel.close();
      }, 1300);
    },
  },
  async (connection) => {
    assertEquals((await connection.exec("long")).code, 3);
    assertEquals(connection.isFailing, false);
  },
  { answerMs: 1000, openMs: 1000 },
);

{
  const channels: ScriptedChannel[] = [];
  scriptedTest(
    "Connection closes the channel of a command that was aborted before the server answered, once it does not answer",
    { onOpen: (it) => void (channels.push(it), it.confirm()), onRequest() {} },
    async (connection) => {
      const stop = new AbortController();
      const { signal } = stop;
      const aborted = rejection(connection.exec("mute", { signal }));
      await until(() => channels[0]?.seen.includes("exec mute") ?? false);
      const reason = new Error("enough");
      stop.abort(reason);
      assertEquals(await aborted, reason);
      await until(() => channels[0]!.seen.includes("close"));
      await connection.closed;
    },
    { answerMs: 100 },
  );
}

{
  const channels: ScriptedChannel[] = [];
  scriptedTest(
    "Connection closes the channel of a command that was aborted and then refused",
    { onOpen: (it) => void (channels.push(it), it.confirm()), onRequest() {} },
    async (connection) => {
      const stop = new AbortController();
      const { signal } = stop;
      const aborted = rejection(connection.exec("refused", { signal }));
      await until(() => channels[0]?.seen.includes("exec refused") ?? false);
      stop.abort();
      await aborted;
      channels[0]!.fail();
      await until(() => connection.openChannels === 0);
      assertEquals(channels[0]!.seen, ["exec refused", "eof", "close"]);
      assertEquals(connection.isFailing, false);
    },
  );
}

const VIOLATIONS: Record<string, [(it: RawCommand) => void, RegExp]> = {
  "sends data after its end of file": [({ id, protocol }) => {
    protocol.channelEOF(id);
    protocol.channelData(id, new Uint8Array(10));
  }, /data after its end of file/],
  "opens a window further than there are numbers": [({ id, protocol }) => {
    const message = [WINDOW_ADJUST, ...uint32(id), ...uint32(2 ** 32 - 1)];
    sendRaw(protocol, message);
    sendRaw(protocol, message);
  }, /opened a window too far/],
  "opens a channel a second time": [({ id, protocol }) => {
    protocol.channelOpenConfirm(id, 5, 2 ** 21, 2 ** 15);
  }, /opened a channel twice/],
  "refuses a channel that is open": [({ id, protocol }) => {
    const text = [...string(""), ...string("")];
    sendRaw(protocol, [92, ...uint32(id), ...uint32(2), ...text]);
  }, /refused a channel that is open/],
  "sends a message that is cut off": [({ id, protocol }) => {
    sendRaw(protocol, [WINDOW_ADJUST, ...uint32(id), 1]);
  }, /message 93 that is too short/],
  "sends data of a length that it has not": [({ id, protocol }) => {
    sendRaw(protocol, [94, ...uint32(id), ...uint32(2 ** 31), 1, 2, 3]);
  }, /message 94 that is too short/],
};

for (const [what, [misbehave, why]] of Object.entries(VIOLATIONS)) {
  Deno.test(`Connection ends when the server ${what}`, async () => {
    await using server = await startRawServer(misbehave);
    await using connection = await connect(server.host);
    const running = connection.exec("anything", { timeoutMs: 5000 });
    const error = await rejection(running);
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, true);
    await endsBecause(connection, why);
  });
}

Deno.test("Connection ends when the server sends extended data of an unknown type beyond the window of a reader that is slow", async () => {
  const chunk = new Uint8Array(32_000);
  await using server = await startRawServer(({ id, protocol }) => {
    const head = [EXTENDED_DATA, ...uint32(id), ...uint32(7)];
    const unknown = new Uint8Array([...head, ...string(chunk)]);
    for (let sent = 0; sent < WINDOW; sent += chunk.length) {
      // Half of it is output, which nobody reads.
      protocol.channelData(id, chunk);
      sendRaw(protocol, unknown);
    }
  });
  await using connection = await connect(server.host);
  const process = await connection.spawn("flood");
  await endsBecause(connection, /more on a channel than its window allows/);
  await process[Symbol.asyncDispose]();
});

/** Has the server grant a remote forward, and say something then. */
async function forwarded(
  port: number,
  then: (protocol: RawServerProtocol) => void = () => {},
) {
  let handlers: Record<string, unknown> | undefined;
  const server = await startRawServer(undefined, (protocol) => {
    handlers = protocol._handlers as unknown as Record<string, unknown>;
    handlers["GLOBAL_REQUEST"] = () => {
      sendRaw(protocol, [REQUEST_SUCCESS, ...uint32(port)]);
      then(protocol);
    };
  });
  const connection = await connect(server.host);
  const listening = connection.forwardIn!(
    { hostname: "127.0.0.1", port: 0 },
    () => {},
  );
  listening.catch(() => {});
  return {
    listening,
    connection,
    async [Symbol.asyncDispose]() {
      await connection.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

for (const port of [0, 65_536, 2 ** 32 - 1]) {
  Deno.test(`Connection ends when the server listens on port ${port}`, async () => {
    await using it = await forwarded(port);
    assertInstanceOf(await rejection(it.listening), ConnectionLostError);
    await endsBecause(it.connection, new RegExp(`listens on port ${port}`));
  });
}

Deno.test("Connection ends when the server opens a channel with packets of 0 bytes", async () => {
  await using it = await forwarded(4000, (protocol) => {
    const address = [...string("127.0.0.1"), ...uint32(4000)];
    sendRaw(protocol, [
      OPEN,
      ...string("forwarded-tcpip"),
      ...uint32(0),
      ...uint32(WINDOW),
      ...uint32(0),
      ...address,
      ...address,
    ]);
  });
  await endsBecause(it.connection, /packets of 0 bytes/);
});

{
  const channels: ScriptedChannel[] = [];
  scriptedTest(
    "Connection uses no number of a channel again soon: what the server says late does not reach the next",
    {
      onOpen: (it) => void (channels.push(it), it.confirm()),
      onRequest(channel, { type, data }) {
        if (type !== "exec") return;
        if (data === "first") return channel.complete("one");
        channels[0]!.say("of the first");
        channels[0]!.status(9);
        channel.complete("two");
      },
    },
    async (connection) => {
      assertEquals((await connection.exec("first")).stdout, "one");
      const { stdout, code } = await connection.exec("second");
      assertEquals([stdout, code], ["two", 0]);
    },
  );
}

Deno.test("Connection has a deadline of its own for requests: a slow start is no failed open", async () => {
  await using server = await startScriptedServer({
    onRequest: (channel, { type }) => {
      if (type === "exec") setTimeout(() => channel.complete("slow"), 1300);
    },
  });
  await using connection = await connectWithin(server.host, { openMs: 1000 });
  assertEquals((await connection.exec("true")).stdout, "slow");
});
