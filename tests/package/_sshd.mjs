/**
 * Files, forwards and shells, on a real sshd, by a pool of this process or by a
 * worker on a bus. Prints what came of them as JSON. Written for Node 20: no
 * `await using`.
 */

import { Buffer } from "node:buffer";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { CommandError, ConnectionPool } from "@sshpool/sshpool";

const { host, close, nats } = JSON.parse(process.argv[2]);
const warnings = [];
process.on("warning", ({ name, message }) => warnings.push({ name, message }));

async function fleet() {
  const { connect } = await import("@nats-io/transport-node");
  const { fleetPool } = await import("@sshpool/sshpool/nats");
  const bus = await connect({ servers: nats });
  return { bus, pool: fleetPool(bus) };
}

const { bus, pool } = nats === undefined
  ? { pool: new ConnectionPool({ config: false }) }
  : await fleet();
const handle = pool.host(host);
const far = `/tmp/sshpool-${crypto.randomUUID()}`;
const near = await mkdtemp(join(tmpdir(), "sshpool-near-"));
const big = new Uint8Array(1_000_000).map((_, i) => i % 251);
const isBig = (bytes) => Buffer.compare(bytes, big) === 0;

async function files() {
  const sftp = await pool.sftp(host);
  await sftp.mkdir(far);
  await sftp.writeFile(`${far}/big`, big);
  await sftp.writeTextFile(`${far}/small`, "grüße\n");
  const names = [];
  for await (const { name } of sftp.readDir(far)) names.push(name);
  const { size } = await sftp.stat(`${far}/big`);
  const missing = await sftp.stat(`${far}/nothing`).catch(({ code }) => code);
  const result = {
    names: names.sort(),
    size,
    isBig: isBig(await sftp.readFile(`${far}/big`)),
    small: await sftp.readTextFile(`${far}/small`),
    missing,
  };
  sftp.close();
  return result;
}

async function trees() {
  await mkdir(join(near, "out", "folder"), { recursive: true });
  await writeFile(join(near, "out", "folder", "big"), big);
  await writeFile(join(near, "out", "small"), "small\n");
  let told = 0;
  const onProgress = () => told++;
  const up = await handle.upload(join(near, "out"), `${far}/tree`, {
    onProgress,
  });
  const down = await handle.download(`${far}/tree`, join(near, "back"));
  const [whole, small] = await Promise.all([
    readFile(join(near, "back", "folder", "big")),
    readFile(join(near, "back", "small"), "utf8"),
  ]);
  return {
    up: up.files,
    down: down.files,
    told: told > 0,
    isBig: isBig(whole),
    small,
  };
}

async function commands() {
  const { stdout } = await handle.$`printf %s ${"a b; $(reboot)"}`;
  const failed = await handle.exec("echo oops >&2; exit 3", { check: true })
    .catch((error) => [error instanceof CommandError, error.code]);
  const env = { GREETING: "hello" };
  const inside = await handle.exec('pwd; echo "$GREETING"', {
    cwd: far,
    env,
    envMode: "inline",
  });
  const child = await handle.spawn("printf 'one\\ntwo\\n'; cat");
  const lines = [];
  child.stdin.close();
  for await (const line of child.lines()) lines.push(line);
  return {
    quoted: stdout,
    failed,
    inside: inside.stdout.replace(far, "FAR"),
    lines,
  };
}

async function shell() {
  const shell = await handle.shell({ columns: 123, rows: 45 });
  const writer = shell.stdin.getWriter();
  await writer.write(new TextEncoder().encode("stty size; exit 7\n"));
  let text = "";
  for await (const chunk of shell.stdout) {
    text += new TextDecoder().decode(chunk);
  }
  const { code } = await shell.status;
  return { size: text.includes("45 123"), code };
}

/** A server that answers with what it is sent. */
function startEcho() {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve(server))
  );
}

/** Sends bytes to a port of this machine, and gives what comes back. */
function ask(port, ...pieces) {
  return new Promise((resolve, reject) => {
    const client = connect(port, "127.0.0.1");
    client.on("error", reject);
    client.on("data", (data) => {
      if (pieces.length > 0) return client.write(pieces.shift());
      client.destroy();
      resolve(data.toString());
    });
    client.write(pieces.shift());
  });
}

/** What a SOCKS5 client says first, and then: connect to a port. */
const socks = (port) => [
  Uint8Array.of(5, 1, 0),
  Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255),
];

async function forwards() {
  const server = await startEcho();
  const { port } = server.address();
  const to = `127.0.0.1:${port}`;
  const tunnel = await pool.connect(host, to);
  const writer = tunnel.writable.getWriter();
  await writer.write(new TextEncoder().encode("through"));
  const { value } = await tunnel.readable.getReader().read();
  tunnel.close();
  const answers = [new TextDecoder().decode(value)];
  for (
    const [options, first] of [
      [{ type: "local", listen: 0, to }, []],
      [{ type: "remote", listen: 0, to }, []],
      [{ type: "dynamic", listen: 0 }, socks(port)],
    ]
  ) {
    const forward = await pool.forward(host, options);
    answers.push(await ask(forward.address.port, ...first, options.type));
    // A client that stays is ended with the forward.
    const client = connect(forward.address.port, "127.0.0.1");
    const ended = new Promise((resolve) => client.once("close", resolve));
    client.on("error", () => {});
    await new Promise((resolve) => client.once("connect", resolve));
    await forward.close();
    if (options.type !== "remote") await ended;
    client.destroy();
  }
  server.close();
  return answers;
}

const done = {
  files: await files(),
  trees: await trees(),
  commands: await commands(),
  shell: await shell(),
  forwards: await forwards(),
};
await handle.$`rm -rf ${far}`;
await rm(near, { recursive: true });
if (close) {
  await pool.close();
  await bus?.close();
}
// Warnings come a turn later.
await new Promise((resolve) => setTimeout(resolve, 10));
process.stdout.write(JSON.stringify({ ...done, warnings }) + "\n");
