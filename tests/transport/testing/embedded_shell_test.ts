/** Shells and terminals of EmbeddedServer. */

import { assert, assertEquals, assertRejects } from "@std/assert";
// @ts-types="@types/ssh2"
import type { ClientChannel } from "ssh2";
import { ChannelOpenError } from "../../../transport/errors.ts";
import type { RemoteProcess } from "../../../transport/process.ts";
import type { CommandContext } from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { embeddedTest } from "../ssh2/_kit.ts";
import { withServer } from "./_peer.ts";

/** Types into a process, and reads until a text has come. */
class Talk {
  readonly #process: RemoteProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  /** All that has come so far. */
  seen = "";

  constructor(process: RemoteProcess) {
    this.#process = process;
    this.#writer = process.stdin.getWriter();
    this.#reader = process.stdout.getReader();
  }

  type(text: string): Promise<void> {
    return this.#writer.write(new TextEncoder().encode(text));
  }

  async until(text: string): Promise<void> {
    while (!this.seen.includes(text)) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`${text} never came: ${this.seen}`);
      this.seen += this.#decoder.decode(value, { stream: true });
    }
  }

  /** Ends the input. */
  close(): Promise<void> {
    return this.#writer.close();
  }

  /** Reads to the end. */
  async end() {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return await this.#process.status;
      this.seen += this.#decoder.decode(value, { stream: true });
    }
  }
}

embeddedTest(
  "EmbeddedServer runs a shell in a terminal: commands, their output, and exit",
  { commands: { both: { stdout: "out\n", stderr: "err\n", code: 3 } } },
  async (connection, server) => {
    const shell = await connection.shell!({ columns: 100, rows: 30 });
    const talk = new Talk(shell);
    await talk.type("both\n");
    await talk.until("err");
    await talk.type("stty size\rprintenv TERM\n\necho 'a;b'\nfalse\nexit\n");
    assertEquals((await talk.end()).code, 1);
    assertEquals(
      talk.seen,
      "out\r\nerr\r\n30 100\r\nxterm-256color\r\na;b\r\n",
    );
    await until(() => server.openSessions === 0);
  },
);

embeddedTest(
  "EmbeddedServer tells a shell's command of each new size of its terminal",
  {
    commands: {
      watch: async ({ terminal, write }: CommandContext) => {
        await write("ready\n");
        for (let i = 0; i < 2; i++) {
          await terminal!.resized();
          await write(`now ${terminal!.columns} x ${terminal!.rows}\n`);
        }
      },
    },
  },
  async (connection) => {
    const shell = await connection.shell!();
    const talk = new Talk(shell);
    await talk.type("watch\n");
    await talk.until("ready");
    shell.resize({ columns: 132, rows: 43 });
    await talk.until("now 132 x 43");
    shell.resize({ columns: 60, rows: 10 });
    await talk.until("now 60 x 10");
    await talk.type("stty size\nexit 7\n");
    await talk.until("10 60");
    assertEquals((await talk.end()).code, 7);
  },
);

Deno.test("EmbeddedServer runs a shell without a terminal up to the end of its input", () =>
  withServer({}, async (_server, { client }) => {
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      client.shell(
        false,
        (error, channel) => error ? reject(error) : resolve(channel),
      )
    );
    let text = "";
    channel.on("data", (chunk: Uint8Array) => text += chunk.toString());
    channel.stderr.on("data", (chunk: Uint8Array) => text += `[${chunk}]`);
    const ended = new Promise((resolve) => channel.once("close", resolve));
    channel.write("echo a\nstty size\necho b\n\nec");
    channel.end("ho c\nfalse");
    assertEquals(await ended, 1);
    assertEquals(
      text,
      "a\n[stty: 'standard input': Inappropriate ioctl for device\n]b\nc\n",
    );
  }));

embeddedTest(
  "EmbeddedServer runs the shell of its options, with all that it can see",
  {
    shell: async ({ command, host, terminal, stdin, env, write }) => {
      const reader = stdin.getReader();
      const { value } = await reader.read();
      await write(JSON.stringify([
        command,
        host.split("@")[0],
        terminal?.term,
        new TextDecoder().decode(value),
        env.TERM,
      ]));
      return { code: 5 };
    },
  },
  async (connection) => {
    const talk = new Talk(await connection.shell!({ term: "vt100" }));
    await talk.type("first\n");
    assertEquals((await talk.end()).code, 5);
    assert(
      talk.seen.includes('["","ops","vt100","first\\n","vt100"]'),
      talk.seen,
    );
  },
);

embeddedTest(
  "EmbeddedServer refuses shells with shell: false, and gives commands a terminal",
  { shell: false },
  async (connection, server) => {
    await assertRejects(() => connection.shell!(), ChannelOpenError);
    const { stdout } = await connection.exec("stty size", { pty: true });
    assertEquals(stdout, "24 80\r\n");
    assertEquals((await connection.exec("stty size")).code, 1);
    await until(() => server.openSessions === 0);
  },
);

embeddedTest(
  "EmbeddedServer ends a shell by the client's signal, and with its connection",
  {},
  async (connection, server) => {
    const shell = await connection.shell!();
    const talk = new Talk(shell);
    await talk.type("echo before\nsleep 60\n");
    await talk.until("before\r\n");
    shell.kill("TERM");
    assertEquals((await talk.end()).signal, "TERM");
    const lost = new Talk(await connection.shell!());
    await lost.type("echo there\n");
    await lost.until("there");
    await server.close();
    await assertRejects(() => lost.end());
  },
);
