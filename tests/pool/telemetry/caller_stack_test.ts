/** An error's stack leads to the line that made the call. */

import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  AcquireTimeoutError,
  AuthenticationError,
  ConnectionPool,
  DialError,
  SshError,
} from "../../../mod.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { Kit } from "../_kit.ts";

/** The names of this file's functions in a stack, innermost first. */
function callers(error: unknown): string[] {
  assert(error instanceof SshError, String(error));
  const stack = error.stack ?? "";
  assert(stack.startsWith(`${error.name}: ${error.message}\n`), stack);
  return [...stack.matchAll(/at async (\w+) \(.*caller_stack_test\.ts/g)]
    .map(([, name = ""]) => name);
}

async function failure(call: () => Promise<unknown>): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("It did not fail");
}

Deno.test("ConnectionPool's errors have the caller's own line in their stack", async () => {
  await using server = await EmbeddedServer.start();
  const host = server.host();
  await using pool = new ConnectionPool({
    config: false,
    backoff: { initialMs: 0 },
  });
  const { promise: isOpen, resolve: onOpen } = Promise.withResolvers<void>();
  async function lost() {
    await pool.exec(host, "sleep 600", { onOpen });
  }
  const losing = failure(lost);
  await isOpen;
  server.dropAll();
  assertEquals(callers(await losing)[0], "lost");
  const nobody = { ...host, port: 1 };
  async function byExec() {
    await pool.exec(nobody, "true");
  }
  async function bySpawn() {
    await pool.spawn(nobody, "true");
  }
  async function byAcquire() {
    await pool.acquire(nobody);
  }
  async function byConnection() {
    await pool.getConnection(nobody);
  }
  async function together() {
    await Promise.all([pool.exec(nobody, "true")]);
  }
  async function late() {
    await pool.exec(host, "sleep 600", { timeoutMs: 50 });
  }
  async function shared() {
    const connection = await pool.getConnection(host);
    await connection.exec("sleep 600", { timeoutMs: 50 });
  }
  const calls = [
    shared,
    byExec,
    bySpawn,
    byAcquire,
    byConnection,
    together,
    late,
  ];
  for (const call of calls) {
    // No frame twice, and the one who called the caller comes after it.
    assertEquals(callers(await failure(call)).slice(0, 2), [
      call.name,
      "failure",
    ]);
  }
});

Deno.test("ConnectionPool shows each caller of a remembered error its own line", async () => {
  const denied = new AuthenticationError("No method left");
  await using kit = new Kit({ onDial: () => denied });
  async function first() {
    await kit.pool.exec("ops@db1", "true");
  }
  async function second() {
    await kit.pool.exec("ops@db1", "true");
  }
  for (const call of [first, second, first]) {
    const error = await failure(call);
    assertStrictEquals(error, denied);
    assertEquals(callers(error)[0], call.name);
    assertEquals(callers(error).filter((it) => it === call.name).length, 1);
  }
});

Deno.test("ConnectionPool shows the caller's line where a resolver is asynchronous", async () => {
  const resolve = () => Promise.reject(new DialError("config", "No such file"));
  await using kit = new Kit({}, { resolver: { resolve } });
  async function caller() {
    await kit.pool.exec("ops@db1", "true");
  }
  assertEquals(callers(await failure(caller))[0], "caller");
});

Deno.test("ConnectionPool shows the caller's line in an AcquireTimeoutError", async () => {
  await using kit = new Kit({ onDial: () => "never" }, { acquireTimeoutMs: 5 });
  async function caller() {
    await kit.pool.exec("ops@db1", "true");
  }
  const error = await failure(caller);
  assert(error instanceof AcquireTimeoutError);
  assertEquals(callers(error)[0], "caller");
});

Deno.test("An uncaught error of ConnectionPool.exec() is printed with the caller's line", async () => {
  const program = `
    import { ConnectionPool } from "${new URL(
    "../../../mod.ts",
    import.meta.url,
  )}";
    async function deploy() {
      await using pool = new ConnectionPool({ config: false });
      await pool.exec(
        { hostname: "127.0.0.1", port: 1, user: "ops", password: "x" },
        "true",
      );
    }
    await deploy();`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, program);
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", config, file],
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const printed = new TextDecoder().decode(stderr);
    assertStringIncludes(printed, "Uncaught (in promise) DialError: Cannot");
    assertStringIncludes(printed, `at async deploy (file://${file}`);
  } finally {
    await Deno.remove(file);
  }
});
