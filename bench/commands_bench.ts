/**
 * Thousands of commands of hundreds of callers on one host, over an sshd at its
 * defaults (MaxSessions 10), against bare ssh2 tuned by hand.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ConnectionPool } from "../mod.ts";
import { dialsOf } from "./kit/over_ssh.ts";
import { claim, fact, factValue, reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import {
  type BareClient,
  bareHost,
  dialTuned,
  endBare,
  execPatiently,
} from "./kit/ssh2.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { formatCount } from "./report/table.ts";
import { Gate, share } from "./kit/timing.ts";

reportOf(import.meta, "thousands of commands on one host");

const COMMANDS = size(10_000, 300);
const CALLERS = size(500, 50);
const SETTINGS = [1, 4].map((clients) => ({ clients, channels: 8 }));

// No rehearsal of the full size: each run checks every result by itself.
const common = {
  ignore: noSshd,
  group: `${
    formatCount(COMMANDS)
  } commands of ${CALLERS} callers, each${sshdHint}`,
  n: 1,
  warmup: 0,
  fresh: true,
};

const byPool = scenario({
  ...common,
  name: "sshpool",
  baseline: true,
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
  run: ({ pool, host, results }) =>
    share(COMMANDS, CALLERS, async (i) => {
      results[i] = (await pool.exec(host, `echo ${i}`)).stdout;
    }),
  check({ pool, results }) {
    assertEchoes(results);
    assert(pool.size <= 4, `${pool.size} connections, at most 4 are allowed`);
  },
  dials: dialsOf,
});

const REFUSED = "channels that sshd refused bare ssh2, which were tried again";

const byHand = SETTINGS.map(({ clients: count, channels }) =>
  scenario({
    ...common,
    name: `ssh2 with noDelay, ${count} x ${channels} channels`,
    async open() {
      const host = bareHost((await sharedSshd()).host());
      const clients: BareClient[] = [];
      for (let i = 0; i < count; i++) clients.push(await dialTuned(host));
      return {
        clients,
        results: [] as string[],
        async [Symbol.asyncDispose]() {
          await Promise.all(clients.map(endBare));
        },
      };
    },
    run({ clients, results }) {
      const gate = new Gate(count * channels);
      // A client for each channel that is free, taken in turns.
      const free = Array.from({ length: channels }, () => clients).flat();
      return share(COMMANDS, CALLERS, (i) =>
        gate.run(async () => {
          const client = free.shift()!;
          results[i] = await execPatiently(client, `echo ${i}`, countRefusal);
          free.push(client);
        }));
    },
    check: ({ results }) => assertEchoes(results),
  })
);

// Both processors are busy, most of the time with what sshd and the shells do,
// so the ways differ by little: 0.97 to 1.22 in full runs of the same code.
claim({
  text: "commands on one host, sshpool's rate over the best setting of ssh2",
  actual(rows) {
    const rates = byHand.map((key) => rows.get(key)?.rate);
    const ours = rows.get(byPool)?.rate;
    return ours === undefined || rates.includes(undefined)
      ? undefined
      : ours / Math.max(...rates as number[]);
  },
  atLeast: 0.9,
});

function countRefusal(): void {
  fact(REFUSED, (factValue(REFUSED) ?? 0) + 1, "");
}

function assertEchoes(results: readonly string[]): void {
  assertEquals(results.length, COMMANDS);
  const wrong = results.findIndex((result, i) => result !== `${i}\n`);
  assertEquals(wrong, -1, `result ${wrong} is ${results[wrong]}`);
}
