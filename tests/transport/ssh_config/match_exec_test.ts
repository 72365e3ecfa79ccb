import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import { withDefaults } from "../../../transport/host/defaults.ts";
import {
  loadSshConfig,
  SshConfigError,
} from "../../../transport/ssh_config/mod.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { FakeTime } from "../../pool/_kit.ts";
import { Home } from "./_home.ts";

/** Lines of a log that commands write to. */
async function lines(path: string): Promise<string[]> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

// Kept from here: in one test the clock stands still.
const realTimeout = setTimeout;
const pause = () => new Promise((resolve) => realTimeout(resolve, 5));

/** Waits until a command has written a line; gives it. */
async function firstLine(path: string): Promise<string> {
  for (let looks = 1;; looks++) {
    const [line] = await lines(path);
    if (line !== undefined) return line;
    assert(looks < 6_000, "the command has not begun");
    await pause();
  }
}

/** Waits until a process and its children are gone, for so many looks at most. */
async function untilGone(pid: string): Promise<void> {
  for (let looks = 1;; looks++) {
    assert(looks < 1_000, `${pid} is still there`);
    const { success } = await new Deno.Command("kill", {
      args: ["-0", "--", `-${pid}`],
      stderr: "null",
    }).output();
    if (!success) return;
    await pause();
  }
}

Deno.test("SshConfigResolver.resolve() runs no Match exec behind a criterion that failed", async () => {
  await using home = await Home.with({});
  const log = home.file("log");
  const run = (name: string) => `exec "echo ${name} >> ${log}"`;
  await home.write(
    "config",
    [
      `Match host other ${run("host")}`,
      `Match !host h ${run("negated")}`,
      `Match user nobody-here ${run("user")}`,
      `Match localnetwork 10.0.0.0/8 ${run("unsupported")}`,
      `Match exec false ${run("exec")}`,
      `Match ${run("before")} host other`,
      "Host other",
      `Match ${run("outside")}`,
      "Port 5",
      "",
    ].join("\n"),
  );
  const resolver = home.resolver({ allowMatchExec: true });
  assertEquals((await resolver.resolve("u@h")).port, 5);
  assertEquals(await lines(log), ["before", "outside"]);
});

Deno.test("SshConfigResolver.resolve() runs no Match exec in which a token would end a word of the shell", async () => {
  await using home = await Home.with({});
  const log = home.file("log");
  await home.write("config", `Match exec "echo %r >> ${log}"\nPort 5\n`);
  const resolver = home.resolver({ allowMatchExec: true });
  await assertRejects(
    async () => await resolver.resolve("a;id@h"),
    SshConfigError,
    "not safe in a shell command",
  );
  assertEquals(await lines(log), []);
});

Deno.test("SshConfigResolver.resolve() leaves alone what a Match exec has started in the background", async () => {
  await using home = await Home.with({});
  const [go, log] = [home.file("go"), home.file("log")];
  await home.write(
    "config",
    `Match exec "(until test -e ${go}; do sleep 0.02; done; echo on > ${log}) &"\n` +
      "Port 5\n",
  );
  const resolver = home.resolver({ allowMatchExec: true });
  assertEquals((await resolver.resolve("u@h")).port, 5);
  await home.write("go", "");
  for (let looks = 1; (await lines(log)).length === 0; looks++) {
    assert(looks < 2_000, "it was ended");
    await pause();
  }
});

Deno.test("SshConfigResolver.resolve() gives no notice of a criterion behind one that failed", async () => {
  await using home = await Home.with({
    config: "Match host other localnetwork 10.0.0.0/8\nPort 5\n" +
      "Match host other exec true\nPort 5\n",
  });
  const codes: string[] = [];
  await home.resolver().resolve("u@h", {
    onNotice: ({ code }) => void codes.push(code),
  });
  assertEquals(codes, []);
});

Deno.test("SshConfigResolver.resolve() asks Match exec each time, once for callers at the same time", async () => {
  await using home = await Home.with({});
  const log = home.file("log");
  const flag = home.file("vpn");
  await home.write(
    "config",
    `Match host h exec "echo asked >> ${log}; test -e ${flag}"\nPort 5\n`,
  );
  const resolver = home.resolver({ allowMatchExec: true, recheckMs: 60_000 });
  assertEquals((await resolver.resolve("u@h")).port, 22);
  assert(!resolver.isStable("u@h"));
  await home.write("vpn", "");
  assertEquals((await resolver.resolve("u@h")).port, 5);
  await Deno.remove(flag);
  const many = Array.from({ length: 20 }, () => resolver.resolve("u@h"));
  for (const host of await Promise.all(many)) assertEquals(host.port, 22);
  assertEquals((await lines(log)).length, 3);

  const other = await resolver.resolve("u@other");
  assertStrictEquals(resolver.resolve("u@other"), other);
  assert(resolver.isStable("u@other"));
});

Deno.test("SshConfigResolver.isStable() knows of commands behind the hops of an object, and through defaults", async () => {
  await using home = await Home.with({
    config: "Match host gate exec true\nPort 5\n",
  });
  const resolver = withDefaults(home.resolver({ allowMatchExec: true }), {});
  const unstable = { hostname: "h", user: "u", jump: "u@gate" };
  const stable = { hostname: "h", user: "u", jump: "u@other" };
  for (const host of [unstable, stable]) await resolver.resolve(host);
  assertEquals(resolver.isStable?.(unstable), false);
  assertEquals(resolver.isStable?.(stable), true);
});

Deno.test("SshConfigResolver.isStable() is true where no command may be run", async () => {
  await using home = await Home.with({
    config: "Match exec true\nPort 5\n",
  });
  const resolver = home.resolver();
  await resolver.resolve("u@h");
  assert(resolver.isStable("u@h"));
});

Deno.test("SshConfigResolver.resolve() blocks nobody while a command runs, and kills it when its last caller leaves", async () => {
  // The time that a command has is never over: only the last caller ends it.
  using _time = new FakeTime();
  await using home = await Home.with({});
  const log = home.file("log");
  await home.write(
    "config",
    `Match host slow exec "echo $$ >> ${log}; sleep 300 & wait"\nPort 5\n`,
  );
  const resolver = home.resolver({ allowMatchExec: true });
  const first = new AbortController();
  const second = new AbortController();
  const waiting = [first, second].map(({ signal }) =>
    assertRejects(
      async () => await resolver.resolve("u@slow", { signal }),
      Error,
      "left",
    )
  );
  const pid = await firstLine(log);
  assertEquals((await resolver.resolve("u@quick")).port, 22);
  first.abort(new Error("left"));
  await waiting[0];
  // It still runs, for the second.
  const { success } = await new Deno.Command("kill", {
    args: ["-0", pid],
  }).output();
  assert(success);
  second.abort(new Error("left"));
  await waiting[1];
  await untilGone(pid);
  assertEquals(await lines(log), [pid]);
});

Deno.test("SshConfigResolver.resolve() lets an aborted caller leave while files are read for others", async () => {
  await using home = await Home.with({ config: "Port 5\n" });
  const resolver = home.resolver();
  const controller = new AbortController();
  const { signal } = controller;
  const leaving = assertRejects(
    async () => await resolver.resolve("u@h", { signal }),
    Error,
    "left",
  );
  const staying = resolver.resolve("u@h");
  controller.abort(new Error("left"));
  await leaving;
  assertEquals((await staying).port, 5);
  await assertRejects(
    async () => await resolver.resolve("u@h", { signal }),
    Error,
    "left",
  );
});

Deno.test("SshConfigResolver.resolve() says that a command cannot be run", async () => {
  await using home = await Home.with({ config: "Match exec true\nPort 5\n" });
  const url = new URL("../../../transport/ssh_config/mod.ts", import.meta.url);
  const code = `
    import { SshConfigResolver } from ${JSON.stringify(url.href)};
    const files = [${JSON.stringify(home.file("config"))}];
    const resolver = new SshConfigResolver({ files, allowMatchExec: true });
    try { await resolver.resolve("u@h"); } catch (e) { console.log(String(e)) }
  `;
  // In a process of its own: tests that run beside this one need their shell.
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", "--no-lock", code],
    env: { NO_COLOR: "1", SHELL: "/nowhere/sh" },
  }).output();
  assertStringIncludes(
    new TextDecoder().decode(stdout),
    "SshConfigError: Cannot run the command of a Match exec: ",
  );
});

Deno.test("SshConfig.compute() keeps an answer only if no command was asked", async () => {
  await using home = await Home.with({
    config: "Match host h exec true\nPort 5\n",
  });
  const config = await loadSshConfig({
    ...home.options(),
    allowMatchExec: true,
  });
  const first = config.compute("h");
  assertEquals([first.host.port, first.isStable], [5, false]);
  assertNotStrictEquals(config.compute("h"), first);
  assert(config.compute("other").isStable);
});

Deno.test("SshConfigResolver.resolve() refuses a FIFO in Include, and reads devices and directories as empty", async () => {
  await using home = await Home.with({ config: "Include fifo\nPort 5\n" });
  const mkfifo = await new Deno.Command("mkfifo", {
    args: ["-m", "600", home.file("fifo")],
  }).output();
  assert(mkfifo.success);
  await assertRejects(
    async () => await home.resolver().resolve("u@h"),
    SshConfigError,
    "config:1: Cannot read " + home.file("fifo") + ": it is a FIFO",
  );
  await home.write("config", "Include /dev/zero /tmp\nPort 5\n");
  assertEquals((await home.resolver().resolve("u@h")).port, 5);
});

Deno.test("ConnectionPool asks Match exec again for each dial, and not while a connection serves", async () => {
  await using home = await Home.with({});
  const log = home.file("log");
  const vpn = home.file("vpn");
  await home.write(
    "config",
    `Match host h exec "echo asked >> ${log}; test -e ${vpn}"\n` +
      "  HostName inside\nHost h\n  HostName outside\n",
  );
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({
    connector,
    resolver: home.resolver({ allowMatchExec: true, recheckMs: 60_000 }),
    maxSessionsPerConnection: 2,
  });
  await pool.exec("ops@h", ["echo", "x"]);
  assertEquals(pool.activeHosts, ["ops@outside:22"]);
  await home.write("vpn", "");
  await pool.exec("ops@h", ["echo", "x"]);
  assertEquals(pool.activeHosts, ["ops@outside:22"]);
  assertEquals((await lines(log)).length, 1);

  await pool.closeAll();
  await pool.exec("ops@h", ["echo", "x"]);
  assertEquals(pool.activeHosts, ["ops@inside:22"]);
  assertEquals((await lines(log)).length, 2);

  // A call that finds no free slot may need a new dial.
  await Deno.remove(vpn);
  {
    using _one = await pool.acquire("ops@h");
    using _two = await pool.acquire("ops@h");
    assertEquals(pool.activeHosts, ["ops@inside:22"]);
    await pool.exec("ops@h", ["echo", "x"]);
    assertEquals(pool.activeHosts.sort(), [
      "ops@inside:22",
      "ops@outside:22",
    ]);
  }
});
