import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConnectionPool, type TemplateOptions } from "../../pool/mod.ts";
import { CommandError } from "../../transport/command/errors.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";

function setUp() {
  const connector = new MemoryConnector({
    commands: {
      list: { stdout: "one\r\ntwo\n\nthree" },
      json: { stdout: '{"a": [1, 2]}\n' },
      fail: { code: 3, stdout: "half", stderr: "no\n" },
      both: async ({ write, writeError }) => {
        await write("1\n");
        await writeError("2\n");
        await write("3\n");
      },
    },
  });
  const pool = new ConnectionPool({ connector, config: false });
  return { connector, pool, web: pool.host("ops@web-1") };
}

Deno.test("HostHandle.$ gives the output as text, as lines and as JSON", async () => {
  const { pool, web: { $ } } = setUp();
  await using _ = pool;
  assertEquals(await $`list`.text(), "one\r\ntwo\n\nthree");
  assertEquals(await $`list`.lines(), ["one", "two", "", "three"]);
  assertEquals(await $`true`.lines(), []);
  const json: { a: number[] } = await $`json`.json();
  assertEquals(json, { a: [1, 2] });
  await assertRejects(() => $`list`.json(), SyntaxError);
  const command = $`list`;
  assertEquals(command instanceof Promise, true);
  assertEquals([await command.text(), (await command).code], [
    "one\r\ntwo\n\nthree",
    0,
  ]);
  for (const shape of ["text", "lines", "json"] as const) {
    await assertRejects(() => $`fail`[shape](), CommandError);
  }
});

Deno.test("HostHandle.$ composes options, each over what was there before", async () => {
  const { pool, connector, web: { $ } } = setUp();
  await using _ = pool;
  const inApp = $({ cwd: "/srv/app", timeoutMs: 1000 });
  await inApp({ sudo: true, timeoutMs: 2000 })`list ${"a b"}`;
  const { command, options } = connector.calls.at(-1)!;
  assertEquals(command, "list 'a b'");
  const { onOpen: _onOpen, ...seen } = options as Record<string, unknown>;
  assertEquals(seen, {
    cwd: "/srv/app",
    sudo: true,
    timeoutMs: 2000,
    check: true,
  });
  // The first is as it was.
  await inApp`list`;
  assertEquals(Object.keys(connector.calls.at(-1)!.options).sort(), [
    "check",
    "cwd",
    "onOpen",
    "timeoutMs",
  ]);
});

Deno.test("HostHandle.$ with nothrow gives a result of any exit code, and its output", async () => {
  const { pool, web: { $ } } = setUp();
  await using _ = pool;
  const quiet = $({ nothrow: true });
  assertEquals((await quiet`fail`).code, 3);
  assertEquals(await quiet`fail`.text(), "half");
  await assertRejects(() => quiet({ nothrow: false })`fail`, CommandError);
  assertEquals((await $({ all: true })`both`).all, "1\n2\n3\n");
});

Deno.test("HostHandle.$ names an option that it does not have", async () => {
  const { pool, web: { $ } } = setUp();
  await using _ = pool;
  const cases: [object, string][] = [
    [{ nothrow: 1 }, "nothrow is 1, must be true or false"],
    [{ check: false }, 'there is no option "check": set nothrow'],
    [{ encoding: "bytes" }, 'there is no option "encoding": exec() has it'],
  ];
  for (const [options, message] of cases) {
    assertThrows(() => $(options as never), TypeError, message);
  }
  assertThrows(
    () => $({ cwdd: "/" } as TemplateOptions),
    TypeError,
    'no option "cwdd", did you mean "cwd"?',
  );
  assertThrows(
    () => $({ reject: false } as TemplateOptions),
    TypeError,
    'no option "reject", did you mean "nothrow"?',
  );
  assertThrows(() => $({ timeoutMs: 0 }), RangeError, "timeoutMs is 0");
  for (const wrong of ["list", null, undefined, 5, ["list"]]) {
    await assertRejects(
      () => Promise.resolve($(wrong as never)),
      TypeError,
      "sh is the tag of a template",
    );
  }
});
