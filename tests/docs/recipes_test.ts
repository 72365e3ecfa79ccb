/** The recipes: whole programs, each run, and talked to where it serves. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { existsSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import {
  EmbeddedServer,
  type EmbeddedServerOptions,
} from "../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";
import { makeSudoAccount, noSudo, sudoHint } from "../kit/sudo.ts";
import { Home } from "./_home.ts";
import { PASSWORD } from "./_hosts.ts";
import { examples, RECIPES } from "./_readme.ts";

type Recipe = (typeof RECIPES)[number];

const all = examples();

/** The program of a recipe, with other names for what the reader has. */
function program(name: Recipe, replace: Record<string, string> = {}): string {
  const found = all.find((it) => it.name === name);
  assert(found !== undefined, `There is no recipe "${name}"`);
  let { source } = found;
  for (const [from, to] of Object.entries(replace)) {
    assertStringIncludes(source, from);
    source = source.replaceAll(from, to);
  }
  return source;
}

/** A server for `web-1`, `db-1` and `gate`, and a home that knows it. */
async function setUp(options: EmbeddedServerOptions = {}) {
  const server = await EmbeddedServer.start(options);
  const { port, clientKey: privateKey } = server;
  const home = await Home.make({ port, user: "ops", privateKey });
  return {
    server,
    home,
    async [Symbol.asyncDispose]() {
      await home[Symbol.asyncDispose]();
      await server.close();
    },
  };
}

Deno.test("the MCP server answers a client, cuts long output, and stops what is cancelled", async () => {
  const stopped = Promise.withResolvers<unknown>();
  const started = Promise.withResolvers<void>();
  await using site = await setUp({
    commands: {
      uptime: { stdout: "up 3 days\n" },
      deploy: { code: 4, stderr: "no space left\n" },
      flood: { stdout: "x".repeat(200_000) },
      forever: ({ signal }) =>
        new Promise((_, reject) => {
          started.resolve();
          signal.addEventListener("abort", () => {
            stopped.resolve(signal.reason);
            reject(signal.reason);
          });
        }),
    },
  });
  await site.home.write("server.js", program("An MCP server 1"));
  const { args, options } = await site.home.command("server.js");
  const transport = new Stdio(args, options);
  const client = new Client({ name: "test", version: "1" });
  await client.connect(transport);
  try {
    const { tools }: { tools: { name: string }[] } = await client.listTools();
    assertEquals(tools.map(({ name }) => name), ["run"]);
    const run = async (host: string, command: string) => {
      const { content, isError } = await client.callTool({
        name: "run",
        arguments: { host, command },
      });
      const [{ text }] = content as [{ text: string }];
      return [isError ?? false, text] as const;
    };
    assertEquals(await run("web-1", "uptime"), [
      false,
      "up 3 days\n\nexit code 0",
    ]);
    assertEquals(await run("db-1", "deploy"), [
      true,
      "no space left\n\nexit code 4",
    ]);
    const [, flood] = await run("web-1", "flood");
    assert(flood.length < 101_000, `${flood.length}`);
    assertStringIncludes(flood, "left out");
    assertEquals((await run("elsewhere", "uptime"))[0], true);

    const cancel = new AbortController();
    const cancelled = client.callTool(
      { name: "run", arguments: { host: "web-1", command: "forever" } },
      undefined,
      { signal: cancel.signal },
    ).catch((error: unknown) => error);
    await started.promise;
    cancel.abort();
    assertEquals(await stopped.promise, "TERM");
    assert(await cancelled instanceof Error);
    // A failure of one call is none of the next.
    site.server.options.refuseSessions = true;
    assertEquals((await run("web-1", "uptime"))[0], true);
    site.server.options.refuseSessions = false;
    assertEquals((await run("web-1", "uptime"))[0], false);
  } finally {
    await client.close();
  }
});

/**
 * The transport of the protocol: a message a line. The one of the SDK leaves
 * timers behind.
 */
class Stdio {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #reading = Promise.resolve();
  onmessage?: (message: unknown) => void;
  onclose?: () => void;

  constructor(args: string[], options: Deno.CommandOptions) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args,
      ...options,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
  }

  async start(): Promise<void> {
    this.#reading = this.#read();
    await this.#writer.ready;
  }

  async send(message: unknown): Promise<void> {
    const line = `${JSON.stringify(message)}\n`;
    await this.#writer.write(new TextEncoder().encode(line));
  }

  /** The end of its input ends the server, which holds nothing that lives on. */
  async close(): Promise<void> {
    await this.#writer.close();
    const { code } = await this.#child.status;
    await this.#reading;
    this.onclose?.();
    assertEquals(code, 0);
  }

  async #read(): Promise<void> {
    const text = this.#child.stdout.pipeThrough(new TextDecoderStream());
    for await (const line of text.pipeThrough(new TextLineStream())) {
      if (line !== "") this.onmessage?.(JSON.parse(line));
    }
  }
}

/** Makes lines of text. */
class TextLineStream extends TransformStream<string, string> {
  constructor() {
    let rest = "";
    super({
      transform(chunk, controller) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) controller.enqueue(line);
      },
    });
  }
}

Deno.test("the terminal in the browser types, prints, takes a new size, and ends with its shell", async () => {
  await using site = await setUp();
  await site.home.write(
    "terminal.js",
    program("A terminal in the browser 1", { "port: 8022": "port: 0" }),
  );
  const { args, options } = await site.home.command("terminal.js");
  const child = new Deno.Command(Deno.execPath(), {
    args,
    ...options,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  try {
    const { value } = await reader.read();
    const port = new TextDecoder().decode(value).trim();
    const type = (text: string) => new TextEncoder().encode(text);

    const browser = await Browser.open(`ws://127.0.0.1:${port}`);
    browser.socket.send(type("stty size\r"));
    await browser.sees("24 80");
    browser.socket.send(`{"columns": 120, "rows": 40}`);
    browser.socket.send(type("stty size\r"));
    await browser.sees("40 120");
    browser.socket.send(type("exit\r"));
    assertEquals((await browser.closed).code, 1000);

    const rude = await Browser.open(`ws://127.0.0.1:${port}`);
    rude.socket.send("none of this");
    assertEquals((await rude.closed).code, 1008);

    site.server.options.refuseSessions = true;
    const late = await Browser.open(`ws://127.0.0.1:${port}`);
    assertEquals((await late.closed).code, 1011);
  } finally {
    reader.releaseLock();
    await child.stdout.cancel();
    child.kill("SIGKILL");
    await child.status;
  }
});

/** One side of a WebSocket, as a page has it. */
class Browser {
  readonly socket: WebSocket;
  readonly closed: Promise<CloseEvent>;
  #seen = "";
  #wanted: { text: string; resolve: () => void } | undefined;

  private constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.closed = new Promise((resolve) => this.socket.onclose = resolve);
    this.socket.onmessage = ({ data }) => {
      this.#seen += new TextDecoder().decode(data);
      this.#look();
    };
  }

  static async open(url: string): Promise<Browser> {
    const browser = new Browser(url);
    await new Promise((resolve) => browser.socket.onopen = resolve);
    return browser;
  }

  /** Waits until the shell has written this. */
  sees(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted = { text, resolve };
      this.#look();
    });
  }

  #look(): void {
    if (!this.#wanted || !this.#seen.includes(this.#wanted.text)) return;
    this.#wanted.resolve();
    this.#wanted = undefined;
  }
}

Deno.test("a database driver talks through the tunnel, and the program ends", async () => {
  await using site = await setUp();
  await using database = await startPostgres();
  const { code, stdout, stderr } = await site.home.run(
    "database.js",
    program("A database driver 1", {
      "db.internal:5432": `127.0.0.1:${database.port}`,
    }),
  );
  assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
  assertEquals(stdout.trim(), `[ { count: "3" } ]`);
  assertEquals(database.queries, ["select count(*) from users"]);
});

/** As much of PostgreSQL's protocol as one query takes. */
async function startPostgres() {
  const queries: string[] = [];
  const message = (type: string, ...parts: (string | number[])[]) => {
    const body = parts.flatMap((part) =>
      typeof part === "string" ? [...new TextEncoder().encode(part)] : part
    );
    return [type.charCodeAt(0), ...int(body.length + 4), ...body];
  };
  const ready = message("Z", "I");
  const server = createServer((socket: Socket) => {
    let pending: number[] = [];
    let isGreeted = false;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      pending.push(...bytes);
      for (;;) {
        const head = isGreeted ? 1 : 0;
        if (pending.length < head + 4) return;
        const [a = 0, b = 0, c = 0, d = 0] = pending.slice(head);
        const end = head + (a << 24 | b << 16 | c << 8 | d);
        if (pending.length < end) return;
        const [type] = pending;
        const text = new TextDecoder()
          .decode(Uint8Array.from(pending.slice(5, end - 1)));
        pending = pending.slice(end);
        if (!isGreeted) {
          isGreeted = true;
          socket.write(Uint8Array.from([...message("R", int(0)), ...ready]));
        } else if (type === "Q".charCodeAt(0)) {
          queries.push(text);
          // One column, of type int8 (20) and in text, and one row of it.
          const column = [...int(0), 0, 0, ...int(20), 0, 8, ...int(-1), 0, 0];
          socket.write(Uint8Array.from([
            ...message("T", [0, 1], "count\0", column),
            ...message("D", [0, 1], int(1), "3"),
            ...message("C", "SELECT 1\0"),
            ...ready,
          ]));
        } else socket.end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    queries,
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

function int(value: number): number[] {
  return [value >> 24 & 255, value >> 16 & 255, value >> 8 & 255, value & 255];
}

Deno.test("the login with a password and a one-time code asks for the code alone", async () => {
  await using server = await EmbeddedServer.start({
    commands: { whoami: { stdout: "ops\n" } },
    requireMethods: ["keyboard-interactive"],
    keyboardInteractive: {
      questions: [
        { prompt: "Password: ", answer: PASSWORD },
        { prompt: "One-time code: ", answer: "123456", echo: true },
      ],
    },
  });
  const { port, clientKey: privateKey } = server;
  await using home = await Home.make({ port, user: "ops", privateKey });
  const { code, stdout, stderr } = await home.run(
    "code.ts",
    program("A password and a one-time code 1", {
      'hostname: "box.example.com"': `hostname: "127.0.0.1", port: ${port}`,
    }),
    { SSH_PASSWORD: PASSWORD },
    "123456\n",
  );
  assertEquals([code, stdout], [0, "ops\n\n"], stderr);
  assertStringIncludes(stderr, "One-time code: ");
  assert(!stderr.includes("Password"), stderr);
});

Deno.test({
  name:
    "the copy from host to host fails when its source fails, and leaves nothing" +
    (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  fn: async () => {
    await using sshd = await startSshd();
    const privateKey = await Deno.readTextFile(sshd.privateKeyPath);
    const { port, user } = sshd;
    await using home = await Home.make({ port, user, privateKey });
    const copy = (source: string) =>
      home.run(
        "copy.ts",
        program("A copy from host to host 1", {
          "pg_dump --format=custom app": source,
          "/backup/": `${home.dir}/`,
        }),
      );
    const failed = await copy("echo part; echo broken >&2; exit 3");
    assertEquals([failed.code, failed.stderr], [0, ""]);
    assertStringIncludes(failed.stdout, "not copied:");
    assertEquals(existsSync(`${home.dir}/app.dump`), false);
    assertEquals((await copy("echo archive")).stdout, "copied\n");
    assertEquals(await home.read("app.dump"), "archive\n");
  },
});

Deno.test({
  name:
    "the rolling deploy gives a host that is not well what it had, and stops there" +
    (noSshd ? ` (${sshdHint})` : noSudo ? ` (${sudoHint})` : ""),
  ignore: noSshd || noSudo,
  fn: async () => {
    await using account = await makeSudoAccount({ rules: ["ALL=(ALL) ALL"] });
    await using sshd = await startSshd();
    const privateKey = await Deno.readTextFile(sshd.privateKeyPath);
    const { port } = sshd;
    await using home = await Home.make({
      port,
      user: account.user,
      privateKey,
    });
    for (const folder of ["dist", "app", "app/releases"]) {
      await Deno.mkdir(`${home.dir}/${folder}`);
      await Deno.chmod(`${home.dir}/${folder}`, 0o777);
    }
    const current = `${home.dir}/app/current`;
    // What was there before all this.
    await Deno.symlink(`${home.dir}/app/releases/0`, current);
    const deploy = async (version: string, health: string) => {
      await home.write("dist/index.html", version);
      return await home.run(
        "deploy.ts",
        program("A rolling deploy 1", {
          "/srv/app": `${home.dir}/app`,
          // Writes down who it is that restarts what.
          "systemctl restart app":
            `echo $(id -un) $(cat ${current}/index.html) >> ${home.dir}/restarts`,
          "curl --fail --silent localhost:8080/health": health,
        }),
        { VERSION: version, SUDO_PASSWORD: account.password },
      );
    };
    const restarts = async () =>
      (await home.read("restarts")).trim().split("\n");

    const good = await deploy("1", "true");
    assertEquals([good.code, good.stderr], [0, ""], good.stdout);
    assertEquals(good.stdout, "web-1 has 1\nweb-2 has 1\n");
    assertEquals(await restarts(), ["root 1", "root 1"]);

    const bad = await deploy("2", `grep -q 1 ${current}/index.html`);
    assertEquals([bad.code, bad.stderr], [0, ""], bad.stdout);
    assertStringIncludes(bad.stdout, "web-1 does not have 2\n");
    assertStringIncludes(bad.stdout, "CommandError");
    assert(!bad.stdout.includes("web-2"), bad.stdout);
    assertEquals(await Deno.readLink(current), `${home.dir}/app/releases/1`);
    assertEquals((await restarts()).slice(2), ["root 2", "root 1"]);
  },
});

Deno.test("every recipe has its test", () => {
  const names = all.map(({ name }) => name);
  assertEquals(RECIPES.filter((name) => !names.includes(name)), []);
});
