// What transfers leave behind when they are given up, and what they make of a
// server that mixes up files; over sshd, and over Erlang's.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { existsSync } from "node:fs";
import { ConnectionPool } from "../../../mod.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";

async function makeDir(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.makeTempDir();
  await Deno.chmod(dir, 0o777);
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

async function* filesBelow(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* filesBelow(`${folder}/${name}`);
    else yield name;
  }
}

for (const verb of ["upload", "download"] as const) {
  for (const shape of ["file", "tree"] as const) {
    const name =
      `ConnectionPool.${verb}() of a ${shape} that is aborted leaves nothing behind`;
    Deno.test({
      name: noSshd ? `${name} (${sshdHint})` : name,
      ignore: noSshd,
      async fn() {
        await using sshd = await startSshd();
        await using site = await makeDir();
        const { dir } = site;
        await using pool = new ConnectionPool({ config: false });
        const host = pool.host(sshd.host());
        const [from, to] = [`${dir}/from`, `${dir}/to`];
        const files = shape === "file" ? 1 : 40;
        const bytes = new Uint8Array(20_000_000 / files).fill(7);
        if (shape === "tree") await Deno.mkdir(from);
        for (let i = 0; i < files; i++) {
          const path = shape === "file" ? from : `${from}/f${i}`;
          await Deno.writeFile(path, bytes);
        }
        await Deno.mkdir(to);
        await Deno.chmod(to, 0o777);
        const target = shape === "file" ? `${to}/f0` : to;
        // At the first piece, in the midst, and behind the first whole files.
        for (const share of [0, 0.5, 0.9]) {
          const stop = new AbortController();
          const reason = new Error("given up");
          const error = await assertRejects(() =>
            host[verb](from, target, {
              signal: stop.signal,
              onProgress({ bytes, totalBytes, ended }) {
                if (!ended && bytes > share * totalBytes) stop.abort(reason);
              },
            })
          );
          assertEquals(error, reason);
          const left = await Array.fromAsync(filesBelow(to));
          assertEquals(left.filter((name) => !/^f\d+$/.test(name)), []);
          if (shape === "file") assertEquals(left, []);
          for (const name of left) {
            const { size } = await Deno.stat(`${to}/${name}`);
            assertEquals(size, bytes.length);
          }
        }
        // The session is as good as before.
        const { copied } = await host[verb](from, target);
        assertEquals(copied, files);
      },
    });
  }
}

const noErlang = !existsSync("/usr/bin/escript") ||
  Deno.build.os !== "linux";

Deno.test({
  name: noErlang
    ? "a tree of a server that gives out one handle twice is copied file by file (install erlang-base and erlang-ssh to run this test)"
    : "a tree of a server that gives out one handle twice is copied file by file",
  ignore: noErlang,
  async fn() {
    await using site = await makeDir();
    const { dir } = site;
    await Deno.mkdir(`${dir}/system`);
    await new Deno.Command("ssh-keygen", {
      args: ["-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f"]
        .concat(`${dir}/system/ssh_host_rsa_key`),
    }).output();
    // It says its port, and runs until it is killed.
    await Deno.writeTextFile(
      `${dir}/server`,
      `#!/usr/bin/env escript
main(_) ->
  {ok, _} = application:ensure_all_started(ssh),
  {ok, Ref} = ssh:daemon({127,0,0,1}, 0, [
    {system_dir, "${dir}/system"}, {user_passwords, [{"u", "p"}]},
    {subsystems, [ssh_sftpd:subsystem_spec([])]}]),
  {ok, Info} = ssh:daemon_info(Ref),
  io:format("~p~n", [proplists:get_value(port, Info)]),
  receive stop -> ok end.
`,
    );
    const server = new Deno.Command("/usr/bin/escript", {
      args: [`${dir}/server`],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    try {
      const reader = server.stdout.pipeThrough(new TextDecoderStream())
        .getReader();
      let said = "";
      while (!said.includes("\n")) {
        const { value, done } = await reader.read();
        assert(!done, "Erlang's server did not start");
        said += value;
      }
      await reader.cancel();
      for (const folder of ["", "/d1", "/d2", "/d2/e"]) {
        await Deno.mkdir(`${dir}/from${folder}`);
        for (let i = 0; i < 10; i++) {
          const path = `${dir}/from${folder}/f${i}`;
          await Deno.writeTextFile(path, `content of ${path}\n`.repeat(1000));
        }
      }
      await using pool = new ConnectionPool({ config: false });
      const host = pool.host({
        hostname: "127.0.0.1",
        port: Number(said),
        user: "u",
        password: "p",
        hostKey: "insecure-accept-any",
      });
      const up = await host.upload(`${dir}/from`, `${dir}/there`);
      const down = await host.download(`${dir}/there`, `${dir}/back`);
      for (const { files, notices } of [up, down]) {
        assertEquals(files, 40);
        const said = notices.map(({ message }) => message).join("\n");
        assert(said.includes("one by one"), said);
      }
      for (const copy of ["there", "back"]) {
        const { stdout } = await new Deno.Command("diff", {
          args: ["-rq", `${dir}/from`, `${dir}/${copy}`],
        }).output();
        assertEquals(new TextDecoder().decode(stdout), "", copy);
      }
    } finally {
      server.kill("SIGKILL");
      await server.status;
    }
  },
});
