import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ConnectConfig } from "ssh2";
import {
  type CommandResult,
  EmbeddedServer,
} from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { login, open, run, withServer } from "./_peer.ts";

Deno.test("EmbeddedServer.start() runs the built-in commands", () =>
  withServer({}, async (server, { client }) => {
    assertEquals((await run(client, "echo 'a b'")).stdout, "a b\n");
    assertEquals((await run(client, "exit 7")).code, 7);
    assertEquals((await run(client, "cat", "over there")).stdout, "over there");
    assertMatch(
      (await run(client, "nonsense")).stderr,
      /^sh: nonsense: not found\nNo script for "nonsense": add it to /,
    );
    const { stdout } = await run(client, "bulk 5000000");
    assertEquals([stdout.length, stdout.at(-1)], [5_000_000, "a"]);
    await until(() => server.openSessions === 0);
    assertEquals([server.accepted, server.sessions, server.openSessions], [
      1,
      5,
      0,
    ]);
  }));

Deno.test("EmbeddedServer.start() runs scripted commands", () =>
  withServer({
    commands: {
      both: { stdout: "out", stderr: "err", code: 3 },
      die: { signal: "KILL" },
    },
  }, async (_server, { client }) => {
    assertEquals(await run(client, "both"), {
      code: 3,
      signal: undefined,
      stdout: "out",
      stderr: "err",
    });
    assertEquals((await run(client, "die")).signal, "SIGKILL");
  }));

Deno.test("EmbeddedServer tells a client of a result with a field that there is none", async () => {
  const wrong = { cod: 0 } as CommandResult;
  await assertRejects(
    () => EmbeddedServer.start({ commands: { make: wrong } }),
    TypeError,
    'Cannot start the server: there is no field "commands.make.cod", did you mean "code"?',
  );
  for (const commands of [() => wrong, { make: () => wrong }]) {
    await withServer({ commands }, async (_server, { client }) => {
      const { code, stderr } = await run(client, "make");
      assertEquals(code, 1);
      assertMatch(
        stderr,
        /there is no field "result.cod", did you mean "code"/,
      );
    });
  }
});

Deno.test("EmbeddedServer.host() has the key and the fingerprint of the server", () =>
  withServer({}, async (server, { hostKey }) => {
    const digest = await crypto.subtle.digest(
      "SHA-256",
      new Uint8Array(hostKey),
    );
    const text = Buffer.from(digest).toString("base64").replace(/=+$/, "");
    assertEquals(server.host().hostKey, `SHA256:${text}`);
    assertEquals(server.host({ user: "x" }).user, "x");
  }));

Deno.test("EmbeddedServer accepts the variables that acceptEnv names, and refuses others", () =>
  withServer({ acceptEnv: ["LANG", "LC_*"] }, async (_server, { client }) => {
    const variable = (name: string) =>
      new Promise<string>((resolve, reject) =>
        client.exec(
          `printenv ${name}`,
          { env: { [name]: "x" } },
          (error, channel) => {
            if (error) return reject(error);
            channel.on("data", (chunk: Buffer) => resolve(String(chunk)));
            channel.on("close", () => resolve(""));
          },
        )
      );
    assertEquals(await variable("LANG"), "x\n");
    assertEquals(await variable("LC_ALL"), "x\n");
    assertEquals(await variable("LANGUAGE"), "");
    assertEquals(await variable("PATH"), "");
  }));

Deno.test("EmbeddedServer ends a command by the client's signal", () =>
  withServer({}, async (_server, { client }) => {
    const channel = await open(client, "sleep 60");
    channel.resume();
    channel.signal("INT");
    const signal = await new Promise((resolve) =>
      channel.on("close", (_code: unknown, signal: unknown) => resolve(signal))
    );
    assertEquals(signal, "SIGINT");
  }));

Deno.test("EmbeddedServer refuses sessions beyond maxSessions with reason 2", () =>
  withServer({ maxSessions: 1 }, async (server, { client }) => {
    const first = await open(client, "cat");
    const error = await open(client, "true").catch((error) => error);
    assertEquals(error.reason, 2);
    assertEquals([server.peakSessions, server.refusedSessions], [1, 1]);
    const ended = new Promise((resolve) => first.on("close", resolve));
    first.resume().end();
    await ended;
    // In order on the wire: our CLOSE came before this request.
    assertEquals((await run(client, "true")).code, 0);
  }));

Deno.test("EmbeddedServer refuses what its switches say", () =>
  withServer({}, async (server, { client }) => {
    server.options.refuseExec = true;
    await assertRejects(() => open(client, "true"), Error, "Unable to exec");
    server.options.refuseExec = false;
    server.options.exitWithoutStatus = true;
    assertEquals((await run(client, "true")).code, undefined);
    server.options.delayOpenMs = 1;
    await run(client, "true");
    server.options.refuseSessions = true;
    await assertRejects(() => open(client, "true"));
  }));

Deno.test("EmbeddedServer lets in by password and by answers, and counts attempts", async () => {
  await using server = await EmbeddedServer.start({
    password: "right",
    keyboardInteractive: {
      questions: [{ prompt: "Code: ", answer: "42" }],
    },
  });
  const key = { privateKey: undefined } as unknown as Partial<ConnectConfig>;
  await assertRejects(
    () =>
      login(server, { ...key, password: "wrong", authHandler: ["password"] }),
    Error,
    "authentication",
  );
  await using _one = await login(server, { ...key, password: "right" });
  await using _two = await login(server, { ...key, tryKeyboard: true });
  await assertRejects(() => login(server, { username: "root" }));
  assertEquals(server.accepted, 2);
  assert(server.authAttempts >= 3);
});

Deno.test("EmbeddedServer wants every method of requireMethods", async () => {
  await using server = await EmbeddedServer.start({
    password: "right",
    requireMethods: ["publickey", "password"],
  });
  await assertRejects(() => login(server));
  await using _peer = await login(server, {
    password: "right",
    authHandler: ["publickey", "password"],
  });
  assertEquals(server.accepted, 1);
});

/** What the server says on a bare TCP connection until it ends, if it does. */
async function greeting(server: EmbeddedServer): Promise<string> {
  using socket = await Deno.connect({
    hostname: server.hostname,
    port: server.port,
  });
  let text = "";
  const buffer = new Uint8Array(1024);
  for (;;) {
    const n = await socket.read(buffer).catch(() => null);
    if (n === null) return text;
    text += new TextDecoder("latin1").decode(buffer.subarray(0, n));
  }
}

Deno.test("EmbeddedServer drops connections before or after its banner", async () => {
  await using server = await EmbeddedServer.start({ dropBeforeBanner: true });
  assertEquals(await greeting(server), "");
  server.options.dropBeforeBanner = false;
  server.options.dropAfterBanner = true;
  assertEquals(await greeting(server), "SSH-2.0-embedded\r\n");
  assertEquals(server.connections, 2);
});

Deno.test("EmbeddedServer.close() ends those that it never greeted", async () => {
  for (const how of [{ neverBanner: true }, { delayDialsMs: 60_000 }]) {
    const server = await EmbeddedServer.start(how);
    const silent = greeting(server);
    await until(() => server.connections > 0);
    await server.close();
    assertEquals(await silent, "");
  }
});

Deno.test("EmbeddedServer.refuse() refuses dials until listen()", async () => {
  await using server = await EmbeddedServer.start();
  const { port } = server;
  server.refuse();
  const error = await assertRejects(() => login(server), Error);
  // The system may let one in while it closes the port, and then resets it.
  assertMatch(error.message, /ECONNREFUSED|ECONNRESET/);
  await server.listen();
  await using _peer = await login(server);
  assertEquals(server.port, port);
});

Deno.test("EmbeddedServer.freeze() answers nothing until thaw()", () =>
  withServer({}, async (server, { client }) => {
    server.freeze();
    let done = false;
    const running = run(client, "true").then(() => done = true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals([done, server.sessions], [false, 0]);
    server.thaw();
    await running;
  }));

Deno.test("EmbeddedServer.freeze() holds back what commands write", async () => {
  const gate = Promise.withResolvers<void>();
  const late = () => gate.promise.then(() => ({ stdout: "late" }));
  await withServer({ commands: { late } }, async (server, { client }) => {
    let done = false;
    const running = run(client, "late").then(() => done = true);
    await until(() => server.sessions === 1);
    // A round trip later the command runs, too.
    await run(client, "true");
    server.freeze();
    gate.resolve();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert(!done);
    server.thaw();
    await running;
  });
});

Deno.test("EmbeddedServer.dropAll() ends connections and their sessions", () =>
  withServer({}, async (server, { client, socket }) => {
    await open(client, "cat");
    assertEquals([server.openSessions, server.live], [1, 1]);
    client.removeAllListeners("error");
    client.on("error", () => {});
    const gone = new Promise((resolve) => socket.once("close", resolve));
    server.dropAll();
    await gone;
    await until(() => server.live === 0);
    assertEquals(server.openSessions, 0);
  }));

Deno.test("EmbeddedServer lets the program end after close(), whatever its clients did", async () => {
  const at = (path: string) => new URL(`../../../${path}`, import.meta.url);
  const program = `
    import { ConnectionPool } from "${at("mod.ts")}";
    import { EmbeddedServer } from "${at("transport/testing/mod.ts")}";
    const server = await EmbeddedServer.start({ delayOpenMs: 50 });
    const pool = new ConnectionPool({ config: false });
    const running = pool.exec(server.host(), "sleep 60").catch(() => {});
    while (server.openSessions === 0) await new Promise((f) => setTimeout(f, 5));
    await new Promise((f) => setTimeout(f, 100));
    await server.close();
    await running;
    console.log("closed");`;
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/program.ts`;
    await Deno.writeTextFile(path, program);
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-check"],
        ...["--config", at("deno.json").pathname, path],
      ],
      stdin: "null",
      signal: AbortSignal.timeout(20_000),
    }).output();
    assertEquals([code, new TextDecoder().decode(stdout)], [0, "closed\n"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
