// deno-lint-ignore-file no-console -- the console is what is tested
import { assertEquals } from "@std/assert";
import { prefixOutput } from "../../pool/progress.ts";
import { ConnectionPool } from "../../pool/mod.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";

/** Takes what the console prints meanwhile. */
async function printed(work: () => Promise<unknown>): Promise<string[]> {
  const { log, error } = console;
  const lines: string[] = [];
  console.log = (line: string) => void lines.push(`out ${line}`);
  console.error = (line: string) => void lines.push(`err ${line}`);
  try {
    await work();
  } finally {
    Object.assign(console, { log, error });
  }
  return lines;
}

function setUp() {
  const connector = new MemoryConnector({
    commands: {
      build: async ({ write, writeError, host }) => {
        await write("first line\nsec");
        await writeError(`careful, ${host}\r\n`);
        await write("ond line\n 10 %\r100 %\ncut of");
        return { code: 4, stdout: "f" };
      },
      bytes: async ({ write }) => {
        await write(new Uint8Array([0xc3]));
        await write(new Uint8Array([0xa9]));
      },
    },
  });
  return new ConnectionPool({ connector, config: false });
}

Deno.test("prefixOutput() prints whole lines behind the name of their host, and the rest at the end", async () => {
  await using pool = setUp();
  const exec = prefixOutput({ color: false });
  const lines = await printed(async () => {
    const results = await pool.fanOut(
      ["ops@a", { alias: "bee", hostname: "10.0.0.2", user: "ops" }],
      "build",
      { exec },
    );
    // The results are as ever.
    assertEquals(
      results.map((it) => it.ok && [it.value.code, it.value.stderr.length > 8]),
      [[4, true], [4, true]],
    );
  });
  for (
    const [name, host] of [["ops@a", "ops@a:22"], ["bee", "ops@10.0.0.2:22"]]
  ) {
    const own = lines.filter((line) => line.slice(4).startsWith(`${name} | `));
    assertEquals(own, [
      `out ${name} | first line`,
      `err ${name} | careful, ${host}`,
      `out ${name} | second line`,
      `out ${name} | 100 %`,
      `out ${name} | cut off`,
    ]);
  }
  assertEquals(lines.length, 10);
});

Deno.test("prefixOutput() keeps two commands of one host apart, and decodes bytes", async () => {
  await using pool = setUp();
  const output = prefixOutput({ color: false });
  const lines = await printed(async () => {
    const once = () =>
      pool.exec("ops@a", "bytes", { ...output, encoding: "bytes" });
    await Promise.all([once(), once()]);
  });
  assertEquals(lines, ["out ops@a:22 | é", "out ops@a:22 | é"]);
});

Deno.test("prefixOutput() gives both outputs of a host one colour, if there are any", async () => {
  await using pool = setUp();
  const lines = await printed(() =>
    pool.exec("ops@a", "build", prefixOutput({ color: true }))
  );
  const colors = new Set(lines.map((line) => line.slice(4).split("|")[0]));
  assertEquals(colors.size, 1);
  // deno-lint-ignore no-control-regex
  assertEquals(/^\x1b\[\d+mops@a:22 $/.test([...colors][0]!), true);
});

Deno.test("prefixOutput() prints a line that has no end piece by piece", async () => {
  const connector = new MemoryConnector({
    commands: {
      async endless({ write }) {
        for (let i = 0; i < 100; i++) await write("x".repeat(10_000));
      },
    },
  });
  await using pool = new ConnectionPool({ connector, config: false });
  const lines = await printed(() =>
    pool.exec("ops@a", "endless", prefixOutput({ color: false }))
  );
  const texts = lines.map((line) => line.slice("out ops@a:22 | ".length));
  assertEquals(texts.join(""), "x".repeat(1_000_000));
  assertEquals(texts.every(({ length }) => length < 100_000), true);
});
