/** OpenSSH's own clients on EmbeddedServer. */

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { delimiter, join } from "node:path";
import {
  EmbeddedServer,
  type EmbeddedServerOptions,
} from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { ask } from "./_peer.ts";

function find(name: string): string | undefined {
  return (Deno.env.get("PATH") ?? "").split(delimiter)
    .map((folder) => join(folder, name)).find(existsSync);
}

interface Box {
  readonly server: EmbeddedServer;
  readonly dir: string;
  /** Starts a client with these arguments before `ops@127.0.0.1`. */
  start(args: readonly string[], after?: readonly string[]): Deno.ChildProcess;
}

/** A test with a server, a folder, and one of OpenSSH's programs. */
function opensshTest(
  program: "ssh" | "sftp",
  name: string,
  options: EmbeddedServerOptions,
  fn: (box: Box) => Promise<void>,
): void {
  const path = find(program);
  const hint = "install openssh-client to run this test";
  Deno.test({
    name: path ? name : `${name} (${hint})`,
    ignore: path === undefined,
    async fn() {
      const dir = await Deno.makeTempDir({ prefix: "sshpool-clients-" });
      try {
        await using server = await EmbeddedServer.start(options);
        const key = join(dir, "key");
        await Deno.writeTextFile(key, server.clientKey, { mode: 0o600 });
        const fixed = [
          ...["-F", "none", "-i", key, "-o", "BatchMode=yes"],
          ...["-o", `Port=${server.port}`, "-o", "LogLevel=ERROR"],
          ...["-o", "StrictHostKeyChecking=no"],
          ...["-o", `UserKnownHostsFile=${join(dir, "known_hosts")}`],
          ...["-o", "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes"],
        ];
        const start = (
          args: readonly string[],
          after: readonly string[] = [],
        ) =>
          new Deno.Command(path!, {
            args: [...args, ...fixed, "ops@127.0.0.1", ...after],
            cwd: dir,
            stdin: "piped",
            stdout: "piped",
            stderr: "piped",
            signal: AbortSignal.timeout(20_000),
          }).spawn();
        await fn({ server, dir, start });
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    },
  });
}

/** Writes to a process, then the end of file, and gives how it ended. */
async function finish(child: Deno.ChildProcess, stdin = "") {
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(stdin));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const [out, err] = [stdout, stderr].map((it) => new TextDecoder().decode(it));
  return { code, stdout: out!, stderr: err! };
}

/** Something that answers each connection with what it has sent. */
async function startEcho() {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = await startEcho();
  await server[Symbol.asyncDispose]();
  return server.port;
}

opensshTest(
  "ssh",
  "ssh runs a command on EmbeddedServer, with input, output and code",
  {},
  async ({ start }) => {
    assertEquals(await finish(start([], ["cat"]), "over there"), {
      code: 0,
      stdout: "over there",
      stderr: "",
    });
    assertEquals((await finish(start([], ["exit 7"]))).code, 7);
  },
);

opensshTest(
  "sftp",
  "sftp puts, lists, renames and gets files of EmbeddedServer",
  {},
  async ({ server, dir, start }) => {
    const content = "0123456789\n".repeat(300_000);
    await Deno.writeTextFile(join(dir, "local"), content);
    const script = `mkdir up
put local up/one
rename up/one up/two
chmod 600 up/two
ln -s two up/link
ls -n up
get up/link back
df
`;
    const { code, stdout, stderr } = await finish(
      start(["-b", "-"]),
      script,
    );
    assertEquals([code, stderr], [0, ""], stdout);
    assert(/^-rw-------.*3300000.*two$/m.test(stdout), stdout);
    assertEquals(await Deno.readTextFile(join(dir, "back")), content);
    assertEquals(server.files.paths("/home/ops/up"), [
      "/home/ops/up/link",
      "/home/ops/up/two",
    ]);
    assertEquals(server.files.openFiles, 0);
    await until(() => server.live === 0);
  },
);

opensshTest(
  "ssh",
  "ssh -L and -R lead through EmbeddedServer",
  {},
  async ({ server, dir, start }) => {
    await using echo = await startEcho();
    const [local, unix] = [await freePort(), join(dir, "local.sock")];
    const [remote, far] = [await freePort(), join(dir, "remote.sock")];
    const child = start([
      "-N",
      ...["-L", `${local}:127.0.0.1:${echo.port}`],
      ...["-L", `${unix}:${far}`],
      ...["-R", `${remote}:127.0.0.1:${echo.port}`],
      ...["-R", `${far}:127.0.0.1:${echo.port}`],
    ]);
    try {
      // The last of them is asked for last.
      await until(() => existsSync(far) && existsSync(unix));
      const tcp = (port: number) => ({ host: "127.0.0.1", port });
      assertEquals(await ask(tcp(local), "local"), "local");
      assertEquals(await ask(tcp(remote), "remote"), "remote");
      assertEquals(await ask({ path: unix }, "both"), "both");
      // The last one went out through one and came back through another.
      assertEquals(server.forwards, 4);
    } finally {
      child.kill();
      await finish(child).catch(() => {});
    }
    await until(() => server.live === 0);
    await until(() => !existsSync(far));
  },
);

opensshTest(
  "ssh",
  "ssh says that a forward failed where EmbeddedServer refuses forwards",
  { refuseForwards: true },
  async ({ start }) => {
    const { code, stderr } = await finish(
      start(["-o", "LogLevel=INFO", "-W", "127.0.0.1:1"]),
    );
    assert(code !== 0);
    assert(stderr.includes("connect failed"), stderr);
    const remote = await finish(start(["-N", "-R", "0:127.0.0.1:1"]));
    assertEquals(remote.code, 255);
  },
);

opensshTest(
  "ssh",
  "ssh -tt talks to a shell of EmbeddedServer in a terminal",
  {},
  async ({ server, start }) => {
    const child = start(["-tt"]);
    const reader = child.stdout.getReader();
    const writer = child.stdin.getWriter();
    let stdout = "";
    const steps = [
      ["", "echo hello\n"],
      ["hello\r\n", "exit 6\n"],
    ] as const;
    for (const [sign, typed] of steps) {
      while (!stdout.includes(sign)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`${sign} never came: ${stdout}`);
        stdout += new TextDecoder().decode(value);
      }
      await writer.write(new TextEncoder().encode(typed));
    }
    while (!(await reader.read()).done);
    await writer.close();
    await child.stderr.cancel();
    assertEquals((await child.status).code, 6);
    await until(() => server.openSessions === 0);
  },
);

opensshTest(
  "ssh",
  "ssh without a command runs lines on EmbeddedServer up to the end of file",
  { commands: { both: { stdout: "out\n", stderr: "err\n", code: 3 } } },
  async ({ start }) => {
    assertEquals(await finish(start(["-T"]), "echo a\nboth\n"), {
      code: 3,
      stdout: "a\nout\n",
      stderr: "err\n",
    });
  },
);
