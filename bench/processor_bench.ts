/**
 * What commands cost the processors of this process, and not how long they
 * take: on a busy machine the first says more of the code. Over ssh2 and over
 * the machine's own `ssh`, beside bare ssh2, in turns.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import process from "node:process";
import { ConnectionPool } from "../mod.ts";
import { scenario, size } from "./kit/scenario.ts";
import { bareHost, dialTuned, endBare, execPatiently } from "./kit/ssh2.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { Gate, once, share } from "./kit/timing.ts";
import { claim, ratio, reportOf } from "./report/report.ts";

reportOf(import.meta, "processor time of commands");

const ROUNDS = size(9, 2);
const COMMANDS = size(300, 50);
const CALLERS = 50;
/** As many connections as a pool has to one host, with as many channels. */
const [CLIENTS, CHANNELS] = [4, 8];

/** Runs commands, and ends what they ran on. */
interface Way extends AsyncDisposable {
  readonly exec: (command: string) => Promise<string>;
}

async function byPool(transport: string): Promise<Way> {
  const pool = new ConnectionPool({ config: false });
  const host = (await sharedSshd()).host({ transport });
  return {
    exec: async (command) => (await pool.exec(host, command)).stdout,
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

async function byHand(): Promise<Way> {
  const host = bareHost((await sharedSshd()).host());
  const dials = Array.from({ length: CLIENTS }, () => dialTuned(host));
  const clients = await Promise.all(dials);
  const free = Array.from({ length: CHANNELS }, () => clients).flat();
  const gate = new Gate(free.length);
  return {
    exec: (command) =>
      gate.run(async () => {
        const client = free.shift()!;
        try {
          return await execPatiently(client, command, () => {});
        } finally {
          free.push(client);
        }
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map(endBare));
    },
  };
}

const WAYS: Record<string, () => Promise<Way>> = {
  "sshpool over ssh2": () => byPool("ssh2"),
  "sshpool over openssh": () => byPool("openssh"),
  "ssh2 with noDelay": byHand,
};

/** Processor time of one command in each round, in milliseconds, by way. */
const inTurns = once(async () => {
  await using ends = new AsyncDisposableStack();
  const ways: { exec: Way["exec"]; costs: number[] }[] = [];
  for (const open of Object.values(WAYS)) {
    const { exec } = ends.use(await open());
    ways.push({ exec, costs: [] });
  }
  for (let round = -1; round < ROUNDS; round++) {
    for (const { exec, costs } of ways) {
      const before = process.cpuUsage();
      await share(COMMANDS, CALLERS, async (i) => {
        assertEquals(await exec(`echo ${i}`), `${i}\n`);
      });
      const { user, system } = process.cpuUsage(before);
      // The first round opens the connections.
      if (round >= 0) costs.push((user + system) / 1000 / COMMANDS);
    }
  }
  return ways.map(({ costs }) => costs);
});

const [overSsh2, overOpenSsh, bare] = Object.keys(WAYS).map((name, i) =>
  scenario({
    name,
    group: `processor time of a command, ${CALLERS} callers${sshdHint}`,
    baseline: i === 0,
    ignore: noSshd,
    n: 1,
    warmup: 0,
    hasRate: false,
    open: inTurns,
    run: (costs) => costs[i],
    check: (costs) => assertEquals(costs[i]?.length, ROUNDS),
  })
) as [string, string, string];

claim({
  text: "processor time of a command over ssh2, sshpool's over bare ssh2's",
  actual: (rows) => ratio(rows, overSsh2, bare),
  atMost: 0.9,
});
claim({
  text: "processor time of a command over openssh, over that over ssh2",
  actual: (rows) => ratio(rows, overOpenSsh, overSsh2),
  atMost: 1.25,
});
