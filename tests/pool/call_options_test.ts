// What a call is given is looked at before anything is done for it.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { PassThrough } from "node:stream";
import {
  CommandError,
  ConnectionPool,
  DialError,
  type ExecOptions,
  type ExecResult,
} from "../../pool/mod.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";

const HOST = "ops@db1";

Deno.test("ConnectionPool dials nothing for a call whose command or options are none", async () => {
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({ connector });
  const calls: (() => Promise<unknown>)[] = [
    () => pool.exec(HOST, ""),
    () => pool.exec(HOST, "ls", { timeoutMs: 0 }),
    () => pool.exec(HOST, "ls", { acquireTimeoutMs: NaN }),
    () => pool.exec(HOST, "ls", { idempotent: 1 } as never),
    () => pool.exec(HOST, "ls", { signal: {} } as never),
    () => pool.exec(HOST, "x".repeat(300_000)),
    () => pool.exec(HOST, "ls", 5 as never),
    () => pool.spawn(HOST, "ls", { idempotent: true } as never),
    () => pool.spawn(HOST, "ls", { pty: "xterm" } as never),
    () => pool.shell(HOST, { cols: 80 } as never),
  ];
  for (const call of calls) {
    const error = await assertRejects(call);
    assert(error instanceof TypeError || error instanceof RangeError);
  }
  const proxy = new Proxy({}, {
    ownKeys() {
      throw new EvalError("by the caller");
    },
  });
  await assertRejects(() => pool.exec(HOST, "ls", proxy), EvalError);
  assertEquals([connector.dials, pool.size], [0, 0]);
});

Deno.test("ConnectionPool.exec() uses the options as they were when it was called", async () => {
  const connector = new MemoryConnector({ onDial: () => Promise.resolve() });
  await using pool = new ConnectionPool({ connector });
  const env: Record<string, string> = { LC_A: "then" };
  const options = { env, check: false };
  const running = pool.exec(HOST, "printenv LC_A", options);
  env.LC_A = "now";
  options.check = 5 as never;
  assertEquals((await running).stdout, "then\n");
});

Deno.test("exec() is typed by the encoding that it is given", async () => {
  await using pool = new ConnectionPool({ connector: new MemoryConnector() });
  // A wrong type of a result is an error of the type check.
  const text: ExecResult = await pool.exec(HOST, "true", { check: true });
  const bytes: ExecResult<Uint8Array> = await pool.host(HOST)
    .exec("true", { encoding: "bytes" });
  const options: ExecOptions = { encoding: "text" };
  const either = await pool.exec(HOST, "true", options);
  // @ts-expect-error It may be bytes.
  const wrong: ExecResult = either;
  const connection = await pool.getConnection(HOST);
  const own: ExecResult<Uint8Array> = await connection
    .exec("true", { encoding: "bytes" });
  assertEquals([text.stdout, wrong.stdout], ["", ""]);
  assert(bytes.stdout instanceof Uint8Array);
  assert(own.stdout instanceof Uint8Array);
});

Deno.test("A connection does not know the options of the pool", async () => {
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({ connector });
  await pool.exec(HOST, "true", { idempotent: true, acquireTimeoutMs: 50 });
  assertEquals(Object.keys(connector.calls[0]!.options), ["onOpen"]);
  using lease = await pool.acquire(HOST);
  await assertRejects(
    () => lease.connection.exec("true", { idempotent: true } as never),
    TypeError,
    'there is no option "idempotent"',
  );
});

Deno.test("ConnectionPool.exec() with check rejects with the caller's own lines in the stack", async () => {
  await using pool = new ConnectionPool({ connector: new MemoryConnector() });
  const error = await assertRejects(
    () => pool.exec(HOST, "exit 3", { check: true }),
    CommandError,
    "failed with exit code 3",
  );
  assert(error.stack?.includes("call_options_test"), error.stack);
});

for (
  const [name, stdin, runs] of [
    ["a Blob", () => new Blob(["x"]), 2],
    ["bytes", () => new Uint8Array(5), 2],
    ["a stream", () => ReadableStream.from(["x"]), 1],
    ["a generator", () => async function* () {}(), 1],
  ] as const
) {
  Deno.test(`ConnectionPool.exec() runs an idempotent command with ${name} ${runs === 1 ? "once" : "again"} after a loss`, async () => {
    const connector = new MemoryConnector({
      commands: {
        work: async ({ stdin }) => {
          await new Response(stdin).arrayBuffer();
          if (connector.calls.length === 1) connector.dropAll();
        },
      },
    });
    await using pool = new ConnectionPool({ connector });
    await pool.exec(HOST, "work", { stdin: stdin(), idempotent: true })
      .catch(() => {});
    assertEquals(connector.calls.length, runs);
  });
}

for (const verb of ["exec", "spawn"] as const) {
  Deno.test(`ConnectionPool.${verb}() stops the process that it was to read when the command cannot be started`, async () => {
    const connector = new MemoryConnector({
      commands: { endless: () => new Promise(() => {}) },
      onDial: ({ hostname }) =>
        hostname === "db2" ? new Error("no route") : "ok",
    });
    await using pool = new ConnectionPool({ connector });
    const source = await pool.spawn(HOST, "endless");
    const reads = { stdin: source };
    await assertRejects(() => pool[verb]("ops@db1", "", reads), TypeError);
    assertEquals(pool.stats().slotsInUse, 1, "the call did not even begin");
    await assertRejects(() => pool[verb]("ops@db2", "cat", reads), DialError);
    const error = await assertRejects(() => source.status, DOMException);
    assertEquals(error.name, "AbortError");
    assertEquals(pool.stats().slotsInUse, 0);
  });
}

for (const verb of ["exec", "spawn"] as const) {
  Deno.test(`ConnectionPool.${verb}() fails with the error of a Node stream that fails before the command runs`, async () => {
    const stdin = new PassThrough();
    const connector = new MemoryConnector({
      commands: {
        cat: async ({ stdin }) => void await new Response(stdin).text(),
      },
      async onDial() {
        const closed = new Promise((resolve) => stdin.once("close", resolve));
        stdin.destroy(new RangeError("no such file"));
        await closed;
        return "ok" as const;
      },
    });
    await using pool = new ConnectionPool({ connector });
    await assertRejects(
      async () => {
        const result = await pool[verb](HOST, "cat", { stdin });
        if ("status" in result) await result.status;
      },
      RangeError,
      "no such file",
    );
  });
}
