import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import { ChannelOpenError } from "../../../transport/errors.ts";
import type { Notice } from "../../../transport/connector.ts";
import type { RemoteProcess } from "../../../transport/process.ts";
import { EnvironmentRefusedError } from "../../../transport/session/errors.ts";
import {
  MemoryConnector,
  type MemoryConnectorOptions,
  UnscriptedCommandError,
} from "../../../transport/testing/mod.ts";
import { FakeTime, flush } from "../../pool/_kit.ts";

const host = { hostname: "db1", port: 22, user: "ops" };
const settle = () => new Promise((resolve) => setTimeout(resolve));
const encode = (text: string) => new TextEncoder().encode(text);

function connect(options: MemoryConnectorOptions = {}) {
  return new MemoryConnector(options).connect(host);
}

/** Types lines, and gives all output when the process has ended. */
async function type(process: RemoteProcess, ...lines: string[]) {
  const writer = process.stdin.getWriter();
  for (const line of lines) await writer.write(encode(`${line}\n`));
  writer.releaseLock();
  return await process.text();
}

Deno.test("MemoryConnection.shell() runs each line as a command, up to exit", async () => {
  await using connection = await connect({
    commands: { uptime: { stdout: "up\n", stderr: "!\n" } },
  });
  const shell = await connection.shell({ term: "vt100" });
  const text = await type(shell, "uptime", "", "printenv TERM", "exit 3");
  assertEquals(text, "up\r\n!\r\nvt100\r\n");
  assertEquals((await shell.status).code, 3);
  const last = await connection.shell();
  await type(last, "false");
  assertEquals((await last.status).code, 1);
  assertEquals(connection.openChannels, 0);
});

Deno.test("MemoryConnection.shell() fails at a command without a script", async () => {
  await using connection = await connect({ commands: { uptime: {} } });
  const shell = await connection.shell();
  await assertRejects(() => type(shell, "reboot"), UnscriptedCommandError);
  await assertRejects(() => shell.status, UnscriptedCommandError);
});

Deno.test("MemoryConnection.shell() plays the script of the option shell, which sees the terminal change", async () => {
  const connector = new MemoryConnector({
    shell: async ({ command, terminal, write }) => {
      const size = () => `${terminal?.columns}x${terminal?.rows}`;
      const first = size();
      await write(`${command}${first} `);
      await terminal?.resized();
      await write(size());
      return { code: 7 };
    },
  });
  await using connection = await connector.connect(host);
  const shell = await connection.shell({ columns: 120, rows: 40 });
  shell.resize({ columns: 100, rows: 30 });
  assertEquals(await shell.text(), "120x40 100x30");
  assertEquals((await shell.status).code, 7);
  assertEquals(connector.calls, [{
    kind: "shell",
    host: "ops@db1:22",
    command: "",
    options: { columns: 120, rows: 40 },
  }]);
});

Deno.test("a script that waits for another size ends with its process", async () => {
  await using connection = await connect({
    commands: { wait: async ({ terminal }) => await terminal?.resized() },
  });
  const process = await connection.spawn("wait", { pty: true });
  process.kill("TERM");
  assertEquals((await process.status).signal, "TERM");
});

Deno.test("MemoryConnection.exec() has a terminal with pty, and none without", async () => {
  await using connection = await connect({
    commands: { both: { stdout: "a\nb\n", stderr: "c\n" } },
  });
  assertEquals(await connection.exec("both", { pty: true }), {
    success: true,
    code: 0,
    signal: null,
    stdout: "a\r\nb\r\nc\r\n",
    stderr: "",
  });
  assertEquals((await connection.exec("both")).stderr, "c\n");
  const pty = { columns: 100, rows: 30 };
  const { stdout } = await connection.exec("stty size", { pty });
  assertEquals(stdout, "30 100\r\n");
  assertEquals((await connection.exec("stty size")).code, 1);
});

Deno.test("MemoryConnection refuses variables that acceptEnv does not name", async () => {
  const env = { LC_ALL: "C", APP_ENV: "test" };
  await using connection = await connect();
  const calls = [
    () => connection.exec("printenv APP_ENV", { env }),
    () => connection.spawn("printenv APP_ENV", { env }),
    () => connection.shell({ env }),
  ];
  for (const call of calls) {
    const error = await assertRejects(call, EnvironmentRefusedError);
    assertEquals([error.names, error.mayHaveRun], [["APP_ENV"], false]);
    assertEquals(connection.openChannels, 0);
  }
  for (const options of [{ envMode: "inline" }, { sudo: true }] as const) {
    const sent = { env, ...options };
    const { stdout } = await connection.exec("printenv APP_ENV", sent);
    assertEquals(stdout, "test\n");
  }
  await using open = await connect({ acceptEnv: ["APP_*"] });
  const { stdout } = await open.exec("printenv APP_ENV", {
    env: { APP_ENV: "x" },
  });
  assertEquals(stdout, "x\n");
});

Deno.test("MemoryConnection leaves out variables of the host that are refused, and says so once", async () => {
  const notices: Notice[] = [];
  const env = { LC_ALL: "C", APP_ENV: "test" };
  const connector = new MemoryConnector();
  await using connection = await connector.connect({ ...host, env }, {
    onNotice: (notice) => notices.push(notice),
  });
  assertEquals((await connection.exec("printenv LC_ALL")).stdout, "C\n");
  assertEquals((await connection.exec("printenv APP_ENV")).code, 1);
  assertEquals(notices.map(({ code }) => code), ["env-refused"]);
  assert(notices[0]!.message.includes('"APP_ENV"'), notices[0]!.message);
});

Deno.test("RemoteProcess.kill() ends a command that ignores every other signal", async () => {
  const never = Promise.withResolvers<void>();
  await using connection = await connect({
    commands: { stubborn: () => never.promise },
  });
  const process = await connection.spawn("stubborn");
  process.kill("TERM");
  await settle();
  assertEquals(connection.openChannels, 1);
  process.kill("KILL");
  assertEquals((await process.status).signal, "KILL");
  assertEquals(connection.openChannels, 0);
  never.resolve();
});

Deno.test("MemoryConnection.exec() waits killGraceMs for a command that has timed out", async () => {
  let isCleared = false;
  await using connection = await connect({
    commands: {
      careful: async ({ signal }) => {
        await new Promise((resolve) => signal.onabort = resolve);
        await settle();
        isCleared = true;
      },
    },
  });
  const options = { timeoutMs: 1, killGraceMs: 60_000 };
  const error = await connection.exec("careful", options).catch((it) => it);
  assertEquals([error.code, isCleared], ["SSH_EXEC_TIMEOUT", true]);
});

Deno.test("MemoryConnection.spares are taken by the next session, which asks for no channel", async () => {
  const connector = new MemoryConnector({ spareChannels: true });
  await using connection = await connector.connect(host);
  const { spares } = connection;
  assert(spares !== undefined);
  await spares.open();
  assertEquals([spares.count, connection.openChannels], [1, 1]);
  assertEquals((await connection.exec("echo hi")).stdout, "hi\n");
  assertEquals([spares.count, connection.channelsAsked], [0, 1]);
  const opening = spares.open();
  const early = connection.exec("echo early");
  assertEquals([spares.count, connection.channelsAsked], [0, 2]);
  await opening;
  assertEquals((await early).stdout, "early\n");
  await spares.open();
  await spares.close();
  assertEquals([spares.count, connection.openChannels], [0, 0]);
});

Deno.test("MemoryConnection.spares are refused beyond maxSessions, and lost with the connection", async () => {
  const connector = new MemoryConnector({
    spareChannels: true,
    maxSessions: 1,
  });
  const connection = await connector.connect(host);
  const { spares } = connection;
  assert(spares !== undefined);
  await spares.open();
  const refused = spares.open();
  assertEquals([spares.count, connection.openChannels], [2, 2]);
  assertInstanceOf(await refused.catch((it) => it), ChannelOpenError);
  assertEquals([spares.count, connection.openChannels], [1, 1]);
  connection.drop();
  assertEquals([spares.count, connection.openChannels], [0, 0]);
  await assertRejects(() => spares.open(), Error, "closed");
});

Deno.test("MemoryConnector takes round trips for what takes them over SSH", async () => {
  using time = new FakeTime();
  const connector = new MemoryConnector({
    roundTripMs: 100,
    spareChannels: true,
  });
  /** Does something, and gives the round trips that it has taken. */
  const trips = async <T>(work: () => Promise<T>): Promise<[number, T]> => {
    const startedAt = performance.now();
    let isOver = false;
    const working = work().finally(() => isOver = true);
    for (await flush(); !isOver; await flush()) await time.advance(50);
    return [(performance.now() - startedAt) / 100, await working];
  };
  const [dial, connection] = await trips(() => connector.connect(host));
  const [exec] = await trips(() => connection.exec("true"));
  const [spare] = await trips(() => connection.spares!.open());
  const [onSpare] = await trips(() => connection.exec("true"));
  const to = { hostname: "db", port: 5432 };
  const [forward, tunnel] = await trips(() => connection.forwardOut(to));
  const [listen] = await trips(() => connection.forwardIn(to, () => {}));
  const [shell, process] = await trips(() => connection.shell());
  const [start, sftp] = await trips(() => connection.sftp());
  const [request] = await trips(() => sftp.stat("."));
  // Requests that are under way together share a round trip.
  const [many] = await trips(() =>
    Promise.all(Array.from({ length: 20 }, () => sftp.stat(".")))
  );
  assertEquals(
    { dial, exec, spare, onSpare, forward, listen, shell, request, many },
    {
      dial: 5,
      exec: 2,
      spare: 1,
      onSpare: 1,
      forward: 1,
      listen: 1,
      shell: 2,
      request: 1,
      many: 1,
    },
  );
  // The channel, the subsystem, and what client and server say first.
  assert(start >= 3, `${start}`);
  tunnel.close();
  sftp.close();
  await process[Symbol.asyncDispose]();
  await connection.close();
  assertEquals(time.pending, 0);
});
