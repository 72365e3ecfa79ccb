import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import {
  type CommandResult,
  MemoryConnector,
  type MemoryConnectorOptions,
  UnscriptedCommandError,
} from "../../../transport/testing/mod.ts";

const host = { hostname: "db1", port: 22, user: "ops" };

function connect(commands?: MemoryConnectorOptions["commands"]) {
  return new MemoryConnector(commands === undefined ? {} : { commands })
    .connect(host);
}

Deno.test("MemoryConnection.exec() rejects a command without a script, and names the near ones", async () => {
  await using connection = await connect({
    "systemctl restart app": {},
    "systemctl restart web": {},
  });
  const error = await assertRejects(
    () => connection.exec("systemctl restrat app"),
    UnscriptedCommandError,
    'Cannot run "systemctl restrat app" on "ops@db1:22": it has no script, ' +
      'did you mean "systemctl restart app" or "systemctl restart web"? ' +
      "add it to the option `commands`, such as " +
      '{ "systemctl": { stdout: "..." } }, or "*" for all that have none',
  );
  assertEquals([error.command, error.host], [
    "systemctl restrat app",
    "ops@db1:22",
  ]);
  assertEquals(connection.openChannels, 0);
  await assertRejects(
    () => connection.spawn("reboot"),
    UnscriptedCommandError,
    'it has no script: add it to the option `commands`, such as { "reboot"',
  );
  assertEquals(connection.openChannels, 0);
});

Deno.test("MemoryConnection.exec() rejects what a script function does not know", async () => {
  await using connection = await connect((line) =>
    line === "uptime" ? { stdout: "up\n" } : undefined
  );
  assertEquals((await connection.exec("uptime")).stdout, "up\n");
  assertEquals((await connection.exec("echo hi")).stdout, "hi\n");
  await assertRejects(
    () => connection.exec("slep 5"),
    UnscriptedCommandError,
    'did you mean "sleep"',
  );
});

Deno.test('MemoryConnection.exec() takes the script "*" for all others, the built-in ones too', async () => {
  await using connection = await connect({
    uptime: { stdout: "up\n" },
    "*": ({ command }) => ({ code: 1, stderr: `not ${command}` }),
  });
  assertEquals((await connection.exec("uptime")).stdout, "up\n");
  assertEquals((await connection.exec("reboot")).stderr, "not reboot");
  assertEquals((await connection.exec("echo hi")).stderr, "not echo hi");
});

Deno.test("the built-in commands leave alone what only a shell could do", async () => {
  await using connection = await connect({ uptime: {} });
  const lines = [
    "echo a; reboot",
    "echo a | tee b",
    "echo a > b",
    "echo $HOME",
    'echo "$HOME"',
    "echo `reboot`",
    "echo *",
    "cat /etc/passwd",
    "true && reboot",
    "stty -echo",
    "echo a\nreboot",
  ];
  for (const line of lines) {
    await assertRejects(() => connection.exec(line), UnscriptedCommandError);
  }
  for (const line of ["echo 'a; $b'", 'echo "a; b"', "echo a\\;b"]) {
    assertEquals((await connection.exec(line)).code, 0, line);
  }
  assertEquals((await connection.exec(["echo", "a; $b"])).stdout, "a; $b\n");
});

Deno.test("ConnectionPool gives the error of a command without a script to its caller, and goes on", async () => {
  const connector = new MemoryConnector({ commands: { uptime: {} } });
  await using pool = new ConnectionPool({ connector, config: false });
  await assertRejects(
    () => pool.exec("ops@db1", "uptme"),
    UnscriptedCommandError,
    'did you mean "uptime"?',
  );
  const results = await Array.fromAsync(
    pool.fanOut(["ops@db1", "ops@db2"], "uptme"),
  );
  for (const { error } of results as { error?: unknown }[]) {
    assertInstanceOf(error, UnscriptedCommandError);
  }
  assertEquals((await pool.exec("ops@db1", "uptime")).code, 0);
  assertEquals([pool.stats().slotsInUse, connector.dials], [0, 2]);
});

Deno.test("MemoryConnector refuses a result with a field that there is none, wherever it comes from", async () => {
  const wrong = { cod: 1 } as CommandResult;
  const makers: readonly MemoryConnectorOptions["commands"][] = [
    () => wrong,
    { make: () => wrong },
    // deno-lint-ignore require-await -- the handler gives a promise
    { "*": async () => wrong },
  ];
  for (const commands of makers) {
    await using connection = await connect(commands);
    const calls = [
      () => connection.exec("make"),
      () => connection.exec("make", { stdin: "make\n" }),
      async () => await (await connection.spawn("make")).status,
      async () => {
        await using shell = await connection.shell();
        await shell.stdin.getWriter().write(new TextEncoder().encode("make\n"));
        await shell.status;
      },
    ];
    for (const call of calls) {
      await assertRejects(
        call,
        TypeError,
        'Cannot play the script: there is no field "result.cod", did you mean "code"?',
      );
    }
    assertEquals(connection.openChannels, 0);
  }
  const connector = new MemoryConnector({ commands: { make: {} } });
  connector.options.commands = { make: wrong };
  await using connection = await connector.connect(host);
  await assertRejects(() => connection.exec("make"), TypeError, "result.cod");
});
