/**
 * What is tried on each server: by the pool, and where that does not give the
 * right answer, by OpenSSH's `ssh` and `sftp`.
 *
 * @module
 */

import { join } from "node:path";
import { ConnectionPool, type SshHost } from "../../mod.ts";
import type { Running } from "./_servers.ts";

/** A server, and what the checks need beside it. */
interface Site {
  readonly server: Running;
  readonly host: SshHost;
  readonly pool: ConnectionPool;
  /** A folder with the file `source`. */
  readonly folder: string;
  /** The port of a server that sends back what it gets. */
  readonly echoPort: number;
}

/** One column of the table. */
interface Check {
  readonly name: string;
  /** Whether the answer of the pool is right. */
  ours(site: Site): Promise<boolean>;
  /** Whether OpenSSH's own client gets the right answer. */
  judge(site: Site): Promise<boolean>;
}

/** What a cell of the table says. */
export type Cell = "yes" | "–" | `no: ${string}`;

const BYTES = new Uint8Array(300_000).map((_, i) => i * 7 + (i >> 8));
const OUTPUT = { command: "printf '%s|' 'a b'", stdout: "a b|" };
const STATUS = {
  command: "wc -c; echo err >&2; exit 3",
  stdout: `${BYTES.length}\n`,
  stderr: "err\n",
  code: 3,
};
const AT_ONCE = Array.from({ length: 30 }, (_, i) => i);

const CHECKS: readonly Check[] = [
  {
    name: "output",
    ours: async ({ pool, host }) =>
      (await pool.exec(host, OUTPUT.command)).stdout === OUTPUT.stdout,
    judge: async ({ server }) =>
      (await ssh(server, [OUTPUT.command])).stdout === OUTPUT.stdout,
  },
  {
    name: "input, error output, exit code",
    ours: async ({ pool, host }) =>
      isRight(await pool.exec(host, STATUS.command, { stdin: BYTES })),
    judge: async ({ server }) =>
      isRight(await ssh(server, [STATUS.command], BYTES)),
  },
  {
    name: "30 at once",
    ours: async ({ pool, host }) => {
      const all = await Promise.all(
        AT_ONCE.map((n) => pool.exec(host, `echo ${n}`)),
      );
      return all.every(({ stdout }, n) => stdout === `${n}\n`);
    },
    judge: async ({ server }) =>
      (await ssh(server, ["echo 1"])).stdout === "1\n",
  },
  {
    name: "upload, and again",
    ours: async ({ pool, host, folder }) => {
      const [from, to] = [join(folder, "source"), join(folder, "up")];
      for (let time = 0; time < 2; time++) await pool.upload(host, from, to);
      return await isCopy(to);
    },
    judge: async ({ server, folder }) => {
      const to = join(folder, "judge-up");
      const put = `put ${join(folder, "source")} ${to}\n`;
      return await sftp(server, put + put) && await isCopy(to);
    },
  },
  {
    name: "download",
    ours: async ({ pool, host, folder }) => {
      const to = join(folder, "down");
      await pool.download(host, join(folder, "source"), to);
      return await isCopy(to);
    },
    judge: async ({ server, folder }) => {
      const to = join(folder, "judge-down");
      const get = `get ${join(folder, "source")} ${to}\n`;
      return await sftp(server, get) && await isCopy(to);
    },
  },
  {
    name: "list",
    ours: async ({ pool, host, folder }) => {
      await using session = await pool.sftp(host);
      const found = await Array.fromAsync(session.readDir(folder));
      return found.some(({ name, isFile }) => name === "source" && isFile);
    },
    judge: ({ server, folder }) => sftp(server, `ls ${folder}\n`),
  },
  {
    name: "forward",
    ours: async ({ pool, host, echoPort }) => {
      const tunnel = await pool.connect(host, `127.0.0.1:${echoPort}`);
      const writer = tunnel.writable.getWriter();
      await writer.write(BYTES.subarray(0, 100));
      const reader = tunnel.readable.getReader();
      let count = 0;
      while (count < 100) {
        const { value } = await reader.read();
        if (value === undefined) break;
        count += value.length;
      }
      tunnel.close();
      return count === 100;
    },
    judge: async ({ server, echoPort }) => {
      const args = ["-W", `127.0.0.1:${echoPort}`];
      return (await ssh(server, args, BYTES.subarray(0, 100), true)).size ===
        100;
    },
  },
];

/** The names of the columns. */
export const COLUMNS: readonly string[] = CHECKS.map(({ name }) => name);

/** Tries all on one server. */
export async function check(server: Running): Promise<Cell[]> {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-interop-" });
  const echo = startEcho();
  const host: SshHost = {
    hostname: "127.0.0.1",
    port: server.port,
    user: server.user,
    privateKey: await Deno.readTextFile(server.identityFile),
    agent: false,
    hostKey: "insecure-accept-any",
  };
  const pool = new ConnectionPool({ config: false, drainTimeoutMs: 0 });
  try {
    await Deno.chmod(folder, 0o777);
    await Deno.writeFile(join(folder, "source"), BYTES);
    const site = { server, host, pool, folder, echoPort: echo.port };
    const cells: Cell[] = [];
    for (const it of CHECKS) cells.push(await cellOf(it, site));
    return cells;
  } finally {
    await pool.close();
    await echo.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function cellOf(check: Check, site: Site): Promise<Cell> {
  let why = "the answer is wrong";
  try {
    if (await check.ours(site)) return "yes";
  } catch (error) {
    why = (error as Error).message;
  }
  const isPossible = await check.judge(site).catch(() => false);
  return isPossible ? `no: ${why}` : "–";
}

function isRight(
  { stdout, stderr, code }: Pick<Judged, "stdout" | "stderr" | "code">,
): boolean {
  return stdout.trim() === STATUS.stdout.trim() && stderr === STATUS.stderr &&
    code === STATUS.code;
}

async function isCopy(path: string): Promise<boolean> {
  const found = await Deno.readFile(path);
  return found.length === BYTES.length && found.every((b, i) => b === BYTES[i]);
}

function startEcho(): { readonly port: number; close(): Promise<void> } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const echoes: Promise<void>[] = [];
  // A server may leave them open.
  const abort = new AbortController();
  const { signal } = abort;
  const accepting = (async () => {
    for await (const { readable, writable } of listener) {
      echoes.push(readable.pipeTo(writable, { signal }).catch(() => {}));
    }
  })();
  return {
    port: listener.addr.port,
    async close() {
      listener.close();
      await accepting;
      abort.abort();
      await Promise.all(echoes);
    },
  };
}

const OPTIONS = [
  "BatchMode=yes",
  "ConnectTimeout=10",
  "IdentitiesOnly=yes",
  "LogLevel=ERROR",
  "StrictHostKeyChecking=no",
  "UserKnownHostsFile=/dev/null",
];

function optionsFor({ identityFile }: Running): string[] {
  return ["-F", "none", "-i", identityFile]
    .concat(OPTIONS.flatMap((option) => ["-o", option]));
}

interface Judged {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  /** Of standard output, in bytes. */
  readonly size: number;
}

async function ssh(
  server: Running,
  args: readonly string[],
  input: Uint8Array<ArrayBuffer> = new Uint8Array(),
  isTunnel = false,
): Promise<Judged> {
  const target = `${server.user}@127.0.0.1`;
  const all = ["-p", String(server.port), ...optionsFor(server)];
  return await run(
    "ssh",
    isTunnel ? [...all, ...args, target] : [...all, target, ...args],
    input,
  );
}

async function sftp(server: Running, batch: string): Promise<boolean> {
  const { code } = await run("sftp", [
    ...["-q", "-b", "-", "-P", String(server.port), ...optionsFor(server)],
    `${server.user}@127.0.0.1`,
  ], new TextEncoder().encode(batch));
  return code === 0;
}

async function run(
  command: string,
  args: readonly string[],
  input: Uint8Array<ArrayBuffer>,
): Promise<Judged> {
  const child = new Deno.Command(command, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  const feeding = new Blob([input]).stream().pipeTo(child.stdin)
    .catch(() => {}); // it has ended without reading all
  const { stdout, stderr, code } = await child.output();
  clearTimeout(timer);
  await feeding;
  const decoder = new TextDecoder();
  return {
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
    code,
    size: stdout.length,
  };
}
