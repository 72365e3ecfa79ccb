/** Servers that leave a request for a channel, or a CLOSE, unanswered. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { ConnectionPool, Ssh2Connector } from "../../../mod.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { AnswerDeadlines } from "../../../transport/channels/_answer_deadlines.ts";
import { until } from "../../kit/until.ts";
import { rejection, resolved } from "./_kit.ts";
import {
  connectWithin,
  type ScriptedChannel,
  scriptedTest,
  startScriptedServer,
} from "./_scripted_server.ts";

scriptedTest(
  "Connection.exec() rejects when the server never answers the request for a channel, and the connection ends",
  { onOpen() {} },
  async (connection) => {
    const running = rejection(connection.exec("true"));
    assertEquals([connection.openChannels, connection.isFailing], [1, false]);
    const error = await running;
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, false);
    assert(error.message.includes("does not answer"), error.message);
    assertEquals([connection.openChannels, connection.isFailing], [0, true]);
    const reason = await connection.closed;
    assert(
      reason.kind === "lost" &&
        reason.message.includes("did not answer a request for a channel"),
      JSON.stringify(reason),
    );
  },
  { openMs: 60 },
);

{
  let running: ScriptedChannel | undefined;
  scriptedTest(
    "Connection lets what runs run when the server answers no more, and ends after it",
    {
      onOpen: (channel) => {
        if (channel.index === 0) channel.confirm();
      },
      onRequest: (channel, { type }) => {
        if (type === "exec") running = channel;
      },
    },
    async (connection) => {
      const long = connection.exec("long");
      await until(() => running !== undefined);
      for (const unanswered of [connection.spawn("a"), connection.sftp()]) {
        const error = await rejection(unanswered);
        assertInstanceOf(error, ConnectionLostError);
        assertEquals(error.mayHaveRun, false);
      }
      assertEquals([connection.isFailing, connection.isClosed], [true, false]);
      assertEquals(connection.openChannels, 1);
      running?.complete("to the end", 5);
      const { code, stdout } = await long;
      assertEquals([code, stdout], [5, "to the end"]);
      assertEquals((await connection.closed).kind, "lost");
    },
    { openMs: 1000 },
  );
}

{
  const channels: ScriptedChannel[] = [];
  scriptedTest(
    "Connection closes a channel again that the server opens too late",
    {
      onOpen: (channel) => {
        channels.push(channel);
        if (channel.index === 0) channel.confirm();
      },
      onRequest: () => {},
    },
    async (connection) => {
      const held = rejection(connection.exec("held"));
      await until(() => channels[0]?.seen.includes("exec held") ?? false);
      await rejection(connection.exec("late"));
      channels[1]?.confirm();
      channels[1]?.say("nobody asked for this any more");
      await until(() => channels[1]?.seen.includes("close") ?? false);
      assertEquals(channels[1]?.seen, ["close"], "the command was not sent");
      assertEquals([connection.isClosed, connection.openChannels], [false, 1]);
      await connection.close();
      await held;
    },
    { openMs: 1000 },
  );
}

scriptedTest(
  "Connection gives a slot back when the server never answers its CLOSE",
  { onClose() {} },
  async (connection) => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = rejection(
      connection.exec("true", { signal: controller.signal }),
    );
    const process = await connection.spawn("cat");
    controller.abort(reason);
    assertEquals(await aborted, reason);
    assertEquals([connection.openChannels, connection.isFailing], [2, false]);
    await until(() => connection.openChannels === 1);
    assertEquals([connection.isFailing, connection.isClosed], [true, false]);
    // It waits for the slot, and so for the deadline.
    await process[Symbol.asyncDispose]();
    assertEquals(connection.openChannels, 0);
    const ended = await connection.closed;
    assert(ended.kind === "lost" && ended.message.includes("close a channel"));
  },
  { closeMs: 300 },
);

{
  const ends = (channel: ScriptedChannel) => {
    channel.succeed();
    channel.say("all");
    channel.status(3);
    channel.eof();
  };
  const result = { success: false, code: 3, signal: null };

  scriptedTest(
    "Connection closes the channel of a command that has ended, if the server does not",
    { onRequest: (channel, { type }) => type === "exec" && ends(channel) },
    async (connection) => {
      const { stderr: _, ...ended } = await connection.exec("true");
      assertEquals(ended, { ...result, stdout: "all" });
      const process = await connection.spawn("true");
      assertEquals(await process.text(), "all");
      assertEquals(await process.status, result);
      // The server answers our CLOSE.
      await until(() => connection.openChannels === 0);
      assertEquals([connection.isFailing, connection.isClosed], [false, false]);
    },
    { closeMs: 500 },
  );

  scriptedTest(
    "Connection ends when the server closes no channel, neither first nor second",
    {
      onRequest: (channel, { type }) => type === "exec" && ends(channel),
      onClose() {},
    },
    async (connection) => {
      assertEquals((await connection.exec("true")).code, 3);
      assertEquals([connection.openChannels, connection.isFailing], [1, false]);
      const reason = await connection.closed;
      assert(
        reason.kind === "lost" && reason.message.includes("close a channel"),
      );
      assertEquals(connection.openChannels, 0);
    },
    { closeMs: 100 },
  );
}

scriptedTest(
  "Connection is not failing while the server answers, however long it is used",
  {
    onRequest: (channel, { type }) => {
      if (type === "exec") channel.complete();
    },
  },
  async (connection) => {
    for (let i = 0; i < 15; i++) {
      await connection.exec("true");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assertEquals([connection.isFailing, connection.isClosed], [false, false]);
  },
  { openMs: 1000, closeMs: 1000 },
);

Deno.test("ConnectOptions.channelOpenTimeoutMs is how long an answer may take", async () => {
  await using server = await startScriptedServer({ onOpen() {} });
  const connector = new Ssh2Connector();
  await using connection = await connector.connect(resolved(server.host), {
    channelOpenTimeoutMs: 50,
  });
  const error = await rejection(connection.exec("true"));
  assertInstanceOf(error, ConnectionLostError);
  await using patient = await connector.connect(resolved(server.host), {
    channelOpenTimeoutMs: 0,
  });
  const waiting = rejection(patient.exec("true", { timeoutMs: 200 }));
  await waiting;
  assertEquals(patient.isFailing, false);
});

Deno.test("ConnectionPool runs a command on another connection when its own answers no request for a channel", async () => {
  let channels = 0;
  await using server = await startScriptedServer({
    onOpen(channel) {
      if (channels++ > 0) channel.confirm();
    },
    onRequest(channel, { type }) {
      if (type === "exec") channel.complete("from another");
    },
  });
  let dials = 0;
  await using pool = new ConnectionPool({
    config: false,
    connector: {
      connect: (host) => {
        dials++;
        return connectWithin(host as never, { openMs: 1000 });
      },
    },
  });
  const { stdout } = await pool.exec(server.host, "true");
  assertEquals([stdout, dials], ["from another", 2]);
});

Deno.test("AnswerDeadlines tells of each wait once, the oldest first, and of none that was answered", async () => {
  const late: string[] = [];
  const done = Promise.withResolvers<void>();
  const deadlines = new AnswerDeadlines<string>(30, (name) => {
    late.push(name);
    // One that begins meanwhile has the whole time.
    if (name === "a") deadlines.add("after a");
    if (name === "after a") done.resolve();
  });
  for (const name of ["a", "answered", "b"]) deadlines.add(name);
  deadlines.add("a");
  deadlines.delete("answered");
  // The timer lets a process end, so something else keeps it alive.
  const keepAlive = setInterval(() => {}, 1000);
  await done.promise;
  clearInterval(keepAlive);
  assertEquals(late, ["a", "b", "after a"]);
  deadlines.add("dropped");
  deadlines.clear();
});

Deno.test("AnswerDeadlines keeps the deadline of each wait after one that was answered", async () => {
  const start = performance.now();
  const done = Promise.withResolvers<number>();
  const deadlines = new AnswerDeadlines<string>(
    100,
    () => done.resolve(performance.now() - start),
  );
  deadlines.add("answered");
  await new Promise((resolve) => setTimeout(resolve, 60));
  deadlines.delete("answered");
  deadlines.add("later");
  const keepAlive = setInterval(() => {}, 1000);
  const tookMs = await done.promise;
  clearInterval(keepAlive);
  assert(tookMs > 150, `${tookMs} ms: the timer of the first was taken for it`);
  deadlines.clear();
});
