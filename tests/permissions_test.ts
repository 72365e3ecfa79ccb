/** The fewest permissions with which the library works, as the README has them. */

import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import type { SshHost } from "../mod.ts";
import { EmbeddedServer } from "../transport/testing/mod.ts";
import { noSsh, sshHint } from "./kit/ssh.ts";
import { denoDir } from "./kit/child.ts";
import { noSshd, sshdHint, startSshd } from "./kit/sshd.ts";

const program = new URL("kit/least_permissions.ts", import.meta.url).pathname;

interface Task {
  readonly host: string | SshHost;
  readonly config?: string | false;
}

/** Runs a command on a host in a process with these permissions alone. */
async function runWith(
  permissions: string[],
  task: Task,
  env: Record<string, string> = {},
): Promise<{ out: string; err: string }> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--no-check",
      ...permissions,
      program,
      JSON.stringify(task),
    ],
    env,
    stdin: "null",
    signal: AbortSignal.timeout(45_000),
  }).output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  return { out: out!, err: err! };
}

const ENOUGH = { out: "enough\n", err: "" };

Deno.test("the network is all that a host with key and fingerprint needs", async () => {
  await using server = await EmbeddedServer.start();
  const task: Task = { host: server.host(), config: false };
  assertEquals(await runWith(["--allow-net=127.0.0.1"], task), ENOUGH);
  const { out, err } = await runWith([], task);
  assertEquals(out, "");
  assertEquals(err.includes("--allow-net"), true, err);
  // A name counts for itself: the address that it stands for is not enough.
  const named = { ...server.host(), hostname: "localhost" };
  const right = `--allow-net=localhost:${named.port}`;
  const denied = await runWith(["--allow-net=127.0.0.1"], {
    ...task,
    host: named,
  });
  assertEquals(denied.err.includes(`run with ${right}`), true, denied.err);
  assertEquals(await runWith([right], { ...task, host: named }), ENOUGH);
});

Deno.test({
  name: noSshd
    ? `ssh_config, known_hosts and a key file need to be readable (${sshdHint})`
    : "ssh_config, known_hosts and a key file need to be readable",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    const { config, knownHosts } = await writeConfig(sshd);
    const files = [config, knownHosts, sshd.privateKeyPath].join();
    const least = ["--allow-net=127.0.0.1", `--allow-read=${files}`];
    const task = { host: "web-1", config };
    assertEquals(await runWith(least, task), ENOUGH);
    // An agent that may not be talked to is as good as none.
    const SSH_AUTH_SOCK = join(sshd.dir, "agent");
    assertEquals(await runWith(least, task, { SSH_AUTH_SOCK }), ENOUGH);
    assertEquals(
      await runWith([...least, "--allow-env"], task, { SSH_AUTH_SOCK }),
      ENOUGH,
    );
  },
});

Deno.test({
  name: noSshd
    ? `~/.ssh and /etc/ssh are all that needs to be readable (${sshdHint})`
    : "~/.ssh and /etc/ssh are all that needs to be readable",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    const { config } = await writeConfig(sshd, { explicit: false });
    const folder = join(sshd.dir, ".ssh");
    await Deno.mkdir(folder);
    await Deno.rename(config, join(folder, "config"));
    await Deno.rename(
      join(sshd.dir, "known_hosts"),
      join(folder, "known_hosts"),
    );
    await Deno.rename(sshd.privateKeyPath, join(folder, "id_ed25519"));
    assertEquals(
      await runWith(
        [
          "--allow-net=127.0.0.1",
          `--allow-read=${folder},/etc/ssh`,
          "--allow-env=HOME",
        ],
        { host: "web-1" },
        // Deno looks for its cache in the home directory, too.
        { HOME: sshd.dir, DENO_DIR: await denoDir() },
      ),
      ENOUGH,
    );
  },
});

Deno.test({
  name: noSshd
    ? `an agent needs its variable and its socket (${sshdHint})`
    : "an agent needs its variable and its socket",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    const { config, knownHosts } = await writeConfig(sshd, { key: false });
    const socket = join(sshd.dir, "agent");
    await using _agent = await startAgent(socket, sshd.privateKeyPath);
    const files = [config, knownHosts, socket].join();
    assertEquals(
      await runWith(
        [
          `--allow-net=127.0.0.1,unix:${socket}`,
          `--allow-write=${socket}`,
          `--allow-read=${files}`,
          "--allow-env=SSH_AUTH_SOCK",
        ],
        { host: "web-1", config },
        { SSH_AUTH_SOCK: socket },
      ),
      ENOUGH,
    );
  },
});

Deno.test("a proxy command needs the shell and its variables", async () => {
  await using server = await EmbeddedServer.start();
  const pipe = `const it = await Deno.connect({ hostname: "%h", port: %p });
    it.readable.pipeTo(Deno.stdout.writable);
    await Deno.stdin.readable.pipeTo(it.writable);`.replaceAll(/\s+/g, " ");
  const proxyCommand = `${Deno.execPath()} eval '${pipe}'`;
  const task = { host: server.host({ proxyCommand }), config: false } as const;
  const env = { SHELL: "/bin/sh" };
  const least = ["--allow-run", "--allow-env"];
  assertEquals(await runWith(least, task, env), ENOUGH);
  for (const flag of ["--allow-run", "--allow-env"]) {
    const rest = least.filter((it) => !it.startsWith(flag));
    const { out, err } = await runWith(rest, task, env);
    assertEquals([out, err.includes(flag)], ["", true], err);
  }
});

Deno.test({
  name: noSsh || noSshd
    ? `a host over ssh needs the program, its variables and a folder (${sshHint})`
    : "a host over ssh needs the program, its variables and a folder",
  ignore: noSsh || noSshd,
  async fn() {
    await using sshd = await startSshd();
    const task: Task = {
      host: { ...sshd.host(), transport: "openssh" },
      config: false,
    };
    const least = [
      "--allow-run=ssh",
      "--allow-env",
      "--allow-net",
      "--allow-read=/tmp",
      "--allow-write=/tmp",
    ];
    const env = { TMPDIR: "/tmp" };
    assertEquals(await runWith(least, task, env), ENOUGH);
    for (const flag of least) {
      const { out, err } = await runWith(
        least.filter((it) => it !== flag),
        task,
        env,
      );
      assertEquals(out, "", flag);
      // What is missing is named.
      assertEquals(err.includes(flag.split("=")[0]!), true, `${flag}: ${err}`);
    }
  },
});

async function writeConfig(
  sshd: Awaited<ReturnType<typeof startSshd>>,
  { key = true, explicit = true } = {},
): Promise<{ config: string; knownHosts: string }> {
  const config = join(sshd.dir, "config");
  const knownHosts = join(sshd.dir, "known_hosts");
  const hostKey = await Deno.readTextFile(
    join(sshd.dir, "host_ed25519.pub"),
  );
  await Deno.writeTextFile(knownHosts, `[127.0.0.1]:${sshd.port} ${hostKey}`);
  const lines = [
    "Host web-1",
    "HostName 127.0.0.1",
    `Port ${sshd.port}`,
    `User ${sshd.user}`,
    ...explicit
      ? [`UserKnownHostsFile ${knownHosts}`, "GlobalKnownHostsFile none"]
      : [],
    ...explicit && key ? [`IdentityFile ${sshd.privateKeyPath}`] : [],
  ];
  await Deno.writeTextFile(config, lines.join("\n") + "\n", { mode: 0o600 });
  return { config, knownHosts };
}

/** An ssh-agent that holds one key. */
async function startAgent(
  socket: string,
  key: string,
): Promise<AsyncDisposable> {
  const agent = new Deno.Command("ssh-agent", {
    args: ["-D", "-a", socket],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const env = { SSH_AUTH_SOCK: socket };
  const add = async () => {
    const { success } = await new Deno.Command("ssh-add", {
      args: ["-q", key],
      env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  };
  // The agent makes its socket a moment after its start.
  for (let left = 500; !await add() && left > 0; left--) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return {
    async [Symbol.asyncDispose]() {
      agent.kill("SIGTERM");
      await agent.status;
    },
  };
}

const ROOT = new URL("..", import.meta.url).pathname;

for (
  const [command, ...args] of [
    ["test", "tests/transport/host/pattern_test.ts"],
    ["bench", "--no-run", "bench/import_bench.ts"],
  ] as const
) {
  // Deno takes the permissions of deno.json when it is asked to, and no sooner.
  Deno.test(`deno ${command} without a flag names the one that it lacks, and works with it`, async () => {
    const run = async (...flags: string[]) => {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [command, ...flags, "--no-check", ...args],
        cwd: ROOT,
        env: { NO_COLOR: "1" },
        stdin: "null",
      }).output();
      return { code, said: new TextDecoder().decode(stderr) };
    };
    const plain = await run();
    assertEquals(plain.code, 1);
    assertMatch(plain.said, /Did you mean to run with `-P`/);
    assertEquals((await run("-P")).code, 0);
  });
}
