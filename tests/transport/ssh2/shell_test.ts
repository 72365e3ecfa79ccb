/** Terminals and login shells. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import type { RemoteProcess } from "../../../transport/process.ts";
import { until } from "../../kit/until.ts";
import { rejection, sshdTest } from "./_kit.ts";
import { scriptedTest } from "./_scripted_server.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** Types into a process, and reads until a text has come. */
class Talk {
  readonly #process: RemoteProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  seen = "";

  constructor(process: RemoteProcess) {
    this.#process = process;
    this.#writer = process.stdin.getWriter();
    this.#reader = process.stdout.getReader();
  }

  type(line: string): Promise<void> {
    return this.#writer.write(new TextEncoder().encode(`${line}\n`));
  }

  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.seen);
      if (match !== null) return match;
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`${pattern} never came: ${this.seen}`);
      this.seen += text(value);
    }
  }

  /** Reads to the end. */
  async end() {
    while (!(await this.#reader.read()).done);
    return await this.#process.status;
  }
}

sshdTest(
  "Connection.shell() starts a login shell in a terminal of its own size, which resize() changes",
  async (connection) => {
    const shell = await connection.shell!({
      term: "vt220",
      columns: 101,
      rows: 37,
    });
    const talk = new Talk(shell);
    // The marks are not in the echo of what is typed.
    await talk.type('echo "size:$(stty size):$TERM:$(tty):"');
    const [, size, term, tty] = await talk.until(
      /size:([\d ]+):(\w+):([^:\s$(]+):/,
    );
    assertEquals([size, term], ["37 101", "vt220"]);
    assert(tty?.startsWith("/dev/"), tty);
    shell.resize({ columns: 63, rows: 21 });
    await talk.type('echo "again:$(stty size):"');
    const [, again] = await talk.until(/again:([\d ]+):/);
    assertEquals(again, "21 63");
    await talk.type("exit 7");
    assertEquals(await talk.end(), { success: false, code: 7, signal: null });
    assertEquals(connection.openChannels, 0);
  },
);

sshdTest(
  "Connection.shell() has a terminal of 80 by 24 by default",
  async (connection) => {
    await using shell = await connection.shell!();
    const talk = new Talk(shell);
    await talk.type('echo "size:$(stty size):$TERM:"');
    const [, size, term] = await talk.until(/size:([\d ]+):([\w-]+):/);
    assertEquals([size, term], ["24 80", "xterm-256color"]);
  },
);

sshdTest(
  "Connection.spawn() gives a terminal its size, and the process hears of a resize",
  async (connection) => {
    const process = await connection.spawn(
      "trap 'stty size; exit 0' WINCH; tty; stty size; echo ready; " +
        "while :; do sleep 0.05; done",
      { pty: { columns: 90, rows: 30 } },
    );
    const talk = new Talk(process);
    await talk.until(/\/dev\/pts\/\d+\s+30 90\s+ready/);
    process.resize({ columns: 132, rows: 43 });
    await talk.until(/43 132/);
    assertEquals((await talk.end()).code, 0);
    process.resize({ columns: 1, rows: 1 }); // does nothing any more
  },
);

sshdTest(
  "Connection.exec() runs in a terminal: both outputs come as one",
  async (connection) => {
    const { stdout, stderr } = await connection.exec(
      "echo out; echo err >&2; stty size",
      { pty: { columns: 50, rows: 10 } },
    );
    assertEquals([stdout, stderr], ["out\r\nerr\r\n10 50\r\n", ""]);
  },
);

sshdTest(
  "Connection.shell() ends with an abort, and with its connection",
  async (connection, sshd) => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const aborted = await connection.shell!({ signal: controller.signal });
    controller.abort(reason);
    assertStrictEquals(await rejection(aborted.status), reason);
    await until(() => connection.openChannels === 0);
    const shell = await connection.shell!();
    await sshd.kill();
    const error = await rejection(shell.status);
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, true);
  },
);

{
  const sizes: unknown[] = [];
  scriptedTest(
    "RemoteProcess.resize() keeps what is left out, and sends nothing without a terminal",
    {
      onRequest(channel, { type, data, wantReply }) {
        if (type === "window-change") {
          const { cols, rows } = data as { cols: number; rows: number };
          sizes.push([channel.index, cols, rows]);
        }
        if (data === "probe") channel.complete();
        else if (wantReply) channel.succeed();
      },
    },
    async (connection) => {
      await using shell = await connection.shell({ columns: 100, rows: 50 });
      await using bare = await connection.spawn("cat");
      type Size = Parameters<RemoteProcess["resize"]>[0];
      shell.resize({ rows: 20 } as Size);
      shell.resize({ columns: 70 } as Size);
      bare.resize({ columns: 70, rows: 20 });
      for (const rows of [0, -1, 1.5, NaN, 65_536, "20"]) {
        assertThrows(
          () => shell.resize({ rows } as unknown as Size),
          typeof rows === "string" ? TypeError : RangeError,
          "rows is",
        );
      }
      await connection.exec("probe"); // what came before it has arrived
      assertEquals(sizes, [[0, 100, 20], [0, 70, 20]]);
    },
  );
}

scriptedTest(
  "Connection.shell() rejects when the server refuses the terminal, or the shell",
  {
    onRequest(channel, { type, wantReply }) {
      if (type === "pty-req" && channel.index > 0) return channel.succeed();
      if (wantReply) channel.fail();
    },
  },
  async (connection) => {
    await assertRejects(
      () => connection.shell(),
      ChannelOpenError,
      "Cannot start the shell",
    );
    const error = await rejection(connection.shell());
    assertInstanceOf(error, ChannelOpenError);
    assert(error.message.includes("refused the shell"), error.message);
    assertEquals(error.mayHaveRun, false);
    await until(() => connection.openChannels === 0);
    assertEquals(connection.isClosed, false);
  },
);

sshdTest(
  "Connection.shell() without a terminal keeps both outputs apart, and reads its input to the end",
  async (connection) => {
    const shell = await connection.shell!({ pty: false });
    const writer = shell.stdin.getWriter();
    await writer.write(
      new TextEncoder().encode("tty; echo out; echo err >&2; exit 3\n"),
    );
    writer.releaseLock();
    const { code, stdout, stderr } = await shell.output();
    assertEquals(
      [code, text(stdout), text(stderr)],
      [3, "not a tty\nout\n", "err\n"],
    );
  },
);
