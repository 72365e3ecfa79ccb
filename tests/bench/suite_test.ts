import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { progressLine } from "../../bench/kit/progress.ts";
import { failuresIn } from "../../bench/kit/suite.ts";

const bench = (name: string) =>
  new URL(`../../bench/${name}`, import.meta.url).href;

/** Runs bench code with `bench/run.ts`, and gives what it wrote and found. */
async function runBench(
  code: string,
  env: Record<string, string> = {},
  command = ["run", "--allow-all", bench("run.ts")],
) {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-suite-" });
  try {
    const [file, json] = [join(dir, "made_up_bench.ts"), join(dir, "out.json")];
    await Deno.writeTextFile(
      file,
      `import { claim, fact, ratio, reportOf } from "${
        bench("report/report.ts")
      }";
       import { scenario } from "${bench("kit/scenario.ts")}";
       reportOf(import.meta, "made up");
       ${code}`,
    );
    const { code: exitCode, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [...command, file],
      env: { NO_COLOR: "1", ...env, SSHPOOL_BENCH_JSON: json },
      stderr: "null",
    }).output();
    return {
      exitCode,
      output: new TextDecoder().decode(stdout),
      found: JSON.parse(await Deno.readTextFile(json))["made_up_bench.ts"],
    };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const SCENARIO = `
  let runs = 0;
  const key = scenario({
    name: "a",
    group: "one",
    baseline: true,
    n: 3,
    open: () => ({}),
    run: () => { runs++; },
    check: () => fact("runs", runs, ""),
  });
  const other = scenario({
    name: "b", group: "one", n: 3, open: () => ({}),
    run: () => new Promise((resolve) => setTimeout(resolve, 2)),
  });
  claim({ text: "b over a", actual: (rows) => ratio(rows, other, key), atMost: 0 });
`;

Deno.test("run.ts prints one table, of as many runs as were asked for", async () => {
  const { exitCode, output, found } = await runBench(SCENARIO);
  assertEquals(exitCode, 0);
  // One run of rehearsal, three timed.
  assertStringIncludes(output, "runs: 4");
  assertEquals(output.match(/^\| scenario/gm)?.length, 1);
  assert(!output.includes("time/iter"), output);
  assertEquals(found.rows.map((row: { n: number }) => row.n), [3, 3]);
  assertEquals(found.rows[0].samples.length, 3);
});

Deno.test({
  name: "deno bench prints the table of run.ts alone, and ends as it does",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const command = [
      "bench",
      "--allow-all",
      "--no-check",
      "--filter",
      "/^one/",
    ];
    const { exitCode, output, found } = await runBench(
      `${SCENARIO}
       scenario({ name: "left out", n: 1, open: () => ({}), run: () => {} });`,
      {},
      command,
    );
    assertEquals(exitCode, 0);
    assertEquals(output.match(/^\| scenario/gm)?.length, 1);
    assert(!output.includes("time/iter"), output);
    assertEquals(found.rows.map((row: { n: number }) => row.n), [3, 3]);
    const broken = await runBench(`throw new Error("no start");`, {}, command);
    assertEquals(broken.exitCode, 1);
  },
});

Deno.test("run.ts judges claims in full runs alone, and fails by them if it is to be strict", async () => {
  const full = await runBench(SCENARIO);
  assertStringIncludes(full.output, "MISSED b over a");
  assertStringIncludes(full.output, "1 of 1 claims missed");
  assertEquals(full.exitCode, 0);
  const strict = await runBench(SCENARIO, { SSHPOOL_BENCH_STRICT: "1" });
  assertEquals(strict.exitCode, 1);
  const short = await runBench(SCENARIO, {
    SSHPOOL_BENCH_STRICT: "1",
    SSHPOOL_BENCH_SHORT: "1",
  });
  assert(!/MISSED|holds|claims/.test(short.output), short.output);
  assertEquals(short.exitCode, 0);
});

Deno.test("run.ts tells what failed and where, and runs the rest", async () => {
  const { exitCode, output, found } = await runBench(`
    scenario({
      name: "broken", n: 1, open: () => ({}), run: () => {},
      check: () => { throw new Error("wrong outcome"); },
    });
    scenario({ name: "whole", n: 1, open: () => ({}), run: () => {} });
    scenario({ name: "absent", ignore: true, n: 1, open: () => ({}), run: () => {} });
  `);
  assertEquals(exitCode, 1);
  assertStringIncludes(output, "FAILED broken\nError: wrong outcome\n    at ");
  assertStringIncludes(output, "1 failed");
  assertStringIncludes(output, "ignored absent");
  assertEquals(found.rows.map((row: { name: string }) => row.name), ["whole"]);
});

Deno.test("run.ts fails if a file cannot be run at all", async () => {
  const { exitCode, output } = await runBench(`throw new Error("no start");`);
  assertEquals(exitCode, 1);
  assertStringIncludes(output, "FAILED deno bench failed");
});

Deno.test("failuresIn() finds the failures behind what a bench wrote itself", () => {
  const output = `noise {\n  "version"\n{\n  "version": 1, "benches": [
    {"name": "a", "results": [{"ok": {}}]},
    {"name": "b", "results": [{"failed": {"stack": "Error: no\\n    at b"}}]}
  ]}`;
  assertEquals(failuresIn(output), ["b\nError: no\n    at b"]);
  assertEquals(failuresIn("nothing"), []);
});

Deno.test("progressLine() tells the run and the seconds", () => {
  assertEquals(
    progressLine({ name: "a", done: 1, total: 3 }, 12_345),
    "... a: run 2 of 3, 12 s",
  );
  assertEquals(
    progressLine({ name: "a", done: 3, total: 3 }, 0),
    "... a: run 3 of 3, 0 s",
  );
});
