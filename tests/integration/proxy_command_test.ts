/** ProxyCommand, through the pool. */

import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { DialError, type HostLike } from "../../mod.ts";
import { startSshd } from "../kit/sshd.ts";
import { until } from "../kit/until.ts";
import { configured, failure, newPool, serverKey, sshdTest } from "./_kit.ts";

/** A gate that `ssh -W` goes through, and the command that does. */
async function startGate(
  dir: string,
): Promise<AsyncDisposable & { command: string }> {
  const gate = await startSshd();
  await Deno.writeTextFile(
    join(dir, "gate_known_hosts"),
    `[127.0.0.1]:${gate.port} ${await serverKey(gate)}\n`,
  );
  const file = join(dir, "gate_config");
  await Deno.writeTextFile(
    file,
    [
      "HostName 127.0.0.1",
      `Port ${gate.port}`,
      `User ${gate.user}`,
      `IdentityFile ${gate.privateKeyPath}`,
      "IdentityAgent none",
      `UserKnownHostsFile ${dir}/gate_known_hosts`,
      "",
    ].join("\n"),
  );
  return {
    command: `ssh -F ${file} -W %h:%p gate`,
    [Symbol.asyncDispose]: () => gate[Symbol.asyncDispose](),
  };
}

/** A proxy command that first writes down which process it is. */
function noted(file: string, command: string): string {
  return `sh -c 'echo $$ >> ${file}; exec "$@"' sh ${command}`;
}

async function pids(file: string): Promise<number[]> {
  const text = await Deno.readTextFile(file).catch(() => "");
  return text.split("\n").filter((line) => line !== "").map(Number);
}

function isRunning(pid: number): boolean {
  try {
    // A zombie has ended; only its parent has not looked yet.
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return !stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return false;
  }
}

sshdTest(
  "ConnectionPool.exec() goes through the ProxyCommand of ssh_config, and ends it on close",
  async (dir) => {
    await using sshd = await startSshd();
    await using gate = await startGate(dir);
    await Deno.writeTextFile(
      join(dir, "known_hosts"),
      `web.example ${await serverKey(sshd)}\n`,
    );
    const file = join(dir, "pids");
    await using pool = await configured(
      dir,
      [
        "Host web-1",
        "HostName 127.0.0.1",
        "HostKeyAlias web.example",
        `Port ${sshd.port}`,
        `User ${sshd.user}`,
        `IdentityFile ${sshd.privateKeyPath}`,
        "IdentityAgent none",
        `UserKnownHostsFile ${dir}/known_hosts`,
        "GlobalKnownHostsFile none",
        `ProxyCommand ${noted(file, gate.command)}`,
        "",
      ].join("\n"),
    );
    const results = await Promise.all(
      [1, 2, 3].map((n) => pool.exec("web-1", `echo ${n}`)),
    );
    assertEquals(results.map((it) => it.stdout), ["1\n", "2\n", "3\n"]);
    const [pid = 0, ...more] = await pids(file);
    assertEquals([isRunning(pid), more], [true, []]);
    await pool.close();
    assertEquals(isRunning(pid), false);
  },
);

sshdTest(
  "ConnectionPool.exec() fails with what a ProxyCommand wrote to standard error",
  async () => {
    await using pool = newPool({ config: false });
    const host = {
      hostname: "web.example",
      user: "ops",
      password: "x",
      hostKey: "insecure-accept-any",
    } as const;
    const cases = {
      "sh -c 'echo no route today >&2; exit 7'":
        "exited with code 7: no route today",
      "/no/such/proxy": "/no/such/proxy",
      "true": "exited with code 0 and sent nothing",
    };
    for (const [proxyCommand, said] of Object.entries(cases)) {
      const error = await failure(pool.exec({ ...host, proxyCommand }, "true"));
      assertInstanceOf(error, DialError);
      assertEquals([error.phase, error.throttled], ["proxy", false]);
      assertEquals(error.host, "ops@web.example:22");
      assertStringIncludes(error.message, said);
    }
    assertEquals(pool.stats().counters.dials, 3);
  },
);

sshdTest(
  "ConnectionPool ends a ProxyCommand that says nothing on abort and on the deadline",
  async (dir) => {
    const file = join(dir, "pids");
    await using pool = newPool({ config: false });
    const host = {
      hostname: "web.example",
      user: "ops",
      password: "x",
      proxyCommand: noted(file, "sleep 600"),
    };
    const abort = new AbortController();
    const call = failure(pool.exec(host, "true", { signal: abort.signal }));
    await until(async () => (await pids(file)).length === 1);
    const [first = 0] = await pids(file);
    abort.abort(new Error("enough"));
    assertEquals((await call as Error).message, "enough");
    await until(() => !isRunning(first));
    const slow = { ...host, dialTimeoutMs: 300 };
    const error = await failure(pool.exec(slow, "true"));
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "timeout");
    const [, second = 0] = await pids(file);
    await until(() => !isRunning(second));
  },
);

sshdTest(
  "ConnectionPool dials anew after a ProxyCommand has died",
  async (dir) => {
    await using sshd = await startSshd();
    await using gate = await startGate(dir);
    const file = join(dir, "pids");
    await using pool = newPool({ config: false });
    const host = sshd.host({ proxyCommand: noted(file, gate.command) });
    const running = await pool.spawn(host, "cat");
    const [pid = 0] = await pids(file);
    Deno.kill(pid, "SIGKILL");
    const error = await failure(running.status);
    assertStringIncludes(Deno.inspect(error), "the proxy command died");
    assertEquals((await pool.exec(host, "echo back")).stdout, "back\n");
    assertEquals((await pids(file)).length, 2);
  },
);

sshdTest(
  "ConnectionPool expands the tokens of a ProxyCommand once",
  async (dir) => {
    const said = async (pool: ReturnType<typeof newPool>, host: HostLike) => {
      const error = await failure(pool.exec(host, "true"));
      assertInstanceOf(error, DialError);
      const [, text] = /said <(.*)>$/.exec(error.message) ?? [];
      return text ?? String(error);
    };
    const command = "sh -c 'echo \"said <$*>\" >&2; exit 1' sh";
    await using byConfig = await configured(
      dir,
      [
        "Host web-1",
        "HostName fe80::1%%eth0",
        "User ops",
        `ProxyCommand ${command} %h %%h %%%%n %n %r`,
        "",
      ].join("\n"),
    );
    // What ssh makes of it: %% is a percent sign, and a value is not read again.
    const expected = "fe80::1%eth0 %h %%n web-1 ops";
    assertEquals(await said(byConfig, "web-1"), expected);
    await using pool = newPool({ config: false });
    const host = {
      hostname: "fe80::1%eth0",
      alias: "web-1",
      user: "ops",
      password: "x",
      proxyCommand: `${command} %h %%h %%%%n %n %r`,
    };
    assertEquals(await said(pool, host), expected);
  },
);

sshdTest(
  "ConnectionPool keeps hosts apart that differ in the alias of their proxyCommand alone",
  async (dir) => {
    // Two servers; the name that the proxy command is given decides which.
    await using a = await startSshd();
    await using b = await startSshd();
    await Deno.copyFile(a.authorizedKeysPath, b.authorizedKeysPath);
    const script = join(dir, "proxy.sh");
    await Deno.writeTextFile(
      script,
      `case $1 in box-a) p=${a.port};; box-b) p=${b.port};; esac\n` +
        `exec 3<>/dev/tcp/127.0.0.1/$p; cat <&3 & cat >&3; kill %%\n`,
    );
    await using pool = newPool({ config: false });
    const host = (alias: string) => ({
      ...a.host(),
      hostKey: "insecure-accept-any" as const,
      alias,
      proxyCommand: `bash ${script} %n`,
    });
    const boxes = ["box-a", "box-b", "box-a", "box-b"];
    const ports = await Promise.all(
      boxes.map((it) => pool.exec(host(it), 'echo "$SSH_CONNECTION"')),
    );
    assertEquals(
      ports.map(({ stdout }) => stdout.trim().split(" ").at(-1)),
      [a.port, b.port, a.port, b.port].map(String),
    );
    assertEquals(pool.size, 2);
  },
);
