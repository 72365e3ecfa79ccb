// The marks test: each command appends its id to a file, over a real sshd and
// workers in processes of their own, while these and the server of the bus are
// killed, frozen and started again by a seeded walk. Then the file is compared
// with what each call has said. `SSHPOOL_MARKS=10000` is the long run.

import { assert, assertEquals } from "@std/assert";
import { fleetPool } from "../../../pool/nats.ts";
import { SshError } from "../../../transport/errors.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { Random, replay, seed } from "../../kit/random.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { Ends, testNats } from "./_kit.ts";
import { WorkerProcess, writeInventory } from "./_workers.ts";

/** Commands in all; the walk goes on until they are through. */
const COMMANDS = Number(Deno.env.get("SSHPOOL_MARKS") || 150);
/** How many steps the short run has; the long one walks on. */
const STEPS = COMMANDS < 1_000 ? 2 : Infinity;
const HOSTS = 8;

type Outcome = "ok" | "not run" | "may have run";
interface Mark {
  readonly id: string;
  readonly outcome: Outcome;
  readonly error?: unknown;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

testNats(
  "ok is one mark, not run is none, none is made twice, and no call hangs, whoever dies",
  async () => {
    if (noSshd) return;
    await using ends = new Ends();
    const server = ends.add(
      await NatsServer.start({ jetStream: true }),
      (it) => it[Symbol.asyncDispose](),
    );
    const sshd = ends.add(
      await startSshd({ maxStartups: "100:30:200" }),
      (it) => it[Symbol.asyncDispose](),
    );
    const folder = await Deno.makeTempDir();
    ends.add(folder, (it) => Deno.remove(it, { recursive: true }));
    const names = Array.from({ length: HOSTS }, (_, i) => `web-${i}`);
    const inventory = await writeInventory(folder, {
      default: Object.fromEntries(
        // Each a host of its own to the pool.
        names.map((name) => [name, sshd.host({ hostKeyAlias: name })]),
      ),
    });
    const start = (id: string) =>
      WorkerProcess.start([
        ...["--servers", `127.0.0.1:${server.port}`],
        ...["--inventory", inventory, "--shards", String(SHARDS)],
        ...["--id", id, "--leases"],
      ]);
    const workers = await Promise.all(["w1", "w2"].map(start));
    for (const worker of workers) {
      ends.add(worker, (it) => it[Symbol.asyncDispose]());
    }
    const pool = ends.add(
      fleetPool(await server.connect(), { dialTimeoutMs: 30_000 }),
      (it) => it.close({ drainTimeoutMs: 0 }),
    );
    // Its user is none of this process's.
    const open = await Deno.makeTempDir();
    ends.add(open, (it) => Deno.remove(it, { recursive: true }));
    await Deno.chmod(open, 0o777);
    const file = `${open}/marks`;
    const marks: Mark[] = [];
    const lastOk = new Map<string, number>();
    let longestGapMs = 0;
    let next = 0;
    const loop = async (name: string) => {
      while (next < COMMANDS) {
        const id = `m${next++}`;
        try {
          await pool.exec(name, `echo ${id} >> ${file}`, { check: true });
          marks.push({ id, outcome: "ok" });
          const now = performance.now();
          longestGapMs = Math.max(
            longestGapMs,
            now - (lastOk.get(name) ?? now),
          );
          lastOk.set(name, now);
        } catch (error) {
          const ran = !(error instanceof SshError) || error.mayHaveRun;
          marks.push({ id, outcome: ran ? "may have run" : "not run", error });
          await pause(20);
        }
        // So that the walk has something to hit.
        await pause(STEPS === Infinity ? 5 : 60);
      }
    };
    const random = new Random(seed);
    const steps: string[] = [];
    let isOver = false;
    const walk = async () => {
      for (let step = 0; step < STEPS && !isOver; step++) {
        await pause(200 + random.below(STEPS === Infinity ? 3_000 : 300));
        const worker = workers[random.below(workers.length)]!;
        // The short run meets each kind once, the long one as they come.
        const kind = STEPS === Infinity ? random.below(4) : step;
        switch (kind) {
          case 0:
            steps.push("kill a worker");
            await worker.end("SIGKILL");
            await worker.begin();
            break;
          case 1:
            steps.push("kill the server");
            await server.kill();
            await pause(random.below(1_500));
            await server.begin();
            break;
          case 2:
            steps.push("freeze a worker");
            worker.signal("SIGSTOP");
            await pause(
              STEPS === Infinity ? 6_000 + random.below(6_000) : 5_000,
            );
            worker.signal("SIGCONT");
            break;
          case 3:
            steps.push("end a worker in order");
            await worker.end("SIGTERM");
            await worker.begin();
            break;
        }
      }
    };
    const walking = walk();
    await Promise.all(names.map(loop));
    isOver = true;
    await walking;
    // What a killed worker has left behind on the host.
    await pause(500);
    const found = new Map<string, number>();
    const text = await Deno.readTextFile(file);
    for (const id of text.trim().split("\n")) {
      found.set(id, (found.get(id) ?? 0) + 1);
    }
    const lies = marks.filter(({ id, outcome }) => {
      const count = found.get(id) ?? 0;
      if (outcome === "ok") return count !== 1;
      return outcome === "not run" ? count !== 0 : count > 1;
    });
    const hint = `${replay(seed)}, steps: ${steps.join(", ")}`;
    assertEquals(
      lies.map(({ id, outcome }) => [id, outcome, found.get(id)]),
      [],
      hint,
    );
    assertEquals(marks.length, COMMANDS, hint);
    const count = (outcome: Outcome) =>
      marks.filter((mark) => mark.outcome === outcome).length;
    assert(count("ok") > COMMANDS / 2, hint);
    if (STEPS === Infinity) {
      // deno-lint-ignore no-console -- what the long run has shown
      console.log({
        steps: steps.length,
        ok: count("ok"),
        notRun: count("not run"),
        mayHaveRun: count("may have run"),
        longestGapMs: Math.round(longestGapMs),
      });
    }
  },
);
