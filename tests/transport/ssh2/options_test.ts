// What the options of a command do on a real sshd, and what the adapter checks.

import { assert, assertEquals } from "@std/assert";
import { Readable } from "node:stream";
import { CommandError } from "../../../transport/command/errors.ts";
import { ChannelOpenError } from "../../../transport/errors.ts";
import type { StdinSource } from "../../../transport/process.ts";
import { EnvironmentRefusedError } from "../../../transport/session/errors.ts";
import { Dropbear, dropbearHint, noDropbear } from "../../kit/dropbear.ts";
import { until } from "../../kit/until.ts";
import { connect, embeddedTest, rejection, sshdTest } from "./_kit.ts";

sshdTest(
  "exec() runs in a folder, and not at all where it cannot be entered",
  async (connection) => {
    const { stdout } = await connection.exec("pwd", { cwd: "/usr/share" });
    assertEquals(stdout, "/usr/share\n");
    const { code, stdout: none, stderr } = await connection.exec("echo ran", {
      cwd: "/nonexistent",
    });
    assert(code !== 0 && none === "" && stderr.includes("/nonexistent"));
    const relative = await connection.exec(["pwd"], { cwd: "a b" });
    assert(relative.stderr.includes("a b"));
  },
);

sshdTest(
  "exec() and spawn() take ~ for the home of the user who logs in",
  async (connection) => {
    const home = (await connection.exec("pwd")).stdout;
    for (const cwd of ["~", "~/", "~/."]) {
      assertEquals((await connection.exec("pwd", { cwd })).stdout, home);
      const process = await connection.spawn(["pwd"], { cwd });
      assertEquals(await process.text(), home);
    }
  },
);

sshdTest(
  "exec() sets variables inline that the server would refuse",
  async (connection) => {
    const env = { REFUSED: "it's $HOME\n", "OTHER": "" };
    const error = await rejection(connection.exec("true", { env }));
    assert(error instanceof EnvironmentRefusedError);
    const { stdout } = await connection.exec('printf %s "$REFUSED"', {
      env,
      envMode: "inline",
    });
    assertEquals(stdout, env.REFUSED);
    const process = await connection.spawn('printf %s "$REFUSED"', {
      env,
      envMode: "inline",
    });
    assertEquals(
      new TextDecoder().decode((await process.output()).stdout),
      env.REFUSED,
    );
  },
);

sshdTest("exec() with login has the PATH of a login", async (connection) => {
  const path = 'echo "$PATH"';
  const { stdout } = await connection.exec(path, { login: true });
  const { stdout: shell } = await connection.exec(
    `exec "$SHELL" -l -c '${path}'`,
  );
  assertEquals(stdout, shell);
  const { stdout: both } = await connection.exec('pwd; echo "$A"', {
    login: true,
    cwd: "/",
    env: { A: "it's" },
    envMode: "inline",
  });
  assertEquals(both, "/\nit's\n");
});

sshdTest("shell() takes variables inline", async (connection) => {
  const shell = await connection.shell!({
    env: { REFUSED: "it's" },
    envMode: "inline",
  });
  const writer = shell.stdin.getWriter();
  await writer.write(new TextEncoder().encode('echo "<$REFUSED>"; exit 5\n'));
  const text = await new Response(shell.stdout).text();
  assert(text.includes("<it's>"), text);
  assertEquals((await shell.status).code, 5);
});

sshdTest(
  "exec() with check rejects unless the exit code is 0",
  async (connection) => {
    const { stdout } = await connection.exec("echo fine", { check: true });
    assertEquals(stdout, "fine\n");
    const error = await rejection(
      connection.exec("echo out; echo first >&2; echo why >&2; exit 3", {
        check: true,
      }),
    );
    assert(error instanceof CommandError);
    assertEquals([error.exitCode, error.signal], [3, null]);
    assertEquals([error.stdout, error.stderr], ["out\n", "first\nwhy\n"]);
    assert(error.message.endsWith("failed with exit code 3: first | why"));
    const killed = await rejection(
      connection.exec("kill -KILL $$", { check: true, encoding: "bytes" }),
    );
    assert(killed instanceof CommandError);
    assertEquals([killed.exitCode, killed.signal], [null, "KILL"]);
  },
);

const big = new Uint8Array(3_000_000).map((_, i) => i * 7 + (i >> 10));

async function* generator(): AsyncGenerator<Uint8Array | string> {
  yield "text \ud83d";
  yield "\ude00";
  yield big.subarray(0, 100_000);
}

const SOURCES: [string, () => StdinSource, Uint8Array][] = [
  ["text", () => "text é", new TextEncoder().encode("text é")],
  ["bytes", () => big, big],
  ["an ArrayBuffer", () => big.buffer.slice(0), big],
  ["a Blob", () => new Blob([big]), big],
  [
    "a stream of bytes",
    () => ReadableStream.from([big, big.subarray(0, 0)]),
    big,
  ],
  [
    "a stream of text",
    () => ReadableStream.from(["a", "é"]),
    new TextEncoder().encode("aé"),
  ],
  ["a Node Readable", () => Readable.from([big]), big],
  [
    "a generator",
    generator,
    new Uint8Array([
      ...new TextEncoder().encode("text \u{1f600}"),
      ...big.subarray(0, 100_000),
    ]),
  ],
];

for (const [name, make, expected] of SOURCES) {
  embeddedTest(
    `exec() gives ${name} to the command`,
    {},
    async (connection) => {
      const { stdout } = await connection.exec("cat", {
        stdin: make(),
        encoding: "bytes",
      });
      assertEquals(stdout.length, expected.length);
      assert(stdout.every((byte, i) => byte === expected[i]));
    },
  );
}

embeddedTest(
  "exec() stops the command when its source yields something else, or throws",
  {},
  async (connection, server) => {
    let ended = 0;
    server.options.commands = {
      wait: ({ signal, stdin }) =>
        stdin.pipeTo(new WritableStream(), { signal }).finally(() => ended++),
    };
    const beside = connection.exec("cat", { stdin: "fine" });
    const wrong = async function* () {
      yield "a";
      yield 5 as unknown as string;
    };
    const error = await rejection(connection.exec("wait", { stdin: wrong() }));
    assert(error instanceof TypeError);
    assertEquals(
      error.message,
      "Cannot read stdin: it yielded a number, must yield a Uint8Array or a string",
    );
    const failing = async function* () {
      yield "a";
      throw new RangeError("of the caller");
    };
    const thrown = await rejection(
      connection.exec("wait", { stdin: failing() }),
    );
    assert(thrown instanceof RangeError && thrown.message === "of the caller");
    assertEquals((await beside).stdout, "fine");
    await until(() => ended === 2 && connection.openChannels === 0);
    assertEquals(connection.isClosed, false);
  },
);

embeddedTest(
  "exec() returns a source that the command does not read to its end",
  { commands: { short: ({ stdin }) => stdin.cancel() } },
  async (connection) => {
    let returned = false;
    const endless = async function* () {
      try {
        for (;;) yield new Uint8Array(1000);
      } finally {
        returned = true;
      }
    };
    await connection.exec("true", { stdin: endless() });
    await until(() => returned);
    let reason: unknown = "none";
    const stream = new ReadableStream<Uint8Array>({
      cancel: (why) => void (reason = why),
    });
    await connection.exec("true", { stdin: stream });
    await until(() => reason !== "none");
  },
);

embeddedTest(
  "exec() leaves a source alone when the command was not sent",
  { refuseSessions: true },
  async (connection) => {
    const stream = ReadableStream.from(["a"]);
    const error = await rejection(connection.exec("cat", { stdin: stream }));
    assert(error instanceof ChannelOpenError);
    assertEquals(stream.locked, false);
    assertEquals(
      await new Response(stream.pipeThrough(new TextEncoderStream())).text(),
      "a",
    );
  },
);

embeddedTest(
  "exec() fails alone when somebody takes its stream after it was checked",
  {},
  async (connection) => {
    const stream = ReadableStream.from([new Uint8Array(5)]);
    const running = connection.exec("cat", {
      stdin: stream,
      onOpen: () => void stream.getReader(),
    });
    const error = await rejection(running);
    assert(error instanceof TypeError, String(error));
    assert(error.message.includes("a locked ReadableStream"), error.message);
    const { stdout } = await connection.exec("echo fine");
    assertEquals(stdout, "fine\n");
  },
);

embeddedTest(
  "exec(), spawn() and shell() check what they are given before a channel is opened",
  {},
  async (connection, server) => {
    const bad = [
      connection.exec("ls", { timeout: 5 } as never),
      connection.exec("ls", { timeoutMs: NaN }),
      connection.exec("ls", { env: { A: undefined } } as never),
      connection.exec("ls", { stdin: 5 } as never),
      connection.exec("x".repeat(300_000)),
      connection.exec("ls", { idempotent: true } as never),
      connection.spawn("ls", { cwd: "" }),
      connection.spawn("ls", { stdin: 5 } as never),
      connection.shell!({ rows: 0 }),
      connection.shell!({ pty: "yes" } as never),
      connection.shell!({ pty: false, rows: 5 }),
    ];
    for (const call of bad) {
      const error = await rejection(call);
      assert(error instanceof TypeError || error instanceof RangeError);
    }
    assertEquals([server.sessions, connection.openChannels], [0, 0]);
  },
);

embeddedTest(
  "exec() runs nothing when its onOpen aborts it",
  { commands: { ls: () => assert(false) } },
  async (connection) => {
    const controller = new AbortController();
    const stream = ReadableStream.from(["a"]);
    const error = await rejection(connection.exec("ls", {
      signal: controller.signal,
      stdin: stream,
      onOpen: () => controller.abort("enough"),
    }));
    assertEquals([error, stream.locked], ["enough", false]);
  },
);

sshdTest(
  "exec() sends a command as long as is allowed, and the connection lives on",
  async (connection) => {
    const echo = "echo long; : ";
    // The kernel takes no argument that long, which is an answer all the same.
    const long = echo + "x".repeat(255 * 1024 - echo.length);
    const result = await connection.exec(long);
    assert(result.code !== 0, result.stdout);
    const { stdout } = await connection.exec(echo + "x".repeat(100_000));
    assertEquals(stdout, "long\n");
    const error = await rejection(connection.exec(`${long}x`));
    assert(error instanceof RangeError);
    assertEquals(connection.isClosed, false);
  },
);

Deno.test({
  name: noDropbear
    ? `exec() sends dropbear no message that would end the connection (${dropbearHint})`
    : "exec() sends dropbear no message that would end the connection",
  ignore: noDropbear,
  async fn() {
    await using server = await Dropbear.start();
    await using connection = await connect(server.host());
    const echo = "echo long; : ";
    const fits = await connection.exec(
      echo + "x".repeat(9000 - echo.length),
    );
    assertEquals(fits.stdout, "long\n");
    for (
      const [command, options] of [
        ["x".repeat(9001), {}],
        ["x".repeat(40_000), {}],
        ["true", { env: { A: "x".repeat(40_000) } }],
      ] as const
    ) {
      const error = await rejection(connection.exec(command, options));
      assert(error instanceof RangeError, String(error));
    }
    const { stdout } = await connection.exec("echo alive");
    assertEquals([stdout, connection.isClosed], ["alive\n", false]);
  },
});
