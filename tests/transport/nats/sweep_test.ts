// One message of the bus is lost, comes twice, comes after the next one, or comes
// again when the call is over: each in its turn. Each call ends, with all of its
// result or with an error of this library, and no command runs twice.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import { fleetPool, FleetWorker } from "../../../pool/nats.ts";
import { sleep } from "../../../transport/abort.ts";
import { SshError } from "../../../transport/errors.ts";
import {
  type CommandHandler,
  MemoryConnector,
} from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { MemoryBus } from "./_memory_bus.ts";

const HOST = "ops@web-1";
/** What is lost is found by the next ping. */
const PING_MS = 50;
const HANGS_MS = 60_000;
/** Cases at a time: they wait for pings. */
const BATCH = 12;
/** On a slow machine more and more of the messages are pings. */
const MOST = 60;
/** More than a first window. */
const BYTES = new Uint8Array(100_000).fill(120);
const TEXT = "x".repeat(BYTES.length);

const FAULTS = ["lost", "twice", "late", "again"] as const;
type Fault = typeof FAULTS[number];

type Letter = Parameters<MemoryBus["publish"]>;

/** A bus with one fault. */
class FaultyBus extends MemoryBus {
  /** Messages so far. */
  count = 0;
  readonly #fault: Fault;
  readonly #nth: number;
  #kept: Letter | undefined;

  constructor(fault: Fault, nth: number) {
    super();
    this.#fault = fault;
    this.#nth = nth;
  }

  override publish(...[to, payload, options]: Letter): void {
    // As the server maps it.
    const subject = to.replace(/^ssh\.dial\./, "ssh.shard.0.");
    const letter: Letter = [subject, payload, options];
    const fault = ++this.count === this.#nth ? this.#fault : undefined;
    if (fault === "late" || fault === "again") this.#kept = letter;
    if (fault === "lost" || fault === "late") return;
    super.publish(...letter);
    if (fault === "twice") super.publish(...letter);
    if (this.#fault === "late") this.release();
  }

  /** Delivers what was kept. */
  release(): void {
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept !== undefined) super.publish(...kept);
  }
}

/** What is called; rejects if its result is wrong. */
type Call = (pool: ConnectionPool) => Promise<unknown>;

/** Each begins one command or none, but for that which says how many. */
const CALLS: Readonly<Record<string, Call & { commands?: number }>> = {
  async "a short command"(pool) {
    const { stdout } = await pool.exec(HOST, "say");
    assertEquals(stdout, "done");
  },
  async "a command that reads"(pool) {
    const { stdout } = await pool.exec(HOST, "read", { stdin: BYTES });
    assertEquals(stdout, TEXT);
  },
  async "a command that fills both outputs"(pool) {
    const { stdout, stderr } = await pool.exec(HOST, "both");
    assertEquals([stdout, stderr], [TEXT, TEXT]);
  },
  async "a command that its caller holds back"(pool) {
    const onOpen = () => Promise.resolve();
    const { stdout } = await pool.exec(HOST, "say", { onOpen });
    assertEquals(stdout, "done");
  },
  "commands that wait at the worker": Object.assign(
    async (pool: ConnectionPool) => {
      const call = () => pool.exec(HOST, "linger");
      const all = await Promise.allSettled([call(), call(), call()]);
      for (const it of all) {
        if (it.status === "rejected") throw it.reason;
        assertEquals(it.value.stdout, "done");
      }
    },
    { commands: 3 },
  ),
  async "a process"(pool) {
    await using process = await pool.spawn(HOST, "read");
    const writing = new Blob([BYTES]).stream().pipeTo(process.stdin);
    writing.catch(() => {});
    assertEquals(await process.text(), TEXT);
    assertEquals((await process.status).success, true);
  },
  async "a command that is stopped"(pool) {
    const error = await pool.exec(HOST, "never", { timeoutMs: 40 })
      .catch((error) => error);
    if (error.name !== "ExecTimeoutError") throw error;
  },
  async "a file"(pool) {
    await using sftp = await pool.sftp(HOST);
    await sftp.writeFile("/file", BYTES);
    assertEquals(await sftp.readTextFile("/file"), TEXT);
  },
  async "a tunnel"(pool) {
    const tunnel = await pool.connect(HOST, "db:5432");
    const writing = new Blob([BYTES]).stream().pipeTo(tunnel.writable);
    const reading = new Response(tunnel.readable).text();
    const [, read] = await Promise.all([writing, reading]);
    assertEquals(read, TEXT);
    tunnel.close();
  },
};

/** Has a call meet a fault; returns whether it came so far. */
async function meet(name: string, fault: Fault, nth: number): Promise<boolean> {
  const call = CALLS[name]!;
  let runs = 0;
  const counted = (run: CommandHandler): CommandHandler => (context) => {
    runs++;
    return run(context);
  };
  const memory = new MemoryConnector({
    maxSessions: 1,
    targets: () => ({ readable, writable }) => readable.pipeTo(writable),
    commands: {
      say: counted(() => ({ stdout: "done" })),
      read: counted(async ({ stdin }) => ({
        stdout: await new Response(stdin).text(),
      })),
      both: counted(async ({ write, writeError }) => {
        await Promise.all([write(TEXT), writeError(TEXT)]);
      }),
      // So long that the others are told to wait.
      linger: counted(async ({ signal }) => {
        await sleep(50, signal);
        return { stdout: "done" };
      }),
      never: counted(({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        })
      ),
    },
  });
  const behind = new ConnectionPool({
    connector: memory,
    maxConnectionsPerHost: 1,
  });
  const bus = new FaultyBus(fault, nth);
  const worker = new FleetWorker(bus, {
    pool: behind,
    host: ({ name }) => name,
    shards: 1,
    pingMs: PING_MS,
    freshMs: HANGS_MS,
  });
  await worker.serve({ index: 0, of: 1 });
  const pool = fleetPool(bus, { pingMs: PING_MS, dialTimeoutMs: 5_000 });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hangs = new Promise<Error>((resolve) => {
    timer = setTimeout(() => resolve(new Error("it hangs")), HANGS_MS);
  });
  const called = call(pool).then(() => undefined, (error) => error);
  const error = await Promise.race([called, hangs]);
  clearTimeout(timer);
  const isMet = bus.count >= nth;
  bus.release();
  await pool.close({ drainTimeoutMs: 0 });
  await until(() => {
    const { sessions, connections } = worker.stats();
    return sessions + connections === 0;
  });
  await worker.close({ drainTimeoutMs: 0 });
  await behind.close({ drainTimeoutMs: 0 });
  bus.close();
  const hint = `${name}, message ${nth} is ${fault}`;
  const { commands = 1 } = call;
  assert(runs <= commands, `${hint}: ${runs} runs`);
  if (error !== undefined) assertInstanceOf(error, SshError, hint);
  if (error?.mayHaveRun === false && commands === 1) {
    assertEquals(runs, 0, `${hint}: ${error}`);
  }
  return isMet;
}

for (const name of Object.keys(CALLS)) {
  Deno.test(`${name}: no lie and no second run, whatever message is lost, or comes twice, late or again`, async () => {
    for (const fault of FAULTS) {
      for (let nth = 1, isMet = true; isMet && nth < MOST; nth += BATCH) {
        const batch = Array.from({ length: BATCH }, (_, i) => nth + i);
        const met = await Promise.all(batch.map((it) => meet(name, fault, it)));
        isMet = met.every((it) => it);
      }
    }
  });
}
