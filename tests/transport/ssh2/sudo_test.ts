// `sudo` as it is: what runs with it, and what that reads and writes.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import type { Command } from "../../../transport/command/command.ts";
import { ExecTimeoutError } from "../../../transport/errors.ts";
import type { ConnectionExecOptions } from "../../../transport/process.ts";
import { EnvironmentRefusedError } from "../../../transport/session/errors.ts";
import { makeSudoAccount } from "../../kit/sudo.ts";
import { until } from "../../kit/until.ts";
import { rejection } from "./_kit.ts";
import { commandLines, sudoError, sudoTest } from "./_sudo_kit.ts";

sudoTest(
  "exec() with sudo runs as root, with the password that sudo asks for",
  { defaults: ["lecture=always", "timestamp_timeout=0"] },
  async ({ connection, password }) => {
    const result = await connection.exec("id -un; echo warning >&2; exit 3", {
      sudo: { password },
    });
    assertEquals(result, {
      success: false,
      code: 3,
      signal: null,
      stdout: "root\n",
      stderr: "warning\n",
    });
  },
);

sudoTest(
  "exec() with sudo becomes another user, in a folder, with variables",
  {},
  async ({ connection, password }) => {
    const value = 'it\'s\n2 "lines" é\n';
    const { stdout } = await connection.exec(
      'id -un; pwd; echo $HOME; printf %s "$SECRET"; cat',
      {
        sudo: { user: "www-data", password },
        cwd: "/usr/share",
        env: { SECRET: value, OTHER: "" },
        stdin: "input",
      },
    );
    assertEquals(
      stdout,
      `www-data\n/usr/share\n/var/www\n${value}input`,
    );
    const home = await connection.exec('[ "$PWD" = "$HOME" ] && pwd', {
      sudo: { password },
      cwd: "~",
    });
    assertEquals(home.stdout, "/root\n");
  },
);

sudoTest(
  "exec() with sudo needs no AcceptEnv for variables, and takes them inline too",
  {},
  async ({ connection, password }) => {
    const env = { REFUSED: "x y" };
    assertEquals(
      await rejection(connection.exec("true", { env })) instanceof
        EnvironmentRefusedError,
      true,
    );
    for (const envMode of ["request", "inline"] as const) {
      const { stdout } = await connection.exec("echo $REFUSED", {
        sudo: { password },
        env,
        envMode,
      });
      assertEquals(stdout, "x y\n");
    }
  },
);

sudoTest(
  "exec() with sudo gives 1 MB of input to the command, every byte of it",
  {},
  async ({ connection, password }) => {
    const input = new Uint8Array(1_000_000);
    for (let i = 0; i < input.length; i++) input[i] = (i * 31 + i / 256) & 255;
    const sudo = { password };
    const env = { A: "x" };
    for (
      const stdin of [input, new Blob([input]), ReadableStream.from([input])]
    ) {
      const { stdout, stderr } = await connection.exec("cat", {
        sudo,
        env,
        stdin,
        encoding: "bytes",
      });
      assertEquals(stderr.length, 0);
      assertEquals(stdout.length, input.length);
      assert(stdout.every((byte, i) => byte === input[i]));
    }
  },
);

sudoTest(
  "exec() with sudo shows neither the password nor a variable in any argument list",
  { defaults: ["passwd_tries=1"] },
  async ({ connection, password }) => {
    const secret = `secret-${crypto.randomUUID()}`;
    const process = await connection.spawn("echo started; cat >/dev/null", {
      sudo: { password },
      env: { SECRET: secret },
    });
    const reader = process.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    const lines = commandLines();
    assert(lines.some((line) => line.startsWith("sudo\0")), lines.join("\n"));
    for (const line of lines) {
      assert(!line.includes(password) && !line.includes(secret), line);
    }
    await process.stdin.close();
    assertEquals((await process.status).code, 0);
  },
);

sudoTest(
  "exec() with sudo never shows the password while sudo asks for it",
  {},
  async ({ connection, password }) => {
    const seen = new Set<string>();
    let isDone = false;
    // It goes on until sudo was looked at, however seldom this test has a turn.
    const { promise: sawSudo, resolve } = Promise.withResolvers<void>();
    const stdin = new ReadableStream<Uint8Array>({
      pull: (controller) => sawSudo.then(() => controller.close()),
    });
    const running = connection.exec("cat", { sudo: { password }, stdin })
      .finally(() => isDone = true);
    while (!isDone) {
      for (const line of commandLines()) {
        seen.add(line);
        if (line.startsWith("sudo\0")) resolve();
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await running;
    assert([...seen].some((line) => line.startsWith("sudo\0")));
    assertEquals([...seen].filter((line) => line.includes(password)), []);
  },
);

sudoTest(
  "exec() with sudo sends no password that is not asked for",
  { rules: ["ALL=(ALL) NOPASSWD: ALL"] },
  async ({ connection, password }) => {
    for (const sudo of [true, {}, { password }, { password: "not it" }]) {
      const { stdout, stderr } = await connection.exec("id -un; cat", {
        sudo,
        stdin: "input",
      });
      assertEquals([stdout, stderr], ["root\ninput", ""]);
    }
  },
);

sudoTest(
  "exec() with sudo uses what sudo remembers only where no password is given",
  { defaults: ["timestamp_type=global"] },
  async ({ connection, password }) => {
    await connection.exec("sudo -S -v", { stdin: `${password}\n` });
    const { stdout } = await connection.exec("id -un; cat", {
      sudo: true,
      stdin: "input",
    });
    assertEquals(stdout, "root\ninput");
    await sudoError(
      connection.exec("id", { sudo: { password: "not it" } }),
      "wrong-password",
    );
  },
);

sudoTest(
  "exec() with sudo and login reads the profile of the user it becomes",
  {},
  async ({ connection, user, password }) => {
    const other = await makeSudoAccount({ shell: "/bin/bash" });
    try {
      const home = `/home/${other.user}`;
      await Deno.writeTextFile(
        `${home}/.profile`,
        "echo profile of $(id -un) >&2; A=profile; B=profile; cd /tmp\n",
      );
      const { stdout, stderr } = await connection.exec(
        'echo "$A $B $PWD $0 $HOME"',
        {
          sudo: { user: other.user, password },
          login: true,
          env: { A: "mine" },
        },
      );
      assertEquals(stdout, `profile profile /tmp /bin/bash ${home}\n`);
      assertEquals(stderr, `profile of ${other.user}\n`);
      assert(user !== other.user);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  },
);

sudoTest(
  "exec() with sudo leaves the language of the command as it was",
  {},
  async ({ connection, password }) => {
    const command = 'echo "${LC_ALL-none} ${LANG-none}"';
    const sudo = { password };
    const of = (options: { env?: Record<string, string> }, line: string) =>
      connection.exec(line, { ...options, sudo }).then(({ stdout }) => stdout);
    // The login shell is told; sudo keeps it.
    const plain = await connection.exec(command);
    assertEquals(await of({}, command), plain.stdout);
    assertEquals(
      await of({ env: { LC_ALL: "C.UTF-8" } }, command),
      plain.stdout.replace("none", "C.UTF-8"),
    );
  },
);

sudoTest(
  "spawn() with sudo resolves when the command has started, and its streams are those of the command",
  { defaults: ["lecture=always"] },
  async ({ connection, password }) => {
    const sudo = { password };
    const process = await connection.spawn("id -un; cat; echo end >&2", {
      sudo,
    });
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode("one\ntwo\n"));
    await writer.close();
    const { code, stdout, stderr } = await process.output();
    const text = new TextDecoder();
    assertEquals(
      [code, text.decode(stdout), text.decode(stderr)],
      [0, "root\none\ntwo\n", "end\n"],
    );
    await sudoError(
      connection.spawn("id", { sudo: { password: "not it" } }),
      "wrong-password",
    );
    await sudoError(
      connection.spawn("id", { sudo: true }),
      "password-required",
    );
    await until(() => connection.openChannels === 0);
  },
);

for (const user of ["root", "www-data"]) {
  for (const defaults of [["use_pty"], ["!use_pty"]]) {
    sudoTest(
      `RemoteProcess.kill() ends all that runs with sudo, as ${user} and with ${defaults}`,
      { defaults },
      async ({ connection, password }) => {
        const sudo = { password, user };
        // A number that no other process has: argument lists show it.
        const n = 1e8 + Math.floor(Math.random() * 9e8);
        const isRunning = () =>
          commandLines().some((line) => line.includes(`sleep\0${n}`));
        for (const [sent, ended] of [["TERM"], ["KILL"], ["INT", "TERM"]]) {
          const process = await connection.spawn(
            `sleep ${n} | sleep ${n}; true`,
            { sudo },
          );
          await until(isRunning);
          process.kill(sent);
          assertEquals(await process.status, {
            success: false,
            code: null,
            signal: ended ?? sent ?? "",
          });
          await until(() => !isRunning());
        }
        const stubborn = await rejection(
          connection.exec(`trap '' TERM; sleep ${n}; sleep ${n}`, {
            sudo,
            timeoutMs: 300,
            killGraceMs: 300,
          }),
        );
        assert(stubborn instanceof ExecTimeoutError);
        await until(() => !isRunning());
        const controller = new AbortController();
        const aborted = rejection(connection.exec(`sleep ${n}; true`, {
          sudo,
          signal: controller.signal,
        }));
        await until(isRunning);
        controller.abort("enough");
        assertEquals(await aborted, "enough");
        await until(() => !isRunning());
      },
    );
  }
}

sudoTest(
  "exec() with sudo does not mix up many callers at once",
  { rules: ["ALL=(ALL) ALL"] },
  async ({ connection, password }) => {
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        connection.exec(`echo ${i}; cat`, {
          sudo: { password },
          stdin: `input ${i}`,
        })),
    );
    assertEquals(
      results.map(({ stdout }) => stdout),
      results.map((_, i) => `${i}\ninput ${i}`),
    );
  },
);

for (const shell of ["fish", "tcsh", "zsh"]) {
  const path = `/usr/bin/${shell}`;
  const isThere = existsSync(path);
  sudoTest(
    `exec() with sudo, a folder, variables and a login takes ${shell} for the shell of the user`,
    { shell: isThere ? path : "/bin/sh" },
    async ({ connection, user, password }) => {
      const env = { A: "it's\n!! \\" };
      const run = async (command: Command, options: ConnectionExecOptions) =>
        (await connection.exec(command, { ...options, check: true })).stdout;
      for (const login of [false, true]) {
        for (const sudo of [false, { password }]) {
          const id = sudo === false ? user : "root";
          const options = { sudo, login, cwd: "/usr", env };
          const envMode = sudo === false ? "inline" : "request";
          const all = await run("id -un; pwd; printenv A", {
            ...options,
            envMode,
          });
          assertEquals(all, `${id}\n/usr\n${env.A}\n`);
          const items = await run(["printf", "%s", env.A], { sudo, login });
          assertEquals(items, env.A);
        }
      }
    },
    isThere ? undefined : `install ${shell} to run this test`,
  );
}
