/**
 * A gigabyte through a command, a file and a forward, over an sshd: each hash
 * is compared, and the memory that it took.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { ConnectionPool, type SshHost } from "../mod.ts";
import { atEnd } from "./kit/at_end.ts";
import { memory } from "./kit/memory.ts";
import { claim, fact, factValue, reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { formatCount } from "./report/table.ts";
import { randomFile, workFolder } from "./kit/work_folder.ts";

reportOf(import.meta, "a gigabyte through each way");

const BYTES = size(1_000_000_000, 50_000_000);
const REHEARSAL_BYTES = size(50_000_000, 10_000_000);

/** What a way has to do with: a source, a place for a copy, and who serves it. */
interface Work {
  readonly pool: ConnectionPool;
  readonly host: SshHost;
  readonly source: string;
  readonly copy: string;
  /** A port of the host that sends the source. */
  readonly port: number;
}

/** Moves the source, and gives the hash of what arrived. */
type Way = (work: Work) => Promise<string>;

const ways: Record<string, Way> = {
  async "output of a command"({ pool, host, source }) {
    const process = await pool.spawn(host, ["cat", source]);
    process.stdin.close();
    const [hash] = await Promise.all([
      hashOf(process.stdout),
      process.stderr.cancel(),
    ]);
    assertEquals((await process.status).code, 0);
    return hash;
  },
  async "download of a file"({ pool, host, source, copy }) {
    await pool.download(host, source, copy);
    return copy;
  },
  async "upload of a file"({ pool, host, source, copy }) {
    await pool.upload(host, source, copy);
    return copy;
  },
  async "local forward"({ pool, host, port }) {
    await using forward = await pool.forward(host, {
      type: "local",
      listen: 0,
      to: `127.0.0.1:${port}`,
    });
    const { port: near = 0 } = forward.address as { port?: number };
    const client = await Deno.connect({ hostname: "127.0.0.1", port: near });
    return await hashOf(client.readable);
  },
};

async function hashOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest("hex");
}

let hashOfSource: Promise<string> | undefined;

async function hashOfFile(path: string): Promise<string> {
  const { stdout } = await new Deno.Command("sha256sum", { args: [path] })
    .output();
  return new TextDecoder().decode(stdout).slice(0, 64);
}

async function startSender(source: string) {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      // Deno asks for all of them to read below /dev/shm.
      "--allow-all",
      join(import.meta.dirname!, "kit/far_sender.ts"),
      source,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const forget = atEnd(() => process.kill());
  const reader = process.stdout.getReader();
  const { value } = await reader.read();
  return {
    port: Number(new TextDecoder().decode(value)),
    async [Symbol.asyncDispose]() {
      forget();
      process.kill();
      await reader.cancel();
      await process.status;
    },
  };
}

/** Does the work, and gives by how much memory grew at most meanwhile, in bytes. */
async function watched(work: () => Promise<void>): Promise<number> {
  const before = memory().rss;
  let peak = before;
  const look = () => peak = Math.max(peak, Deno.memoryUsage().rss);
  const timer = setInterval(look, 20);
  await work();
  clearInterval(timer);
  look();
  return peak - before;
}

/** Once with little, so that all code and buffers are there. */
async function rehearse(way: Way, work: Omit<Work, "source" | "port">) {
  const source = await randomFile(REHEARSAL_BYTES);
  await using sender = await startSender(source);
  await way({ ...work, source, port: sender.port });
}

for (const [name, way] of Object.entries(ways)) {
  const growth = `memory growth, ${name}`;
  scenario({
    name,
    group: `${formatCount(BYTES / 1e6)} MB${sshdHint}`,
    ignore: noSshd,
    n: 1,
    warmup: 0,
    bytes: BYTES,
    fresh: true,
    async open() {
      const source = await randomFile(BYTES);
      const sender = await startSender(source);
      const pool = new ConnectionPool({ config: false });
      const copy = join(workFolder(), "copy");
      const host = (await sharedSshd()).host();
      await rehearse(way, { pool, host, copy });
      return {
        work: { pool, host, source, copy, port: sender.port },
        expected: await (hashOfSource ??= hashOfFile(source)),
        arrived: "",
        grown: 0,
        async [Symbol.asyncDispose]() {
          await pool.close();
          await sender[Symbol.asyncDispose]();
        },
      };
    },
    async run(fixture) {
      fixture.grown = await watched(async () => {
        fixture.arrived = await way(fixture.work);
      });
    },
    async check({ arrived, expected, work: { copy }, grown }) {
      const isFile = arrived === copy;
      assertEquals(isFile ? await hashOfFile(copy) : arrived, expected);
      if (isFile) await Deno.remove(copy);
      fact(growth, grown / 1024 / 1024, "MiB");
    },
  });
  claim({
    text: growth,
    actual: () => factValue(growth),
    atMost: 64,
    unit: "MiB",
  });
}
