/**
 * The main verbs of the package, against the servers of `_server.mjs`. Prints
 * what came of them as JSON. Written for Node 20: no `await using`.
 */

import process from "node:process";
import { ConnectionPool, DialError, PlainResolver } from "@sshpool/sshpool";
import { ConnectionPool as BarePool } from "@sshpool/sshpool/pool";
import { Ssh2Connector } from "@sshpool/sshpool/ssh2";

const { target, hop, close } = JSON.parse(process.argv[2]);
const warnings = [];
process.on("warning", ({ name, message }) => warnings.push({ name, message }));

// One connection: on a busy machine the pool may find that a second one pays.
const pool = new ConnectionPool({ config: false, maxConnectionsPerHost: 1 });
const text = (bytes) => new TextDecoder().decode(bytes);

async function counts() {
  return JSON.parse((await pool.exec(target, "counts")).stdout);
}

/** 100 callers of one host. */
async function hundred() {
  const results = await Promise.all(
    Array.from(
      { length: 100 },
      (_, i) => pool.exec(target, ["echo", String(i)]),
    ),
  );
  const right = results.filter(({ stdout }, i) => stdout === `${i}\n`).length;
  const { logins } = await counts();
  return { right, logins };
}

async function exec() {
  const failed = await pool.exec(target, "exit 3");
  const env = { GREETING: "hello" };
  const printed = await pool.exec(target, ["printenv", "GREETING"], { env });
  const echoed = await pool.exec(target, "cat", {
    stdin: new Uint8Array([0, 255, 10]),
    encoding: "bytes",
  });
  const timeout = await pool.exec(target, "sleep 60", { timeoutMs: 50 })
    .catch((error) => error.name);
  const aborted = await pool.exec(target, "sleep 60", {
    signal: AbortSignal.timeout(50),
  }).catch((error) => error.name);
  return {
    failed: [failed.success, failed.code],
    printed: printed.stdout,
    echoed: [...echoed.stdout],
    timeout,
    aborted,
  };
}

async function spawn() {
  const cat = await pool.spawn(target, "cat");
  const writer = cat.stdin.getWriter();
  await writer.write(new TextEncoder().encode("one "));
  await writer.write(new TextEncoder().encode("two"));
  await writer.close();
  let read = "";
  for await (const chunk of cat.stdout) read += text(chunk);
  const bulk = await pool.spawn(target, "bulk 3000000");
  const { stdout } = await bulk.output();
  const sleep = await pool.spawn(target, "sleep 60");
  sleep.kill("TERM");
  return {
    read,
    status: await cat.status,
    bytes: stdout.length,
    killed: (await sleep.status).signal,
  };
}

async function jump() {
  const before = await counts();
  const { stdout } = await pool.exec({ ...target, jump: [hop] }, "echo far");
  const after = await counts();
  return {
    stdout,
    hops: after.hops - before.hops,
    forwards: after.forwards - before.forwards,
  };
}

async function fanOut() {
  const hosts = [target, { ...target, jump: [hop] }, { ...target, port: 1 }];
  const run = (host) => pool.exec(host, "true");
  let [ok, failed] = [0, 0];
  for await (const result of pool.fanOut(hosts, run)) {
    if (result.ok) ok++;
    else if (result.error instanceof DialError) failed++;
  }
  return { ok, failed };
}

async function errors() {
  const error = await pool.exec({ ...target, port: 2 }, "true")
    .catch((error) => error);
  const { name, code, phase } = JSON.parse(JSON.stringify(error));
  return { name, code, phase, isDialError: error instanceof DialError };
}

/** The parts by themselves. */
async function parts() {
  const bare = new BarePool({ connector: new Ssh2Connector() });
  const { stdout } = await bare.exec(target, "echo bare");
  if (close) await bare.close();
  return { stdout, port: new PlainResolver().resolve("ops@db1:2222").port };
}

const done = {
  hundred: await hundred(),
  exec: await exec(),
  spawn: await spawn(),
  jump: await jump(),
  fanOut: await fanOut(),
  errors: await errors(),
  parts: await parts(),
};
if (close) await pool.close();
done.size = pool.size > 0;
// Warnings come a turn later.
await new Promise((resolve) => setTimeout(resolve, 10));
process.stdout.write(JSON.stringify({ ...done, warnings }) + "\n");
