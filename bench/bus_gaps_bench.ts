/**
 * How long hosts are out of reach when a part of a fleet breaks: a worker is
 * killed, a worker is frozen, and the server of the bus is killed and comes
 * back. Workers are processes of their own, hosts are a real sshd.
 *
 * A sample is the longest time from one success on a host to the next one, of
 * all hosts. What the commands have said is compared with what they have done,
 * too: they are those of the marks test.
 *
 * @module
 */

import { fleetPool } from "../pool/nats.ts";
import { Marks } from "../tests/kit/marks.ts";
import { NatsServer, SHARDS } from "../tests/kit/nats.ts";
import {
  hostNames,
  manyHosts,
  WorkerProcess,
  writeInventory,
} from "../tests/kit/nats_workers.ts";
import { seed } from "../tests/kit/random.ts";
import { natsHint, noNats } from "./kit/bus.ts";
import { scenario, size } from "./kit/scenario.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { claim, reportOf } from "./report/report.ts";

reportOf(import.meta, "a fleet of which a part breaks");

const HOSTS = hostNames(8);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Fleet extends AsyncDisposable {
  readonly server: NatsServer;
  /** The worker that is hit. */
  readonly worker: WorkerProcess;
  readonly marks: Marks;
}

/** Two workers with leases, and a client that runs commands all the time. */
async function openFleet(): Promise<Fleet> {
  await using ends = new AsyncDisposableStack();
  const folder = async () => {
    const path = await Deno.makeTempDir();
    ends.defer(() => Deno.remove(path, { recursive: true }));
    return path;
  };
  const server = ends.use(await NatsServer.start({ jetStream: true }));
  const inventory = await writeInventory(await folder(), {
    default: manyHosts(await sharedSshd(), HOSTS),
  });
  const start = async (id: string) =>
    ends.use(
      await WorkerProcess.start([
        ...["--servers", `127.0.0.1:${server.port}`, "--id", id, "--leases"],
        ...["--inventory", inventory, "--shards", String(SHARDS)],
      ]),
    );
  const [worker] = await Promise.all([start("w1"), start("w2")]);
  const pool = ends.adopt(
    fleetPool(await server.connect(), { dialTimeoutMs: 30_000 }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  // The user of the hosts may be another one than that of this process.
  const open = await folder();
  await Deno.chmod(open, 0o777);
  const file = `${open}/marks`;
  const marks = new Marks({ pool, hosts: HOSTS, file, pauseMs: 50, seed });
  marks.start();
  await marks.recovered();
  const all = ends.move();
  return {
    server,
    worker: worker!,
    marks,
    async [Symbol.asyncDispose]() {
      await using _all = all;
      await marks.finish(0);
      await marks.check("the seed is fixed, the times are not");
    },
  };
}

/** Breaks something, which lasts, and then makes it whole. */
type Fault = (fleet: Fleet) => Promise<void>;

function gaps(name: string, fault: Fault): string {
  return scenario({
    group: `the longest time without a success on a host${sshdHint}${natsHint}`,
    name,
    ignore: noSshd || noNats,
    n: size(5, 1),
    warmup: 0,
    hasRate: false,
    open: openFleet,
    async run(fleet) {
      const { marks } = fleet;
      const from = performance.now();
      await fault(fleet);
      await marks.recovered();
      return [marks.longestGapMs(from, performance.now())];
    },
    // Its shards come back to the one that was hit.
    check: ({ marks }) => pause(size(3_000, 0)).then(() => marks.recovered()),
  });
}

const killed = gaps("a worker is killed", async ({ worker, marks }) => {
  await worker.end("SIGKILL");
  await marks.recovered();
  await worker.restart();
});
const frozen = gaps("a worker is frozen for 10 s", async ({ worker }) => {
  worker.signal("SIGSTOP");
  await pause(10_000);
  worker.signal("SIGCONT");
});
const server = gaps("the bus is killed, and back after 2 s", async (fleet) => {
  await fleet.server.kill();
  await pause(2_000);
  await fleet.server.begin();
});

const LIMITS = [
  ["a killed worker", killed, 3_000],
  ["a frozen worker", frozen, 7_000],
  ["a killed server of the bus", server, 5_000],
] as const;

for (const [what, key, atMost] of LIMITS) {
  claim({
    text: `the longest time without a success on a host, of all runs: ${what}`,
    actual: (rows) => rows.get(key)?.max,
    atMost,
    unit: "ms",
  });
}
