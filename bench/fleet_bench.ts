/**
 * A thousand hosts at once, each dialled for one command, over an sshd at its
 * defaults (MaxStartups 10:30:100), against bare ssh2 tuned by hand; and the
 * same with hosts among them that never answer, or refuse.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ConnectionPool, DialError, type SshHost } from "../mod.ts";
import { blackHolePort, refusingPort } from "./kit/dead_hosts.ts";
import { type Memory, memory } from "./kit/memory.ts";
import { dialsOf } from "./kit/over_ssh.ts";
import {
  claim,
  fact,
  factValue,
  rateRatio,
  reportOf,
} from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import {
  type BareClient,
  type BareHost,
  bareHost,
  dialTuned,
  endBare,
  execBare,
} from "./kit/ssh2.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { formatCount } from "./report/table.ts";
import { Gate, timed, together } from "./kit/timing.ts";

reportOf(import.meta, "a thousand hosts at once");

const HOSTS = size(1000, 100);
/** All of 127.0.0.0/8 reaches the one sshd. */
const addressOf = (i: number) =>
  `127.0.${1 + Math.floor(i / 250)}.${1 + i % 250}`;
const everywhere = () => sharedSshd({ listen: "0.0.0.0" });

const common = {
  ignore: noSshd,
  group: `${formatCount(HOSTS)} hosts cold, a command each${sshdHint}`,
  // No rehearsal of the full size: each run checks every result by itself.
  n: 1,
  warmup: 0,
  fresh: true,
};

const IN_USE = "memory in use per connection, sshpool";
/** With the garbage of the dials, which V8 gives back when it likes. */
const RSS = "growth of RSS per connection, sshpool";

/** Later runs reuse memory that earlier ones took: the first one tells. */
function tellMemory(before: Memory, { rss, inUse }: Memory): void {
  const tell = (text: string, bytes: number) => {
    if (factValue(text) === undefined && !Number.isNaN(bytes)) {
      fact(text, bytes / HOSTS / 1024, "KiB");
    }
  };
  tell(IN_USE, inUse - before.inUse);
  tell(RSS, rss - before.rss);
}

const byPool = scenario({
  ...common,
  name: "sshpool",
  baseline: true,
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
      before: memory(),
      [Symbol.asyncDispose]: () => pool.close(),
    };
  },
  run: ({ pool, sshd, results }) =>
    together(HOSTS, async (i) => {
      const host = sshd.host({ hostname: addressOf(i) });
      results[i] = (await pool.exec(host, `echo ${i}`)).stdout;
    }),
  check({ pool, results, before }) {
    tellMemory(before, memory());
    assertEchoes(results);
    assertEquals(pool.size, HOSTS + 1);
  },
  dials: dialsOf,
});

const byHand = scenario({
  ...common,
  name: "ssh2 with noDelay, 8 dials in flight",
  async open() {
    const clients: BareClient[] = [];
    return {
      sshd: await everywhere(),
      clients,
      results: [] as string[],
      async [Symbol.asyncDispose]() {
        await Promise.all(clients.map(endBare));
      },
    };
  },
  run({ sshd, clients, results }) {
    const gate = new Gate(8);
    return together(HOSTS, async (i) => {
      const host = bareHost(sshd.host({ hostname: addressOf(i) }));
      const client = await gate.run(() => dialPatiently(host));
      clients.push(client);
      results[i] = await execBare(client, `echo ${i}`);
    });
  },
  check: ({ results }) => assertEchoes(results),
});

claim({
  text: "hosts cold, sshpool's rate over that of ssh2 with 8 dials in flight",
  actual: (rows) => rateRatio(rows, byPool, byHand),
  atLeast: 0.8,
});
claim({
  text: IN_USE,
  actual: (rows) =>
    rows.has(byPool) && HOSTS >= 1000 ? factValue(IN_USE) : undefined,
  atMost: 64,
  unit: "KiB",
});

const DROPPED = "dials that sshd dropped on bare ssh2, which were tried again";

/** Dials, again if sshd drops the dial: with 8 in flight it hardly does. */
async function dialPatiently(host: BareHost): Promise<BareClient> {
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

function assertEchoes(results: readonly string[]): void {
  assertEquals(results.length, HOSTS);
  const wrong = results.findIndex((result, i) => result !== `${i}\n`);
  assertEquals(wrong, -1, `result ${wrong} is ${results[wrong]}`);
}

// One in fifty never answers, one in fifty refuses.
const DEAD = HOSTS / 50;
const DIAL_TIMEOUT_MS = 5000;
/** A dial may wait for its turn before its time begins to run. */
const DEADLINE_MS = DIAL_TIMEOUT_MS + 5000;

const right: number[] = [];

scenario({
  ...common,
  group:
    `fanOut over ${
      formatCount(HOSTS)
    } hosts, of which ${DEAD} never answer and ` +
    `${DEAD} refuse${sshdHint}`,
  name: "sshpool",
  async open() {
    const [sshd, blackHole] = [await everywhere(), await blackHolePort()];
    const pool = new ConnectionPool({
      config: false,
      maxConnections: HOSTS,
      dialTimeoutMs: DIAL_TIMEOUT_MS,
    });
    const ports = [blackHole.port, refusingPort().port];
    const hosts = Array.from({ length: HOSTS }, (_, i): SshHost => {
      const hostname = addressOf(i);
      const port = ports[i % 50];
      return sshd.host(port === undefined ? { hostname } : { hostname, port });
    });
    return {
      pool,
      hosts,
      failures: [] as { error: unknown; tookMs: number }[],
      async [Symbol.asyncDispose]() {
        await pool.close();
        blackHole[Symbol.dispose]();
      },
    };
  },
  async run({ pool, hosts, failures }) {
    right.length = 0;
    const begun = new Map<unknown, number>();
    const results = pool.fanOut(hosts, (host, signal) => {
      begun.set(host, performance.now());
      return timed(async () => {
        const { hostname } = host as SshHost;
        const { stdout } = await pool.exec(host, ["echo", hostname], {
          signal,
        });
        assertEquals(stdout, `${hostname}\n`);
      });
    });
    for await (const result of results) {
      if (result.ok) right.push(result.value);
      else {
        const tookMs = performance.now() - begun.get(result.host)!;
        failures.push({ error: result.error, tookMs });
      }
    }
    return right;
  },
  check({ failures }) {
    assertEquals([right.length, failures.length], [HOSTS - 2 * DEAD, 2 * DEAD]);
    for (const { error, tookMs } of failures) {
      assert(error instanceof DialError, String(error));
      assert(
        error.phase === "tcp" || error.phase === "timeout",
        `phase is ${error.phase}`,
      );
      assert(tookMs <= DEADLINE_MS, `an error came after ${tookMs} ms`);
    }
    const slowest = Math.max(...failures.map(({ tookMs }) => tookMs));
    fact("fanOut, right answers", right.length, `of ${HOSTS}`);
    fact("fanOut, typed errors", failures.length, `of ${HOSTS}`);
    fact("fanOut, slowest error", slowest / 1000, "s");
    fact("fanOut, dialTimeoutMs", DIAL_TIMEOUT_MS / 1000, "s");
  },
  dials: dialsOf,
});
