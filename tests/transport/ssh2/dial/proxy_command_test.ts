import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertThrows,
} from "@std/assert";
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { DialError } from "../../../../transport/errors.ts";
import type { SshHost } from "../../../../transport/host/host.ts";
import { openProxyCommand } from "../../../../transport/ssh2/dial/_proxy_command.ts";
import { runInChild } from "../../../kit/child.ts";
import { resolved, startServer } from "../auth/_login.ts";

const windows = Deno.build.os === "windows";

function open(command: string, host: Partial<SshHost> = {}): Duplex {
  return openProxyCommand(command, resolved({ hostname: "db1", ...host }));
}

/** All that a stream gives, and the error it ends with. */
function outcome(stream: Duplex): Promise<{ text: string; error?: Error }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let error: Error | undefined;
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", (it: Error) => error = it);
    stream.on("end", () => stream.destroy());
    stream.on("close", () => {
      const text = Buffer.concat(chunks).toString();
      resolve(error === undefined ? { text } : { text, error });
    });
  });
}

function unixTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: windows, fn });
}

unixTest(
  "openProxyCommand() carries bytes both ways and ends with the command",
  async () => {
    const stream = open("cat");
    const done = outcome(stream);
    const big = "x".repeat(300_000);
    stream.write(big);
    stream.end("end");
    const { text, error } = await done;
    assertEquals([text.length, text.slice(-4), error], [
      300_003,
      "xend",
      undefined,
    ]);
  },
);

unixTest(
  "openProxyCommand() makes a writer wait for a command that does not read",
  async () => {
    const deaf = open("sleep 600");
    const isOpen = deaf.write(new Uint8Array(10_000_000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals([isOpen, deaf.writableLength], [false, 10_000_000]);
    const closed = new Promise((resolve) => deaf.once("close", resolve));
    deaf.destroy();
    await closed;
  },
);

unixTest("openProxyCommand() replaces tokens", async () => {
  const host = { hostname: "10.0.0.1", port: 2222, user: "ops", alias: "db1" };
  const { text } = await outcome(open("echo %h %p %r %n %% %z", host));
  assertEquals(text, "10.0.0.1 2222 ops db1 % %z\n");
});

unixTest(
  "openProxyCommand() runs one process, without a shell around it",
  async () => {
    const stream = open(`sh -c 'echo $PPID'`);
    const { text } = await outcome(stream);
    assertEquals(Number(text), Deno.pid);
  },
);

unixTest(
  "openProxyCommand() says how the command failed, and what it said",
  async () => {
    const { error } = await outcome(
      open("sh -c 'echo one >&2; echo two >&2; exit 3'"),
    );
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "proxy");
    assertEquals(
      error.message,
      'Cannot connect to "ops@db1:22": the proxy command exited with code 3: one; two',
    );
    const silent = await outcome(open("true"));
    assertMatch(
      silent.error?.message ?? "",
      /exited with code 0 and sent nothing$/,
    );
    // One that is told where to go may have met a server under load.
    const hungUp = await outcome(open("true %h"));
    assertEquals(
      [silent, hungUp].map(({ error }) => (error as DialError).throttled),
      [false, true],
    );
    const killed = await outcome(open("sh -c 'kill -KILL $$'"));
    assertMatch(
      killed.error?.message ?? "",
      /the proxy command died of SIGKILL$/,
    );
    const absent = await outcome(open("/does/not/exist"));
    assertMatch(
      absent.error?.message ?? "",
      /exited with code 12[67]: .*\/does\/not\/exist/,
    );
  },
);

unixTest("openProxyCommand() fails if the shell cannot be run", async () => {
  const program = new URL("./_proxy_program.ts", import.meta.url);
  const env = { SHELL: "/no/such/shell" };
  const error = await runInChild<Error | null>(program, "cat", { env });
  assertEquals(error?.name, "DialError");
  assertMatch(error?.message ?? "", /the proxy command cannot be run: /);
});

unixTest(
  "openProxyCommand() keeps the end of a long complaint only",
  async () => {
    const noisy =
      `sh -c 'head -c 100000 /dev/zero | tr "\\0" x >&2; echo last >&2; exit 1'`;
    const { error } = await outcome(open(noisy));
    const message = error?.message ?? "";
    assert(message.length < 1200, String(message.length));
    assertMatch(message, /xlast$/);
  },
);

unixTest(
  "openProxyCommand() kills the command when destroyed, also one that will not go",
  async () => {
    for (
      const command of [
        "sh -c 'echo $$; exec sleep 600'",
        "sh -c 'trap \"\" HUP TERM; echo $$; while :; do sleep 0.1; done'",
      ]
    ) {
      const stream = open(command);
      const pid = await new Promise<number>((resolve) =>
        stream.once(
          "data",
          (chunk: Buffer) => resolve(parseInt(chunk.toString())),
        )
      );
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.on("error", () => {});
      stream.destroy();
      await closed;
      assertThrows(() => Deno.kill(pid, 0 as unknown as Deno.Signal));
    }
  },
);

unixTest(
  "openProxyCommand() refuses a name that a shell would act upon",
  async () => {
    for (
      const hostname of [
        "$(reboot)",
        "a;b",
        "a b",
        "-oProxyCommand=x",
        "a`b`",
        "a|b",
      ]
    ) {
      const error = assertThrows(
        () => open("nc %h 22", { hostname }),
        DialError,
      );
      assertEquals(error.phase, "config");
    }
    // What is not put into the command is not looked at.
    await outcome(open("echo", { hostname: "a;b" }));
  },
);

unixTest("openProxyCommand() carries an SSH connection", async () => {
  await using server = await startServer((context) => context.accept());
  const relay = "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill %%1'";
  const stream = openProxyCommand(relay, resolved(server.host));
  const client = new ssh2.Client();
  const ready = await new Promise<boolean>((resolve) => {
    client.on("ready", () => resolve(true));
    client.on("error", () => resolve(false));
    client.on("close", () => resolve(false));
    client.connect({ sock: stream, username: "ops" });
  });
  const closed = new Promise((resolve) => stream.once("close", resolve));
  stream.destroy();
  await closed;
  assert(ready);
});
