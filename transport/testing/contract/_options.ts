/**
 * The treaty of `transport/connector.ts`: the options of a command, over every
 * adapter and every server that there is.
 *
 * @module
 */

import { CommandError } from "../../command/errors.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  type Contract,
} from "./_contract.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** Registers them. */
export function optionTests(contract: Contract): void {
  contract("checks options before a channel is opened", async (connection) => {
    const bad = [
      { timeout: 5 },
      { timeoutMs: 0 },
      { env: { "A=B": "x" } },
      { stdin: null },
      { encoding: "utf8" },
      { maxOutputBytes: NaN },
      { cwd: "" },
      { sudo: "root" },
      { idempotent: true },
    ];
    for (const options of bad) {
      const error = await assertRejects(
        () => connection.exec("echo ran", options as never),
      );
      assert(error instanceof TypeError || error instanceof RangeError);
      assertEquals(connection.openChannels, 0);
    }
    await assertRejects(
      () => connection.spawn("echo ran", { timeoutMs: 5 } as never),
      TypeError,
      "exec() has it",
    );
    await assertRejects(() => connection.exec("x".repeat(300_000)), RangeError);
  });

  contract("gives every kind of stdin to the command", async (connection) => {
    const bytes = new TextEncoder().encode("fine é");
    const sources = [
      "fine é",
      bytes,
      bytes.buffer,
      new Blob([bytes]),
      ReadableStream.from([bytes]),
      ReadableStream.from(["fine ", "é"]),
      (async function* () {
        yield "fine ";
        yield bytes.subarray(5);
      })(),
    ];
    for (const stdin of sources) {
      const { stdout } = await connection.exec("cat", { stdin });
      assertEquals(stdout, "fine é");
    }
  });

  contract(
    "stops a command whose stdin yields something else",
    async (connection) => {
      const wrong = ReadableStream.from(["a", 5 as unknown as string]);
      await assertRejects(
        () => connection.exec("cat", { stdin: wrong }),
        TypeError,
        "Cannot read stdin: it yielded a number",
      );
    },
  );

  contract(
    "cancels a stdin that the command does not read to its end",
    async (connection) => {
      let resolve!: () => void;
      const promise = new Promise<void>((done) => resolve = done);
      const endless = new ReadableStream<string>({ cancel: () => resolve() });
      await connection.exec("true", { stdin: endless });
      await promise;
    },
  );

  contract(
    "rejects with check unless the exit code is 0",
    async (connection) => {
      const { stdout } = await connection.exec("echo fine", { check: true });
      assertEquals(stdout, "fine\n");
      const error = await assertRejects(
        () =>
          connection.exec("echo out; echo err >&2; exit 3", { check: true }),
        CommandError,
        "failed with exit code 3: err",
      );
      assertEquals([error.exitCode, error.stdout], [3, "out\n"]);
      const killed = await assertRejects(
        () => connection.exec("kill -KILL $$", { check: true }),
        CommandError,
        "was ended by the signal KILL",
      );
      assertEquals([killed.exitCode, killed.signal], [null, "KILL"]);
    },
  );

  contract(
    "hands output on as it comes, and gives all of it in the result",
    async (connection) => {
      const { user, hostname, port } = connection.host;
      const name = `${user}@${hostname}:${port}`;
      const seen: unknown[] = [];
      const ended: string[] = [];
      const { stdout, stderr, all } = await connection.exec(
        "echo out; echo err >&2; exit 3",
        {
          all: true,
          onStdout(chunk, source) {
            seen.push(["out", chunk, source.host]);
            source.ended.then(() => ended.push("out"));
          },
          onStderr: (chunk, source) => seen.push(["err", chunk, source.host]),
        },
      );
      assertEquals([stdout, stderr], ["out\n", "err\n"]);
      assertEquals([...seen].sort(), [["err", "err\n", name], [
        "out",
        "out\n",
        name,
      ]]);
      assert(all === "out\nerr\n" || all === "err\nout\n", all);
      assertEquals(ended, ["out"]);
      const bytes = await connection.exec("echo x", {
        encoding: "bytes",
        all: true,
        onStdout: (chunk) => assertEquals(chunk, encode("x\n")),
      });
      assertEquals(bytes.all, encode("x\n"));
      assertEquals(
        Object.hasOwn(await connection.exec("echo x"), "all"),
        false,
      );
    },
  );

  contract(
    "hands output on before the command ends, and stops it with what the callback throws",
    async (connection) => {
      const reason = new RangeError("seen enough");
      const error = await connection.exec("echo so far; sleep 60", {
        onStdout() {
          throw reason;
        },
      }).catch((error) => error);
      assertEquals(error === reason, true);
      while (connection.openChannels > 0) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  );
}
