/** The npm package for those who `require()` it, and what judges of packages say. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import {
  LONG_MS,
  noNpm,
  PackageFolder,
  packageRuntimes,
  runtimeTest,
} from "./_kit.ts";

const JUDGES = ["publint@0.3.25", "@arethetypeswrong/cli@0.18.5"];
const JEST = "jest@30.5.2";
const VITEST = "vitest@5.1.2";

let folder: PackageFolder;

Deno.test.beforeAll(async () => {
  if (noNpm) return;
  folder = await PackageFolder.make([...JUDGES, JEST, VITEST]);
  const program = new URL("_common.cjs", import.meta.url);
  await folder.write("common.test.cjs", await Deno.readTextFile(program));
});

Deno.test.afterAll(() => folder?.[Symbol.asyncDispose]());

/** The oldest Node that is here: no other loads less by `require()`. */
const oldest = packageRuntimes.find(({ name, command }) =>
  name.startsWith("Node") && command !== undefined
)?.command?.[0];

const ignore = noNpm || oldest === undefined;

runtimeTest("is loaded by require()", async (command) => {
  const printed = await folder.succeed(...command, "common.test.cjs");
  assertEquals(JSON.parse(printed), ["up 3 days\n", true, "me"]);
});

// Before 20.19 Node has none of require() for an ES module.
const BOTH = `
const { SshError } = require("@sshpool/sshpool");
const canBeOne = process.versions.bun !== undefined ||
  process.features.require_module === true;
import("@sshpool/sshpool").then((module) =>
  console.log(JSON.stringify(module.SshError === SshError || !canBeOne))
);
`;

runtimeTest("is one for require() and import", async (command) => {
  const program = await folder.write("both.cjs", BOTH);
  const printed = await folder.succeed(...command, program);
  assertEquals(JSON.parse(printed), true);
});

Deno.test({
  name: "the npm package is loaded by Jest in its default mode",
  ignore,
  fn: async () => {
    const jest = folder.file("node_modules", "jest", "bin", "jest.js");
    const options = ["--testMatch", "**/*.test.cjs", "--ci"];
    const { code, stderr } = await folder.run([oldest!, jest], {
      args: options,
      timeoutMs: LONG_MS,
    });
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "1 passed, 1 total");
  },
});

/** The programs of the recipe: what is tested, its test, and the head for Jest. */
async function recipe(): Promise<[string, string, string]> {
  const page = new URL("../../pool/RECIPES.md", import.meta.url);
  const text = await Deno.readTextFile(page);
  const [, section = ""] = text.split("## Tests with Vitest and Jest\n");
  const blocks = [...section.matchAll(/^```js ignore\n([^]*?)^```$/gm)];
  const [tested = "", test = "", head = ""] = blocks.map(([, code]) => code!);
  return [tested, test, head];
}

Deno.test({
  name: "the recipe's tests run in Vitest",
  ignore,
  fn: async () => {
    const [tested, test] = await recipe();
    await folder.write("vitest/package.json", `{"type": "module"}`);
    await folder.write("vitest/restart.js", tested);
    await folder.write("vitest/restart.test.js", test);
    const vitest = folder.file("node_modules", "vitest", "vitest.mjs");
    const { code, stdout, stderr } = await folder.run([oldest!, vitest], {
      args: ["run", "vitest/restart.test.js"],
    });
    assertEquals(code, 0, stdout + stderr);
    assertMatch(stdout, /Tests +2 passed/);
  },
});

Deno.test({
  name: "the recipe's tests run in Jest in its default mode",
  ignore,
  fn: async () => {
    const [tested, test, head] = await recipe();
    const body = test.replace(/^import .*\n/gm, "");
    const exported = "module.exports = { restart };\n";
    await folder.write(
      "jest/restart.js",
      tested.replace("export ", "") + exported,
    );
    await folder.write("jest/restart.test.js", head + body);
    const jest = folder.file("node_modules", "jest", "bin", "jest.js");
    const { code, stderr } = await folder.run([oldest!, jest], {
      args: ["--ci", "--roots", "jest"],
    });
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "2 passed, 2 total");
  },
});

Deno.test({
  name: "publint finds nothing wrong with the npm package",
  ignore,
  fn: async () => {
    const script = `
      import { publint } from "publint";
      const { messages } = await publint({
        pkgDir: "node_modules/${config.name}", level: "warning", strict: true,
      });
      console.log(JSON.stringify(messages));
    `;
    const program = await folder.write("publint.mjs", script);
    assertEquals(JSON.parse(await folder.succeed(oldest!, program)), []);
  },
});

Deno.test({
  name: "the types of the npm package are right in each kind of resolution",
  ignore,
  fn: async () => {
    const attw = folder.file("node_modules", ".bin", "attw");
    const printed = await folder.succeed(
      oldest!,
      attw,
      "sshpool.tgz",
      "--format=json",
    );
    const { analysis } = JSON.parse(printed);
    assertEquals(analysis.problems, []);
    assertEquals(
      Object.keys(analysis.entrypoints).sort(),
      Object.keys(config.exports).sort(),
    );
  },
});
