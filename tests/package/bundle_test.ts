/** The npm package in bundles: as the page of the transports says, and as not. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import { noNpm, PackageFolder, packageRuntimes } from "./_kit.ts";

const TOOLS = [
  "esbuild@0.28.2",
  "rollup@4.68.8",
  "@rollup/plugin-node-resolve@16.0.3",
  "webpack@5.113.0",
];

const ROLLUP = `
import { rollup } from "rollup";
import resolve from "@rollup/plugin-node-resolve";
const bundle = await rollup({
  input: "bundled.mjs",
  external: [/^(ssh2|bcrypt-pbkdf)/],
  plugins: [resolve({ preferBuiltins: true })],
});
await bundle.write({
  dir: "rollup",
  entryFileNames: "[name].mjs",
  chunkFileNames: "[name]-[hash].mjs",
});
`;

const WEBPACK = `
import webpack from "webpack";
const options = {
  mode: "none",
  target: "node20",
  entry: "./bundled.mjs",
  output: { path: process.cwd() + "/webpack" },
  externals: [/^(ssh2|bcrypt-pbkdf)/],
  externalsType: "commonjs",
};
webpack(options, (error, stats) => {
  if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
});
`;

const ESBUILD = [
  "--bundle",
  "--platform=node",
  "--format=esm",
  "--log-level=error",
];

const EXTERNAL = ["--external:ssh2", "--external:bcrypt-pbkdf"];

/** All in one file: what a module of CommonJS takes for granted, and no native parts. */
const INSIDE = [
  "--external:*.node",
  '--banner:js=import { createRequire } from "node:module"; ' +
  "const require = createRequire(import.meta.url), " +
  "__dirname = import.meta.dirname;",
];

let folder: PackageFolder;

/** The oldest Node that is here. */
const node = packageRuntimes.find(({ name, command }) =>
  name.startsWith("Node") && command !== undefined
)?.command?.[0];

const ignore = noNpm || node === undefined;

Deno.test.beforeAll(async () => {
  if (ignore) return;
  // With the native parts of ssh2, if they can be built.
  folder = await PackageFolder.make(TOOLS, []);
  const program = new URL("_bundled.mjs", import.meta.url);
  await folder.write("bundled.mjs", await Deno.readTextFile(program));
});

Deno.test.afterAll(() => folder?.[Symbol.asyncDispose]());

/** Runs a bundle, which executes a command on a server of its own. */
async function run(bundle: string): Promise<string[]> {
  await using server = await EmbeddedServer.start({
    commands: { uptime: { stdout: "up 3 days" } },
  });
  const { hostname, port, user, hostKey } = server.host();
  const host = { hostname, port, user, hostKey, privateKey: server.clientKey };
  const task = JSON.stringify({ ...host, command: "uptime" });
  return JSON.parse(await folder.succeed(node!, bundle, task));
}

function esbuild(outfile: string, ...options: string[]): Promise<string> {
  const program = folder.file("node_modules", "esbuild", "bin", "esbuild");
  const out = `--outfile=${outfile}`;
  return folder.succeed(program, "bundled.mjs", ...ESBUILD, out, ...options);
}

Deno.test({
  name: "a bundle of esbuild works with ssh2 outside",
  ignore,
  fn: async () => {
    await esbuild("esbuild.mjs", ...EXTERNAL);
    assertEquals(await run("esbuild.mjs"), ["up 3 days"]);
  },
});

Deno.test({
  name: "a bundle of Rollup works with ssh2 outside",
  ignore,
  fn: async () => {
    await folder.succeed(node!, await folder.write("rollup.mjs", ROLLUP));
    assertEquals(await run("rollup/bundled.mjs"), ["up 3 days"]);
  },
});

Deno.test({
  name: "a bundle of webpack works with ssh2 outside",
  ignore,
  fn: async () => {
    await folder.succeed(node!, await folder.write("webpack.mjs", WEBPACK));
    assertEquals(await run("webpack/main.js"), ["up 3 days"]);
  },
});

Deno.test({
  name: "a bundle of esbuild works with ssh2 inside, given a require()",
  ignore,
  fn: async () => {
    await esbuild("alone.mjs", ...INSIDE);
    await using elsewhere = await PackageFolder.empty();
    const text = await Deno.readTextFile(folder.file("alone.mjs"));
    const bundle = await elsewhere.write("alone.mjs", text);
    assertEquals(await run(bundle), ["up 3 days"]);
  },
});

Deno.test({
  name: "a bundle with ssh2 inside says what to tell the bundler",
  ignore,
  fn: async () => {
    await esbuild("inside.mjs", "--loader:.node=empty");
    const [message = "", hint = ""] = await run("inside.mjs");
    assertStringIncludes(message, "ssh2 cannot be loaded");
    assertStringIncludes(hint, "external");
  },
});
