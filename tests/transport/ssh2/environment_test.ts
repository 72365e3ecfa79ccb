/** Variables of a command: granted, refused, and asked for once. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { ChannelOpenError } from "../../../transport/errors.ts";
import { EnvironmentRefusedError } from "../../../transport/session/errors.ts";
import { Dropbear, dropbearHint, noDropbear } from "../../kit/dropbear.ts";
import { until } from "../../kit/until.ts";
import {
  connect,
  embeddedTest,
  rejection,
  resolved,
  sshdTest,
} from "./_kit.ts";
import { Ssh2Connector } from "../../../transport/ssh2/mod.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { type ScriptedChannel, scriptedTest } from "./_scripted_server.ts";

sshdTest(
  "Connection.exec() runs nothing when sshd refuses a variable, and names it",
  async (connection) => {
    const file = `/tmp/sshpool-env-${crypto.randomUUID()}`;
    const env = { LC_SSHPOOL: "granted", REFUSED_A: "secret", REFUSED_B: "b" };
    const error = await rejection(connection.exec(`touch ${file}`, { env }));
    assertInstanceOf(error, EnvironmentRefusedError);
    assertEquals(error.names, ["REFUSED_A", "REFUSED_B"]);
    assertEquals([error.code, error.mayHaveRun], ["SSH_ENV_REFUSED", false]);
    assert(error.message.includes('"REFUSED_A", "REFUSED_B"'), error.message);
    assert(!error.message.includes("secret"), "no value in a message");
    assert(/AcceptEnv.*envMode.*inline/.test(error.hint ?? ""), error.hint);
    await until(() => connection.openChannels === 0);
    assertEquals(connection.isClosed, false);
    const { code } = await connection.exec(`test -e ${file}`);
    assertEquals(code, 1, "it ran all the same");
  },
);

sshdTest(
  "Connection.exec() takes the same variables inline",
  async (connection) => {
    const env = { REFUSED_A: "it's here" };
    const { stdout } = await connection.exec('echo "$REFUSED_A"', {
      env,
      envMode: "inline",
    });
    assertEquals(stdout, "it's here\n");
  },
);

sshdTest(
  "Connection.spawn() and shell() start nothing when sshd refuses a variable",
  async (connection) => {
    const env = { REFUSED_A: "a" };
    const starts = [
      connection.spawn("cat", { env }),
      connection.spawn("cat", { env, pty: true }),
      connection.shell!({ env }),
    ];
    for (const started of starts) {
      const error = await rejection(started);
      assertInstanceOf(error, EnvironmentRefusedError);
      assertEquals([error.names, error.mayHaveRun], [["REFUSED_A"], false]);
    }
    await until(() => connection.openChannels === 0);
  },
);

Deno.test({
  name: "Connection.exec() runs nothing when dropbear refuses a variable" +
    (noDropbear ? ` (${dropbearHint})` : ""),
  ignore: noDropbear,
  async fn() {
    await using server = await Dropbear.start();
    await using connection = await connect(server.host());
    const env = { LC_SSHPOOL: "x" };
    const error = await rejection(connection.exec("true", { env }));
    assertInstanceOf(error, EnvironmentRefusedError);
    assertEquals(error.names, ["LC_SSHPOOL"]);
    await until(() => connection.openChannels === 0);
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
  },
});

{
  /** The channels, whose variables are answered when a test says so. */
  const channels: ScriptedChannel[] = [];
  scriptedTest(
    "Connection.exec() waits for the answer about a variable, and not again for one that was granted",
    {
      onRequest(channel, { type }) {
        channels[channel.index] = channel;
        if (type === "exec" && channel.index === 0) channel.complete("first");
      },
    },
    async (connection) => {
      const env = { A: "1", B: "2" };
      const first = connection.exec("true", { env });
      await until(() => channels[0]?.seen.length === 2);
      // Nothing more comes, however long it is waited for.
      await new Promise((resolve) => setTimeout(resolve, 50));
      assertEquals(channels[0]?.seen, ["env", "env"]);
      channels[0]?.succeed();
      channels[0]?.succeed();
      assertEquals((await first).stdout, "first");
      const second = connection.exec("again", { env });
      // Though none of them is answered.
      await until(() => channels[1]?.seen.includes("exec again") ?? false);
      assertEquals(channels[1]?.seen.slice(0, 3), ["env", "env", "exec again"]);
      channels[1]?.succeed();
      channels[1]?.succeed();
      channels[1]?.complete("second");
      assertEquals((await second).stdout, "second");
    },
  );
}

scriptedTest(
  "Connection.exec() says that a command may have run when a variable is refused that was granted before",
  {
    onRequest(channel, { type, wantReply }) {
      if (type === "exec") return channel.complete();
      if (type === "env" && channel.index > 0) return channel.fail();
      if (wantReply) channel.succeed();
    },
  },
  async (connection) => {
    const env = { A: "1" };
    await connection.exec("true", { env });
    const error = await rejection(connection.exec("true", { env }));
    assertInstanceOf(error, EnvironmentRefusedError);
    assertEquals([error.names, error.mayHaveRun], [["A"], true]);
    await until(() => connection.openChannels === 0);
    // It is asked for as if it were new.
    const again = await rejection(connection.exec("true", { env }));
    assertInstanceOf(again, EnvironmentRefusedError);
    assertEquals(again.mayHaveRun, false);
    assertEquals(connection.isClosed, false);
  },
);

scriptedTest(
  "Connection.exec() asks again for a variable that was refused: the value may matter",
  {
    onRequest(channel, { type, data }) {
      if (type === "exec") return channel.complete();
      const { value } = data as { value: string };
      if (value === "good") channel.succeed();
      else channel.fail();
    },
  },
  async (connection) => {
    const bad = await rejection(connection.exec("true", { env: { A: "bad" } }));
    assertInstanceOf(bad, EnvironmentRefusedError);
    const { code } = await connection.exec("true", { env: { A: "good" } });
    assertEquals(code, 0);
  },
);

scriptedTest(
  "Connection.exec() rejects when the server closes the channel instead of an answer about a variable",
  { onRequest: (channel) => channel.close() },
  async (connection) => {
    const error = await rejection(connection.exec("true", { env: { A: "1" } }));
    assertInstanceOf(error, ChannelOpenError);
    assertEquals([error.mayHaveRun, connection.openChannels], [false, 0]);
  },
);

Deno.test("a refused variable of the host is told once, and fails no command", async () => {
  await using server = await EmbeddedServer.start({ acceptEnv: ["LC_*"] });
  const notices: string[] = [];
  const host = { ...server.host(), env: { APP: "secret", LC_APP: "b" } };
  await using connection = await new Ssh2Connector().connect(resolved(host), {
    onNotice: ({ code, message }) => notices.push(`${code} ${message}`),
  });
  for (let i = 0; i < 3; i++) {
    assertEquals((await connection.exec("printenv LC_APP")).stdout, "b\n");
  }
  const told = notices.filter((text) => text.startsWith("env-refused"));
  assertEquals(told.length, 1);
  assert(told[0]?.includes('"APP"') && !told[0].includes("secret"), told[0]);
});

embeddedTest(
  "Connection.exec() remembers what was granted on its own connection alone",
  { acceptEnv: ["A"] },
  async (connection, server) => {
    const env = { A: "1" };
    await connection.exec("printenv A", { env });
    server.options.acceptEnv = [];
    await using other = await connect(server.host());
    assertInstanceOf(
      await rejection(other.exec("true", { env })),
      EnvironmentRefusedError,
    );
  },
);
