/** A program that forgets `close()` ends when its work ends, and not before. */

import { assert, assertEquals } from "@std/assert";
import { EmbeddedServer } from "../transport/testing/mod.ts";
import {
  deno,
  noNpm,
  PackageFolder,
  type PackageRuntime,
  packageRuntimes,
} from "./package/_kit.ts";

// What is idle keeps a process alive for 15 s (a keepalive that finds the
// server well) or 60 s (the idle timeout), or for ever.
const ENDS_WITHIN_MS = 5_000;

const START = `
import { ConnectionPool } from "@sshpool/sshpool";
const host = JSON.parse(process.env.SSHPOOL_HOST);
const hop = JSON.parse(process.env.SSHPOOL_HOP);
const pool = new ConnectionPool({ config: false });
const say = (text) => console.log(text.trim());
`;

/** Programs, and what they are to print. */
const PROGRAMS: Record<string, { source: string; prints: string }> = {
  "after exec()": {
    source: `say((await pool.exec(host, "echo done")).stdout);`,
    prints: "done",
  },
  "after exec() through a jump host": {
    source: `
      const target = { ...host, jump: [hop] };
      await pool.exec(target, "sleep 0.3");
      await new Promise((resolve) => setTimeout(resolve, 100));
      await pool.exec(target, "sleep 0.3");
      say((await pool.exec(target, "echo done")).stdout);`,
    prints: "done",
  },
  "after exec() through a proxy command": {
    source: `
      const proxyCommand = process.env.SSHPOOL_PROXY;
      await pool.exec({ ...host, proxyCommand }, "sleep 0.3");
      say((await pool.exec({ ...host, proxyCommand }, "echo done")).stdout);`,
    prints: "done",
  },
  "after spawn(), which it waits for": {
    source: `
      const child = await pool.spawn(host, "sleep 0.5");
      say(String((await child.status).code));`,
    prints: "0",
  },
  "after a caller that waits for a slot": {
    source: `
      const busy = new ConnectionPool({
        config: false,
        acquireTimeoutMs: 0,
        maxConnections: 1,
        maxSessionsPerConnection: 1,
      });
      busy.exec(host, "sleep 0.5");
      say((await busy.exec(host, "echo done")).stdout);`,
    prints: "done",
  },
  "after exec() that is aborted": {
    source: `
      const signal = AbortSignal.timeout(200);
      await pool.exec(host, "sleep 60", { signal }).catch(() => say("done"));`,
    prints: "done",
  },
  "after answers to a keepalive": {
    source: `
      const often = { ...host, keepaliveIntervalMs: 50 };
      await pool.exec(often, "true");
      await new Promise((resolve) => setTimeout(resolve, 400));
      say("done");`,
    prints: "done",
  },
  "after getConnection() and a pause": {
    source: `
      const connection = await pool.getConnection(host);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await connection.exec("sleep 0.3");
      say((await connection.exec("echo done")).stdout);`,
    prints: "done",
  },
};

/** A proxy command that copies between its streams and the server. */
function proxyCommand(): string {
  const code = `const c = await Deno.connect({ hostname: Deno.args[0], ` +
    `port: Number(Deno.args[1]) }); ` +
    `c.readable.pipeTo(Deno.stdout.writable).catch(() => {}); ` +
    `await Deno.stdin.readable.pipeTo(c.writable).catch(() => {});`;
  const url = `data:text/javascript,${encodeURIComponent(code)}`;
  return `'${Deno.execPath()}' run -A '${
    url.replaceAll("%", "%%").replaceAll("'", "%%27")
  }' %h %p`;
}

let folder: PackageFolder;

Deno.test.beforeAll(async () => {
  if (!noNpm) folder = await PackageFolder.make();
});

Deno.test.afterAll(() => folder?.[Symbol.asyncDispose]());

async function check({ command }: PackageRuntime): Promise<void> {
  await using server = await EmbeddedServer.start();
  await using hop = await EmbeddedServer.start();
  const env = {
    SSHPOOL_HOST: JSON.stringify(server.host()),
    SSHPOOL_HOP: JSON.stringify(hop.host()),
    SSHPOOL_PROXY: proxyCommand(),
  };
  for (const [name, { source, prints }] of Object.entries(PROGRAMS)) {
    const program = await folder.write("program.mjs", START + source);
    const { code, stdout, stderr, idleMs } = await folder.run(command!, {
      args: [program],
      env,
    });
    assertEquals(
      { code, stdout: stdout.trim(), stderr },
      { code: 0, stdout: prints, stderr: "" },
      name,
    );
    assert(idleMs < ENDS_WITHIN_MS, `${name}: ended after ${idleMs} ms`);
  }
}

for (const runtime of [deno, ...packageRuntimes]) {
  const isMissing = runtime.command === undefined || noNpm;
  const hint = noNpm ? "install npm" : runtime.hint;
  Deno.test({
    name: "ConnectionPool lets a program end that forgets close(), in " +
      runtime.name + (isMissing ? ` (${hint})` : ""),
    ignore: isMissing,
    fn: () => check(runtime),
  });
}
