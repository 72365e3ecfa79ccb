/** The library in Node: bundled, it runs commands and lets the process end. */

import { assertEquals } from "@std/assert";
import { delimiter, join } from "node:path";
import { existsSync } from "node:fs";
import { EmbeddedServer } from "../transport/testing/mod.ts";
import { noSshd, startSshd } from "./_sshd.ts";

const node = (Deno.env.get("PATH") ?? "").split(delimiter)
  .map((folder) => join(folder, "node")).find(existsSync);
const hint = "install node to run this test";
const root = new URL("..", import.meta.url);

/** Runs a command to its end, which has to be a success. */
async function run(
  command: string,
  options: Deno.CommandOptions,
): Promise<string> {
  // Longer than any of this takes, and shorter than the pool's idle timeout:
  // a connection that keeps the process alive is a failure.
  const signal = AbortSignal.timeout(45_000);
  const { success, stdout, stderr } = await new Deno.Command(command, {
    stdin: "null",
    signal,
    ...options,
  }).output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  assertEquals({ success, err }, { success: true, err: "" }, err);
  return out!;
}

/** Makes a folder where Node finds the library and ssh2. */
async function install(dir: string): Promise<void> {
  const imports = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", root)),
  ).imports;
  const version = imports.ssh2.split("@").at(-1);
  await Deno.writeTextFile(
    join(dir, "package.json"),
    JSON.stringify({ private: true, dependencies: { ssh2: version } }),
  );
  await run(Deno.execPath(), {
    args: ["install", "--quiet", "--node-modules-dir=auto", "--no-lock"],
    cwd: dir,
  });
  await run(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--platform=deno",
      "--external=ssh2",
      `--output=${join(dir, "sshpool.mjs")}`,
      "mod.ts",
    ],
    cwd: root,
  });
}

const PROGRAM = `
import { ConnectionPool } from "./sshpool.mjs";

const pool = new ConnectionPool({ config: false });
const host = JSON.parse(process.env.SSHPOOL_HOST);
const results = await Promise.all(
  Array.from({ length: 20 }, (_, i) => pool.exec(host, ["echo", String(i)])),
);
const cat = await pool.spawn(host, "cat");
const writer = cat.stdin.getWriter();
await writer.write(new TextEncoder().encode("through"));
await writer.close();
const { stdout } = await cat.output();
async function caller() {
  await pool.exec({ ...host, port: 1 }, "true");
}
const failed = await caller().catch((error) => error);
await pool.close();
console.log(JSON.stringify({
  outputs: results.map(({ stdout }) => stdout.trim()).join(" "),
  cat: new TextDecoder().decode(stdout),
  size: pool.size,
  failed: failed.name,
  line: /at async caller .*program\\.mjs/.test(failed.stack),
}));
`;

Deno.test({
  name: node === undefined
    ? `ConnectionPool runs commands in Node (${hint})`
    : "ConnectionPool runs commands in Node, which ends after close()",
  ignore: node === undefined,
  async fn() {
    await using server = await EmbeddedServer.start();
    const dir = await Deno.makeTempDir({ prefix: "sshpool-node-" });
    try {
      await install(dir);
      await Deno.writeTextFile(join(dir, "program.mjs"), PROGRAM);
      const out = await run(node!, {
        args: ["program.mjs"],
        cwd: dir,
        env: { SSHPOOL_HOST: JSON.stringify(server.host()) },
      });
      assertEquals(JSON.parse(out), {
        outputs: Array.from({ length: 20 }, (_, i) => i).join(" "),
        cat: "through",
        size: 0,
        failed: "DialError",
        line: true,
      });
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

const REKEY_PROGRAM = `
import { ConnectionPool } from "./sshpool.mjs";

const pool = new ConnectionPool({ config: false });
const host = JSON.parse(process.env.SSHPOOL_HOST);
const sizes = [];
for (const cipher of ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"]) {
  const target = { ...host, algorithms: { cipher } };
  const results = await Promise.all(
    Array.from({ length: 30 }, (_, i) => pool.exec(target, "yes " + i + " | head -c 40000")),
  );
  sizes.push(results.filter(({ stdout }, i) =>
    stdout === (i + "\\n").repeat(40000).slice(0, 40000)).length);
}
await pool.close();
console.log(JSON.stringify(sizes));
`;

Deno.test({
  name: "ConnectionPool survives the key exchanges that sshd asks for, in Node",
  ignore: node === undefined || noSshd,
  async fn() {
    await using sshd = await startSshd({ config: ["RekeyLimit 200K"] });
    const dir = await Deno.makeTempDir({ prefix: "sshpool-node-" });
    try {
      await install(dir);
      await Deno.writeTextFile(join(dir, "program.mjs"), REKEY_PROGRAM);
      const out = await run(node!, {
        args: ["program.mjs"],
        cwd: dir,
        env: { SSHPOOL_HOST: JSON.stringify(sshd.host()) },
      });
      assertEquals(JSON.parse(out), [30, 30, 30]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
