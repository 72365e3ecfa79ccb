// The marks test: each command appends its id to a file, over a real sshd and
// workers in processes of their own, while these and the server of the bus are
// killed and frozen, and links are cut, stalled and partitioned, by a seeded
// walk. Then the file is compared with what each call has said.
// `SSHPOOL_MARKS=10000` is the long run; `SSHPOOL_MARKS_SERVERS=3` has it over a
// cluster, and `SSHPOOL_MARKS_FAULT="freeze a worker"` meets that alone.

import { assert } from "@std/assert";
import { fleetPool } from "../../../pool/nats.ts";
import { FaultProxy } from "../../kit/fault_proxy.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { Random, replay, seed } from "../../kit/random.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { Ends, testNats } from "./_kit.ts";
import { Marks } from "../../kit/marks.ts";
import {
  hostNames,
  manyHosts,
  WorkerProcess,
  writeInventory,
} from "../../kit/nats_workers.ts";

/** Commands, at least; the walk goes on until there were so many. */
const COMMANDS = Number(Deno.env.get("SSHPOOL_MARKS") || 150);
const IS_LONG = COMMANDS >= 1_000;
/** Steps of the long walk, at least. */
const STEPS = COMMANDS / 100;
const SERVERS = Number(Deno.env.get("SSHPOOL_MARKS_SERVERS") || 1);
const FAULT = Deno.env.get("SSHPOOL_MARKS_FAULT") ?? "";
const HOSTS = hostNames(8);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A worker, its link to the bus, and its links to hosts. */
interface WorkerSite {
  readonly process: WorkerProcess;
  readonly bus: FaultProxy;
  readonly hosts: FaultProxy;
}

interface Site {
  readonly servers: readonly NatsServer[];
  readonly workers: readonly WorkerSite[];
  /** The link of the client to the bus. */
  readonly client: FaultProxy;
  readonly marks: Marks;
}

async function startSite(ends: Ends): Promise<Site> {
  const dispose = <T extends AsyncDisposable>(it: T): T =>
    ends.add(it, (it) => it[Symbol.asyncDispose]());
  const proxy = async (port: number) => dispose(await FaultProxy.start(port));
  const folder = async () =>
    ends.add(
      await Deno.makeTempDir(),
      (it) => Deno.remove(it, { recursive: true }),
    );
  const servers =
    (SERVERS === 1
      ? [await NatsServer.start({ jetStream: true })]
      : await NatsServer.startCluster(SERVERS, { jetStream: true })).map(
        dispose,
      );
  const [server] = servers as [NatsServer];
  // Those who are on a cluster hear of the others, and need no proxy's leave.
  const addresses = (first: FaultProxy) =>
    [first.port, ...servers.slice(1).map(({ port }) => port)]
      .map((port) => `127.0.0.1:${port}`);
  const sshd = dispose(await startSshd({ maxStartups: "100:30:200" }));
  const workers = await Promise.all(["w1", "w2"].map(async (id) => {
    const bus = await proxy(server.port);
    const hosts = await proxy(sshd.port);
    const inventory = await writeInventory(await folder(), {
      default: manyHosts(sshd, HOSTS, hosts.port),
    });
    const process = dispose(
      await WorkerProcess.start([
        ...["--servers", addresses(bus).join()],
        ...["--inventory", inventory, "--shards", String(SHARDS)],
        ...["--id", id, "--leases", "--replicas", String(SERVERS)],
      ]),
    );
    return { process, bus, hosts };
  }));
  const client = await proxy(server.port);
  const pool = ends.add(
    fleetPool(await server.connect({ servers: addresses(client) }), {
      dialTimeoutMs: 30_000,
    }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  // Its user is none of this process's.
  const open = await folder();
  await Deno.chmod(open, 0o777);
  const marks = new Marks({
    pool,
    hosts: HOSTS,
    file: `${open}/marks`,
    pauseMs: IS_LONG ? 100 : 30,
    seed,
  });
  return { servers, workers, client, marks };
}

type Fault = (site: Site, random: Random) => Promise<void>;

const pick = (
  { workers, client }: Site,
  random: Random,
  which: "client" | "worker" | "hosts",
): FaultProxy => {
  if (which === "client") return client;
  const { bus, hosts } = random.pick(workers);
  return which === "worker" ? bus : hosts;
};

/** How long a fault lasts: mostly short, and at times beyond every deadline. */
const lasting = (random: Random) =>
  IS_LONG ? random.below(random.chance(0.3) ? 12_000 : 3_000) : 300;

/** Each connection is reset. */
const cut = (which: Parameters<typeof pick>[2]): Fault => (site, random) => {
  pick(site, random, which).reset();
  return Promise.resolve();
};

/** Nothing passes, and nobody hears of it; then all of it comes. */
const stall = (which: Parameters<typeof pick>[2]): Fault =>
async (
  site,
  random,
) => {
  const link = pick(site, random, which);
  link.stall();
  await pause(lasting(random));
  link.resume();
};

/** Nothing passes any more, and what was on its way is lost. */
const part = (which: Parameters<typeof pick>[2]): Fault =>
async (
  site,
  random,
) => {
  const link = pick(site, random, which);
  if (random.chance(0.5)) {
    link.refuseNew = true;
    link.reset();
    await pause(lasting(random));
    link.refuseNew = false;
    return;
  }
  link.stall();
  await pause(lasting(random));
  link.reset();
  link.resume();
};

/** Cut in the middle of a message, or of a packet. */
const tear = (which: Parameters<typeof pick>[2]): Fault =>
async (
  site,
  random,
) => {
  const link = pick(site, random, which);
  const how = random.pick(["reset", "end", "freeze"] as const);
  for (const it of link.open) {
    it.cutAfter({
      direction: random.pick(["up", "down"]),
      bytes: random.below(3_000),
      how,
    });
  }
  await pause(lasting(random));
  // What was frozen ends here.
  link.reset();
};

const FAULTS: Readonly<Record<string, Fault>> = {
  async "kill a worker"({ workers }, random) {
    const { process } = random.pick(workers);
    await process.end("SIGKILL");
    await process.restart();
  },
  async "kill a server"({ servers }, random) {
    const server = random.pick(servers);
    await server.kill();
    await pause(random.below(1_500));
    await server.begin();
  },
  "cut the client's link": cut("client"),
  "cut a worker's link": cut("worker"),
  "cut a worker's hosts": cut("hosts"),
  "stall a worker's link": stall("worker"),
  async "freeze a worker"({ workers }, random) {
    const { process } = random.pick(workers);
    process.signal("SIGSTOP");
    await pause(6_000 + random.below(6_000));
    process.signal("SIGCONT");
  },
  async "freeze a server"({ servers }, random) {
    const server = random.pick(servers);
    server.signal("SIGSTOP");
    await pause(lasting(random));
    server.signal("SIGCONT");
  },
  async "end a worker in order"({ workers }, random) {
    const { process } = random.pick(workers);
    await process.end("SIGTERM");
    await process.restart();
  },
  "stall the client's link": stall("client"),
  "stall a worker's hosts": stall("hosts"),
  "part the client": part("client"),
  "part a worker": part("worker"),
  "part a worker from its hosts": part("hosts"),
  "tear the client's link": tear("client"),
  "tear a worker's link": tear("worker"),
  "tear a worker's hosts": tear("hosts"),
};

/** Faults of processes. */
const PROCESSES = /^(kill|freeze|end) /;

/** What the short walk meets, once each; the long one walks on by chance. */
const SHORT = 6;

interface Step {
  readonly name: string;
  readonly gapMs: number;
}

/** Two at a time, now and then; then all hosts have to come back. */
async function walk(site: Site, steps: Step[]): Promise<void> {
  const random = new Random(seed);
  const names = Object.keys(FAULTS).filter((it) => it.includes(FAULT));
  const isOver = () =>
    IS_LONG
      ? steps.length >= STEPS && site.marks.count >= COMMANDS
      : steps.length >= SHORT;
  while (!isOver()) {
    await pause(IS_LONG ? 200 + random.below(2_000) : 100);
    const chosen = IS_LONG
      ? Array.from(
        { length: FAULT === "" && random.chance(0.25) ? 2 : 1 },
        () => random.pick(names),
      )
      : [names[steps.length]!];
    const from = performance.now();
    // Of two that may kill the same process the second is left out.
    const faults = chosen.filter((it, index) =>
      index === 0 || !PROCESSES.test(it) || !PROCESSES.test(chosen[0]!)
    );
    const name = faults.join(" + ");
    steps.push({ name, gapMs: NaN });
    await Promise.all(faults.map((it) => FAULTS[it]!(site, random)));
    await site.marks.recovered();
    const gapMs = site.marks.longestGapMs(from, performance.now());
    steps[steps.length - 1] = { name, gapMs };
  }
}

/** What the long run has shown. */
function report({ marks }: Site, steps: readonly Step[]): void {
  const gaps = Map.groupBy(
    steps,
    ({ name }) => name.includes("+") ? "two at a time" : name,
  );
  const of = (it: readonly Step[]) => {
    const sorted = it.map(({ gapMs }) => Math.round(gapMs))
      .sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    return `${it.length} times, gap ${median} (median), ${sorted.at(-1)} ms`;
  };
  // deno-lint-ignore no-console -- it is asked for by a variable
  console.log({
    seed,
    servers: SERVERS,
    commands: marks.count,
    ok: marks.countOf("ok"),
    notRun: marks.countOf("not run"),
    mayHaveRun: marks.countOf("may have run"),
    errors: marks.errors(),
    steps: steps.length,
    longest: steps.toSorted((a, b) => b.gapMs - a.gapMs).slice(0, 8)
      .map(({ name, gapMs }) => `${Math.round(gapMs)} ms: ${name}`),
    ...Object.fromEntries([...gaps].map(([name, it]) => [name, of(it)])),
  });
}

testNats(
  "ok is one mark, not run is none, none is made twice, and no call hangs, whoever dies and whatever is cut",
  async () => {
    if (noSshd) return;
    await using ends = new Ends();
    const site = await startSite(ends);
    const { marks } = site;
    const steps: Step[] = [];
    marks.start();
    await marks.recovered();
    let failure: unknown;
    try {
      await walk(site, steps);
    } catch (error) {
      failure = error;
    }
    const hint = `${replay(seed)}, steps: ${
      steps.map(({ name }) => name).join(", ")
    }`;
    await marks.finish(failure === undefined ? COMMANDS : 0);
    if (failure !== undefined) throw new Error(`${failure}: ${hint}`);
    if (IS_LONG) report(site, steps);
    await marks.check(hint);
    assert(marks.countOf("ok") > marks.count / 2, hint);
  },
);
