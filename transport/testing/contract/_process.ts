/**
 * The treaty of `transport/connector.ts`: processes that are left, killed or
 * fed too late, terminals and shells, over every adapter and every server.
 *
 * @module
 */

import type { Connection } from "../../connector.ts";
import type { RemoteProcess } from "../../process.ts";
import { ChannelOpenError } from "../../errors.ts";
import { EnvironmentRefusedError } from "../../session/errors.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  type Contract,
} from "./_contract.ts";

const BIG = "head -c 8000000 /dev/zero";

const encode = (text: string) => new TextEncoder().encode(text);

/** Waits until the slots are free. */
async function free(connection: Connection): Promise<void> {
  while (connection.openChannels > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits until a command cannot write more of its output that nobody reads. */
async function fill(connection: Connection): Promise<void> {
  for (;;) {
    try {
      await connection.exec("sleep 0.2");
      return;
    } catch (error) {
      // A server may not have freed the last session yet.
      assertInstanceOf(error, ChannelOpenError);
    }
  }
}

/** Reads until a text has come. */
async function until(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  text: string,
): Promise<void> {
  const decoder = new TextDecoder();
  let seen = "";
  while (!seen.includes(text)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`No ${text} in ${JSON.stringify(seen)}`);
    seen += decoder.decode(value, { stream: true });
  }
}

async function type(process: RemoteProcess, line: string): Promise<void> {
  const writer = process.stdin.getWriter();
  await writer.write(encode(`${line}\n`));
  writer.releaseLock();
}

/** Registers them. */
export function processTests(contract: Contract): void {
  contract(
    "stops a process when its reader leaves the loop over lines()",
    async (connection) => {
      const process = await connection.spawn("echo so far; sleep 60");
      for await (const line of process.lines()) {
        assertEquals(line, "so far");
        break;
      }
      const error = await process.status.catch((error) => error);
      assertEquals([error instanceof DOMException, error.name], [
        true,
        "AbortError",
      ]);
      await free(connection);
    },
  );

  contract(
    "settles the status of a process whose small output nobody reads",
    async (connection) => {
      const process = await connection.spawn("echo unread");
      assertEquals((await process.status).code, 0);
      assertEquals(await process.text(), "unread\n");
    },
  );

  contract(
    "holds a process whose output nobody reads, and lets it go on when somebody does",
    async (connection) => {
      const process = await connection.spawn(BIG);
      await fill(connection);
      let isOver = false;
      process.status.then(() => isOver = true);
      await fill(connection);
      assertEquals(isOver, false);
      const { stdout, code } = await process.output();
      assertEquals([stdout.length, code], [8_000_000, 0]);
    },
  );

  contract(
    "kills a process whose output is full and unread",
    async (connection) => {
      const process = await connection.spawn(BIG);
      await fill(connection);
      process.kill("KILL");
      const { success, code, signal } = await process.status;
      assertEquals([success, code, signal], [false, null, "KILL"]);
      assertEquals(connection.openChannels, 0);
      await process.stdout.cancel();
    },
  );

  contract(
    "refuses a signal that there is not, and ignores one after the end",
    async (connection) => {
      const process = await connection.spawn("true");
      try {
        process.kill("NONE");
        throw new Error("It was taken");
      } catch (error) {
        assertInstanceOf(error, TypeError);
      }
      await process.output();
      process.kill("TERM");
    },
  );

  contract(
    "takes the end of an input after the end of the process, and no more data",
    async (connection) => {
      const process = await connection.spawn("true");
      await process.status;
      const writer = process.stdin.getWriter();
      await writer.close();
      const other = await connection.spawn("true");
      await other.status;
      await assertRejects(
        () => other.stdin.getWriter().write(encode("late")),
        TypeError,
        "The process has ended",
      );
    },
  );

  contract(
    "ends a process that is disposed of, and frees its slot",
    async (connection) => {
      const process = await connection.spawn("cat");
      await process[Symbol.asyncDispose]();
      assertEquals(connection.openChannels, 0);
      const error = await process.status.catch((error) => error);
      assertEquals(error.name, "AbortError");
    },
  );

  contract(
    "gives a command its variables, or refuses them",
    async (connection) => {
      const env = { APP_ENV: "test", LC_SSHPOOL: "on" };
      const error = await assertRejects(
        () => connection.exec("printenv APP_ENV", { env }),
        EnvironmentRefusedError,
      );
      assertEquals([error.names, error.mayHaveRun], [["APP_ENV"], false]);
      await free(connection);
    },
  );

  contract(
    "runs a command in a terminal of its size, with both outputs as one",
    async (connection) => {
      const pty = { columns: 90, rows: 30 };
      const { stdout, stderr } = await connection.exec("stty size", { pty });
      assertEquals([stdout, stderr], ["30 90\r\n", ""]);
      assert((await connection.exec("stty size")).code !== 0);
    },
  );

  contract(
    "starts a shell in a terminal, which changes its size and ends with exit",
    async (connection) => {
      const shell = await connection.shell!({ columns: 120, rows: 40 });
      assertEquals(connection.openChannels, 1);
      const reader = shell.stdout.getReader();
      await type(shell, "stty size");
      await until(reader, "40 120");
      shell.resize({ columns: 100, rows: 30 });
      await type(shell, "stty size");
      await until(reader, "30 100");
      await type(shell, "exit 7");
      while (!(await reader.read()).done);
      assertEquals(await shell.status, {
        success: false,
        code: 7,
        signal: null,
      });
      assertEquals(connection.openChannels, 0);
      shell.resize({ columns: 1, rows: 1 });
    },
    "shell",
  );

  contract(
    "refuses a terminal of no size",
    async (connection) => {
      await assertRejects(() => connection.shell!({ columns: 0 }), RangeError);
      const shell = await connection.shell!();
      try {
        shell.resize({ columns: 0, rows: 24 });
        throw new Error("It was taken");
      } catch (error) {
        assertInstanceOf(error, RangeError);
      }
      await shell[Symbol.asyncDispose]();
    },
    "shell",
  );
}
