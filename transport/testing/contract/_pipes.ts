/**
 * The treaty of `transport/connector.ts`: processes with `check`, and processes
 * as the input of others.
 *
 * @module
 */

import type { Connection } from "../../connector.ts";
import { CommandError } from "../../command/errors.ts";
import { OutputLimitError } from "../../errors.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  type Contract,
} from "./_contract.ts";

const FAILS = "echo out; echo err >&2; exit 3";

/** Waits until the slots are free. */
async function free(connection: Connection): Promise<void> {
  while (connection.openChannels > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Reads a stream to its end; what it gave, and the error that ended it. */
async function readAll(
  stream: ReadableStream<Uint8Array>,
): Promise<[string, unknown]> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of stream) text += decoder.decode(chunk);
    return [text, undefined];
  } catch (error) {
    return [text, error];
  }
}

/** Registers them. */
export function pipeTests(contract: Contract): void {
  contract(
    "fails the status and both outputs of a process with check, once all is read",
    async (connection) => {
      const process = await connection.spawn(FAILS, { check: true });
      const error = await assertRejects(() => process.status, CommandError);
      assertEquals([error.exitCode, error.stderr], [3, "err\n"]);
      assert(error.message.endsWith("failed with exit code 3: err"));
      // What came before is not lost.
      assertEquals(await readAll(process.stdout), ["out\n", error]);
      assertEquals(await readAll(process.stderr), ["err\n", error]);
    },
  );

  contract(
    "stops a process whose output(), text() or json() outgrows maxOutputBytes",
    async (connection) => {
      const piece = new TextEncoder().encode("1".repeat(1_000));
      const endless = () =>
        new ReadableStream<Uint8Array>({
          pull: (controller) => controller.enqueue(piece),
        });
      for (const read of ["output", "text", "json"] as const) {
        const process = await connection.spawn("cat", {
          stdin: endless(),
          maxOutputBytes: 10_000,
        });
        const error = await assertRejects(
          () => process[read](),
          OutputLimitError,
          "it has more than 10000 bytes (maxOutputBytes)",
        );
        assertEquals(await process.status.catch((error) => error), error);
        await free(connection);
      }
      const both = await connection.spawn(FAILS, { maxOutputBytes: 8 });
      assertEquals((await both.output()).stderr.length, 4);
      await free(connection);
      const one = await connection.spawn(FAILS, { maxOutputBytes: 4 });
      assertEquals(await one.text(), "out\n");
    },
  );

  contract(
    "fails text(), lines() and output() of a process with check",
    async (connection) => {
      const start = () => connection.spawn(FAILS, { check: true });
      const seen: string[] = [];
      await assertRejects(async () => (await start()).text(), CommandError);
      await assertRejects(async () => (await start()).output(), CommandError);
      await assertRejects(async () => {
        for await (const line of (await start()).lines()) seen.push(line);
      }, CommandError);
      assertEquals(seen, ["out"]);
      const fine = await connection.spawn("echo fine", { check: true });
      assertEquals(await fine.text(), "fine\n");
      assertEquals((await fine.status).success, true);
      // Without it the status says so, and nothing else.
      const process = await connection.spawn(FAILS);
      assertEquals(await process.text(), "out\n");
      assertEquals((await process.status).code, 3);
    },
  );

  contract(
    "leaves the loop over lines() of a process with check without an error",
    async (connection) => {
      const process = await connection.spawn("echo so far; sleep 60", {
        check: true,
      });
      for await (const line of process.lines()) {
        assertEquals(line, "so far");
        break;
      }
      await free(connection);
    },
  );

  contract(
    "gives a process its stdin from a source, and locks it",
    async (connection) => {
      for (
        const stdin of [
          "from a source",
          new Blob(["from ", "a source"]).stream(),
        ]
      ) {
        const process = await connection.spawn("cat", { stdin });
        assertEquals(process.stdin.locked, true);
        assertEquals(await process.text(), "from a source");
      }
      const failing = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.error(new RangeError("no more")),
      });
      // At once, or when the process has started.
      await assertRejects(
        async () => (await connection.spawn("cat", { stdin: failing })).status,
        RangeError,
        "no more",
      );
      await free(connection);
    },
  );

  contract(
    "stops a process whose stdin is aborted, also while a write waits",
    async (connection) => {
      const cat = await connection.spawn("cat");
      const failing = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new Uint8Array(4)),
        pull: (controller) => controller.error(new RangeError("no more")),
      }, { highWaterMark: 0 });
      const piped = failing.pipeTo(cat.stdin);
      piped.catch(() => {});
      await assertRejects(() => cat.status, RangeError, "no more");
      await assertRejects(() => piped, RangeError, "no more");
      const other = await connection.spawn("sleep 60");
      const writer = other.stdin.getWriter();
      const written = writer.write(new Uint8Array(8_000_000)).catch(() => {});
      const aborted = writer.abort(new RangeError("enough")).catch(() => {});
      await assertRejects(() => other.status, RangeError, "enough");
      await Promise.all([written, aborted]);
      await free(connection);
    },
  );

  contract(
    "reads the output of a process as stdin, and fails as it fails",
    async (connection) => {
      // Its input is closed, and its stderr read along.
      for (const check of [false, true]) {
        const source = await connection.spawn("cat", { check });
        const done = connection.exec("cat", { stdin: source });
        assertEquals((await done).stdout, "");
        await free(connection);
        const broken = await connection.spawn(FAILS, { check });
        const error = await assertRejects(
          () => connection.exec("cat", { stdin: broken }),
          CommandError,
          "failed with exit code 3: err",
        );
        assertEquals(
          error.host,
          `${connection.host.user}@` +
            `${connection.host.hostname}:${connection.host.port}`,
        );
        await free(connection);
        const other = await connection.spawn(FAILS, { check });
        await assertRejects(
          async () => (await connection.spawn("cat", { stdin: other })).text(),
          CommandError,
          "exit code 3",
        );
        await free(connection);
      }
    },
  );

  contract(
    "reads no more of a process than the reader of its output asks for",
    async (connection) => {
      const source = await connection.spawn("echo so far; sleep 60");
      const { code } = await connection.exec("echo enough", { stdin: source });
      assertEquals(code, 0);
      // Nobody reads it any more, so it is stopped.
      await assertRejects(() => source.status, DOMException);
      await free(connection);
    },
  );

  contract(
    "keeps the failure of a command whose stdin is a process that succeeds",
    async (connection) => {
      const source = await connection.spawn("echo all of it");
      const error = await assertRejects(
        () => connection.exec("cat; exit 5", { stdin: source, check: true }),
        CommandError,
      );
      assertEquals([error.exitCode, error.stdout], [5, "all of it\n"]);
    },
  );

  contract(
    "refuses a process whose output somebody reads as stdin",
    async (connection) => {
      const source = await connection.spawn("echo a");
      source.stdout.getReader();
      await assertRejects(
        () => connection.exec("cat", { stdin: source }),
        TypeError,
        "stdin is a process with a locked ReadableStream",
      );
      await source.status;
    },
  );
}
