/**
 * Thousands of commands on one host, and a thousand hosts at once, over an
 * sshd at its defaults (MaxSessions 10, MaxStartups 10:30:100), against bare
 * ssh2 tuned by hand.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ConnectionPool } from "../mod.ts";
import { claim, fact, factValue, ratio, reportOf } from "./_report.ts";
import { scenario, size } from "./_scenario.ts";
import {
  type BareClient,
  type BareHost,
  bareHost,
  dialTuned,
  endBare,
  execBare,
} from "./_ssh2.ts";
import { noSshd, sharedSshd, sshdHint } from "./_sshd.ts";

reportOf(import.meta);

// No rehearsal of the full size: each run checks every result by itself.
const common = { ignore: noSshd, n: 1, warmup: 0, fresh: true };
const named = (name: string) => name + sshdHint;
const dialsOf = ({ pool }: { pool: ConnectionPool }) =>
  pool.stats().counters.dials;

// Many hosts come first: memory is best measured in a process that is young,
// and what has no group runs before what has one.
const HOSTS = size(1000, 30);
const HOSTS_POOL = named(`${HOSTS} hosts cold, a command each, sshpool`);
const HOSTS_BARE = named(
  `${HOSTS} hosts cold, a command each, ssh2 with 8 dials in flight`,
);
const RSS = "RSS per connection, sshpool";

/** All of 127.0.0.0/8 reaches the one sshd. */
const addresses = Array.from(
  { length: HOSTS },
  (_, i) => `127.0.${1 + Math.floor(i / 250)}.${1 + i % 250}`,
);
const everywhere = () => sharedSshd({ listen: "0.0.0.0" });

scenario({
  ...common,
  name: HOSTS_POOL,
  callers: HOSTS,
  async open() {
    const sshd = await everywhere();
    const pool = new ConnectionPool({
      config: false,
      maxConnections: HOSTS + 1,
      // All call at once: the last one waits for all the dials before it.
      acquireTimeoutMs: 300_000,
      dialTimeoutMs: 300_000,
    });
    // The first connection brings in code and buffers that all share.
    await pool.exec(sshd.host({ hostname: "127.0.255.1" }), "true");
    return {
      pool,
      sshd,
      results: [] as string[],
      rssBefore: Deno.memoryUsage().rss,
      rssAfter: 0,
      [Symbol.asyncDispose]: () => pool.close(),
    };
  },
  async run(fixture) {
    const { pool, sshd } = fixture;
    const results = await Promise.all(
      addresses.map((hostname, i) =>
        pool.exec(sshd.host({ hostname }), `echo ${i}`)
      ),
    );
    fixture.rssAfter = Deno.memoryUsage().rss;
    fixture.results = results.map((result) => result.stdout);
  },
  check({ pool, results, rssBefore, rssAfter }) {
    assertEchoes(results, HOSTS);
    assertEquals(pool.size, HOSTS + 1);
    firstFact(RSS, (rssAfter - rssBefore) / HOSTS / 1024, "KiB");
  },
  dials: dialsOf,
});

scenario({
  ...common,
  name: HOSTS_BARE,
  callers: HOSTS,
  async open() {
    return {
      sshd: await everywhere(),
      ...bareFleet(),
      results: [] as string[],
    };
  },
  async run(fixture) {
    const { sshd, clients } = fixture;
    const results: Promise<string>[] = [];
    let next = 0;
    // A worker has the next dial in flight while commands run on the last.
    const work = async () => {
      while (next < HOSTS) {
        const i = next++;
        const host = bareHost(sshd.host({ hostname: addresses[i]! }));
        const client = await patientDial(host);
        clients.push(client);
        results[i] = execBare(client, `echo ${i}`);
      }
    };
    await Promise.all(Array.from({ length: 8 }, work));
    fixture.results = await Promise.all(results);
  },
  check: ({ results }) => assertEchoes(results, HOSTS),
});

claim({
  text: "hosts cold, sshpool's time over that of ssh2 with 8 dials in flight",
  actual: (rows) => ratio(rows, HOSTS_POOL, HOSTS_BARE),
  atMost: 1.25,
});

// Many commands on one host.
const COMMANDS = size(10_000, 200);
const CALLERS = size(500, 50);
const COMMANDS_POOL = named(
  `${COMMANDS} commands of ${CALLERS} callers on one host, sshpool`,
);
const SETTINGS = [1, 2, 4].flatMap((clients) =>
  [4, 8].map((channels) => ({ clients, channels }))
);
// What counts of a rival is its rate: a part of the commands shows that too.
const COMMANDS_BARE = size(2500, 100);
const bareName = (
  { clients, channels }: { clients: number; channels: number },
) =>
  named(`${COMMANDS_BARE} commands, ssh2, ${clients} x ${channels} channels`);

scenario({
  ...common,
  group: "fleet: commands",
  name: COMMANDS_POOL,
  callers: COMMANDS,
  async open() {
    const sshd = await sharedSshd();
    const pool = new ConnectionPool({ config: false });
    return {
      pool,
      host: sshd.host(),
      results: [] as string[],
      [Symbol.asyncDispose]: () => pool.close(),
    };
  },
  async run(fixture) {
    const { pool, host } = fixture;
    fixture.results = await share(
      COMMANDS,
      CALLERS,
      async (i) => (await pool.exec(host, `echo ${i}`)).stdout,
    );
  },
  check({ pool, results }) {
    assertEchoes(results, COMMANDS);
    assert(pool.size <= 4, `${pool.size} connections, at most 4 are allowed`);
  },
  dials: dialsOf,
});

for (const setting of SETTINGS) {
  scenario({
    ...common,
    group: "fleet: commands",
    name: bareName(setting),
    callers: COMMANDS_BARE,
    async open() {
      const host = bareHost((await sharedSshd()).host());
      const fleet = bareFleet();
      for (let i = 0; i < setting.clients; i++) {
        fleet.clients.push(await dialTuned(host));
      }
      return { ...fleet, results: [] as string[] };
    },
    async run(fixture) {
      const { clients } = fixture;
      fixture.results = await share(
        COMMANDS_BARE,
        setting.clients * setting.channels,
        (i, worker) => patient(clients[worker % clients.length]!, `echo ${i}`),
      );
    },
    check: ({ results }) => assertEchoes(results, COMMANDS_BARE),
  });
}

claim({
  text: "commands on one host, sshpool's rate over the best setting of ssh2",
  actual(rows) {
    const rates = SETTINGS.map((s) => rows.get(bareName(s))?.throughput);
    const ours = rows.get(COMMANDS_POOL)?.throughput;
    return ours === undefined || rates.includes(undefined)
      ? undefined
      : ours / Math.max(...rates as number[]);
  },
  atLeast: 1,
});

/** Does `count` things with so many workers, each of which takes the next. */
async function share(
  count: number,
  workers: number,
  work: (i: number, worker: number) => Promise<string>,
): Promise<string[]> {
  const results: string[] = [];
  let next = 0;
  const loop = async (_: unknown, worker: number) => {
    while (next < count) {
      const i = next++;
      results[i] = await work(i, worker);
    }
  };
  await Promise.all(Array.from({ length: workers }, loop));
  return results;
}

const REFUSED = "channels that sshd refused bare ssh2, which were tried again";

/**
 * Runs a command, again if sshd refuses the channel: it counts a session until
 * it has reaped it, so that even a fixed 8 of 10 now and then is too many.
 */
async function patient(client: BareClient, command: string): Promise<string> {
  for (;;) {
    try {
      return await execBare(client, command);
    } catch (error) {
      if (!(error instanceof Error && /open failed/.test(error.message))) {
        throw error;
      }
      fact(REFUSED, (factValue(REFUSED) ?? 0) + 1, "");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

const DROPPED = "dials that sshd dropped on bare ssh2, which were tried again";

/** Dials, again if sshd drops the dial: with 8 in flight it hardly does. */
async function patientDial(host: BareHost): Promise<BareClient> {
  for (let attempt = 1;; attempt++) {
    try {
      return await dialTuned(host);
    } catch (error) {
      if (attempt === 100) throw error;
      fact(DROPPED, (factValue(DROPPED) ?? 0) + 1, "");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

function bareFleet() {
  const clients: BareClient[] = [];
  return {
    clients,
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map(endBare));
    },
  };
}

function assertEchoes(results: readonly string[], count: number): void {
  assertEquals(results.length, count);
  const wrong = results.findIndex((result, i) => result !== `${i}\n`);
  assertEquals(wrong, -1, `result ${wrong} is ${results[wrong]}`);
}

const stated = new Set<string>();

/** Later runs reuse memory that earlier ones took: the first one tells. */
function firstFact(text: string, value: number, unit: string): void {
  if (!stated.has(text)) fact(text, value, unit);
  stated.add(text);
}

claim({
  text: RSS,
  actual: (rows) =>
    rows.has(HOSTS_POOL) && HOSTS >= 1000 ? factValue(RSS) : undefined,
  atMost: 64,
  unit: "KiB",
});
