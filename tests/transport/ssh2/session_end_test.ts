/** How a session ends, and what a server may leave out. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { ChannelClosedError } from "../../../transport/session/errors.ts";
import { Dropbear, dropbearHint, noDropbear } from "../../kit/dropbear.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import { connect, rejection, sshdTest } from "./_kit.ts";
import { sendRaw } from "./_raw_server.ts";
import { scriptedTest } from "./_scripted_server.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** Runs the rest as a server should, so that a test sees the connection live. */
const isExec = (type: string, data: unknown, command: string) =>
  type === "exec" && data === command;

scriptedTest(
  "Connection.exec() rejects when the channel is closed with neither an answer nor a status, with the output so far",
  {
    onRequest(channel, { type, data }) {
      if (type !== "exec") return;
      if (data === "good") return channel.complete("good");
      channel.say("half");
      channel.close();
    },
  },
  async (connection) => {
    const error = await rejection(connection.exec("bad"));
    assertInstanceOf(error, ChannelClosedError);
    assertEquals([error.code, error.phase], ["SSH_CHANNEL_CLOSED", "exec"]);
    assertEquals([error.mayHaveRun, text(error.output?.stdout)], [
      true,
      "half",
    ]);
    assert(!Object.keys(error).includes("output"), "output is not for a log");
    assert(!JSON.stringify(error).includes("half"));
    assertEquals([connection.isClosed, connection.openChannels], [false, 0]);
    assertEquals((await connection.exec("good")).stdout, "good");
  },
);

scriptedTest(
  "Connection.exec() gives no exit code when a granted command ends without one, in order",
  {
    onRequest(channel, { type }) {
      if (type !== "exec") return;
      channel.succeed();
      channel.say("all");
      channel.eof();
      channel.close();
    },
  },
  async (connection) => {
    const { success, code, stdout } = await connection.exec("true");
    assertEquals([success, code, stdout], [false, null, "all"]);
  },
);

scriptedTest(
  "Connection.exec() rejects when a granted command is closed with neither end of file nor status",
  {
    onRequest(channel, { type }) {
      if (type !== "exec") return;
      channel.succeed();
      channel.say("half");
      channel.close();
    },
  },
  async (connection) => {
    const error = await rejection(connection.exec("true"));
    assertInstanceOf(error, ChannelClosedError);
    assertEquals(text(error.output?.stdout), "half");
  },
);

scriptedTest(
  "Connection.exec() rejects when a command that was not answered ends with end of file alone",
  {
    onRequest(channel, { type }) {
      if (type !== "exec") return;
      channel.eof();
      channel.close();
    },
  },
  async (connection) => {
    const error = await rejection(connection.exec("true"));
    assertInstanceOf(error, ChannelClosedError);
  },
);

scriptedTest(
  "Connection.exec() takes a status for the end, though the server sent no end of file",
  {
    onRequest(channel, { type }) {
      if (type !== "exec") return;
      channel.succeed();
      channel.status(4);
      channel.close();
    },
  },
  async (connection) => {
    assertEquals((await connection.exec("true")).code, 4);
  },
);

scriptedTest(
  "Connection.exec() is lost when the link dies after the status and before the end of file",
  {
    onRequest(channel, { type, data }) {
      if (isExec(type, data, "probe")) return channel.complete();
      if (type !== "exec") return;
      channel.succeed();
      channel.say("half");
      channel.status(0);
    },
  },
  async (connection, server) => {
    const running = rejection(connection.exec("true"));
    await connection.exec("probe"); // what came before it has arrived
    server.drop();
    const error = await running;
    assertInstanceOf(error, ConnectionLostError);
    assertEquals([error.mayHaveRun, text(error.output?.stdout)], [
      true,
      "half",
    ]);
  },
);

scriptedTest(
  "Connection.exec() is complete when the link dies after the status and the end of file",
  {
    onRequest(channel, { type, data }) {
      if (isExec(type, data, "probe")) return channel.complete();
      if (type !== "exec") return;
      channel.succeed();
      channel.say("all");
      channel.status(3);
      channel.eof();
    },
  },
  async (connection, server) => {
    const running = connection.exec("true");
    await connection.exec("probe");
    server.drop();
    const { code, stdout } = await running;
    assertEquals([code, stdout], [3, "all"]);
  },
);

scriptedTest(
  "RemoteProcess errors its streams and its status when it is closed without a status",
  {
    onRequest(channel, { type }) {
      if (type === "exec") channel.succeed();
      if (type === "signal") channel.close();
    },
  },
  async (connection) => {
    const process = await connection.spawn("cat");
    const reading = rejection(process.stdout.getReader().read());
    process.kill("USR1");
    const error = await reading;
    assertInstanceOf(error, ChannelClosedError);
    assertEquals(await rejection(process.status), error);
    assertEquals([connection.openChannels, connection.isClosed], [0, false]);
  },
);

Deno.test({
  name:
    "Connection.exec() rejects when sshd cuts a command off by its ChannelTimeout" +
    (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({
      // Long enough for a shell to say something, however busy the machine is.
      config: ["ChannelTimeout session:*=5s"],
    });
    await using connection = await connect(sshd.host());
    const error = await rejection(connection.exec("echo half; sleep 60"));
    assertInstanceOf(error, ChannelClosedError);
    assertEquals(text(error.output?.stdout), "half\n");
    assert(error.hint?.includes("ChannelTimeout"), error.hint);
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
  },
});

for (
  const [how, reason, words, message] of [
    ["of an error", 2, "going down", /: the server disconnected: going down$/],
    ["of an order", 11, "bye", /: the server disconnected: bye$/],
    ["without a text", 11, "", /: the server closed the connection$/],
  ] as const
) {
  let granted = 0;
  scriptedTest(
    `Connection.exec() and Connection.sftp() say how the connection ended, though their channels were closed first: a DISCONNECT ${how}`,
    {
      onRequest(channel, { type }) {
        granted++;
        channel.succeed();
        if (type === "exec") channel.say("half");
      },
    },
    async (connection, server) => {
      const running = rejection(connection.exec("cat"));
      const copying = rejection(connection.sftp());
      await until(() => granted === 2);
      const protocol = server.protocol();
      for (const id of [0, 1]) protocol.channelClose(id);
      const text = new TextEncoder().encode(words);
      sendRaw(
        protocol,
        [1, 0, 0, 0, reason, 0, 0, 0, text.length, ...text]
          .concat([0, 0, 0, 0]),
      );
      const error = await running;
      assertInstanceOf(error, ConnectionLostError);
      assertMatch(error.message, message);
      assertEquals(error.mayHaveRun, true);
      assertEquals(new TextDecoder().decode(error.output?.stdout), "half");
      const lost = await copying;
      assertInstanceOf(lost, ConnectionLostError);
      assertMatch(lost.message, message);
    },
  );
}

sshdTest(
  "Connection.maxSessions says nothing of OpenSSH",
  (connection) => {
    assertEquals(connection.maxSessions, undefined);
    return Promise.resolve();
  },
);

Deno.test({
  name: "Connection.maxSessions is 1 on a dropbear that loses sessions" +
    (noDropbear ? ` (${dropbearHint})` : ""),
  ignore: noDropbear,
  async fn() {
    await using server = await Dropbear.start();
    await using connection = await connect(server.host());
    // Debian 12 has 2022.83.
    assertEquals(connection.maxSessions, await isAffected() ? 1 : undefined);
  },
});

async function isAffected(): Promise<boolean> {
  const { stderr } = await new Deno.Command("dropbear", { args: ["-V"] })
    .output();
  const [, version = ""] = /v(\d{4}\.\d+)/.exec(text(stderr)) ?? [];
  return version >= "2022.82" && version <= "2024.85";
}

Deno.test({
  name: "Connection.exec() never takes a session that dropbear lost for one " +
    "that ended" + (noDropbear ? ` (${dropbearHint})` : ""),
  ignore: noDropbear,
  async fn() {
    await using server = await Dropbear.start();
    await using connection = await connect(server.host());
    // All at once, as a pool does not: dropbear loses some of them.
    const results = await Promise.allSettled(
      Array.from(
        { length: 60 },
        (_, i) => connection.exec(`echo ${i}; exit ${i % 7}`),
      ),
    );
    results.forEach((result, i) => {
      if (result.status === "rejected") return;
      const { code, stdout } = result.value;
      assertEquals([code, stdout], [i % 7, `${i}\n`]);
    });
    await until(() => connection.openChannels === 0);
  },
});
