/**
 * What a dial and a warm command cost in round trips, on a way of 50 ms in each
 * direction, where everything else hardly counts; and that on loopback, where a
 * session channel opened ahead of need gains nothing, the pool loses nothing.
 *
 * The column x is the number of round trips: its 1 is a byte of plain TCP, there
 * and back. The TCP handshake is not in a dial's figure: it is with the proxy
 * that makes the way long, at its near end.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import {
  type Connection,
  ConnectionPool,
  type Connector,
  Ssh2Connector,
} from "../mod.ts";
import { FarEcho, farSshd } from "./kit/far_away.ts";
import { dialsOf, poolOver } from "./kit/over_ssh.ts";
import { claim, ratio, reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import { bareHost, dialTuned, endBare, execBare } from "./kit/ssh2.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { once, timed } from "./kit/timing.ts";

reportOf(import.meta, "round trips");

const DELAY_MS = 50;
// As many as p95 needs.
const far = { ignore: noSshd, n: size(19, 2) };

/** Returns a round trip, which the rows of a group are told in. */
function roundTrip(group: string): string {
  return scenario({
    ...far,
    group,
    name: "one round trip of TCP",
    baseline: true,
    open: () => FarEcho.start(DELAY_MS),
    run: (echo) => echo.roundTrip(),
  });
}

const DIAL = `cold dial, ${2 * DELAY_MS} ms round trip${sshdHint}`;
const dialTrip = roundTrip(DIAL);

const dial = scenario({
  ...far,
  group: DIAL,
  name: "sshpool",
  fresh: true,
  async open() {
    const sshd = await farSshd(DELAY_MS);
    const pool = new ConnectionPool({ config: false });
    return {
      pool,
      host: sshd.host,
      async [Symbol.asyncDispose]() {
        await pool.close();
        await sshd[Symbol.asyncDispose]();
      },
    };
  },
  run: async ({ pool, host }) => void await pool.getConnection(host),
  check: ({ pool }) => assertEquals([pool.size, dialsOf({ pool })], [1, 1]),
  dials: dialsOf,
});

scenario({
  ...far,
  group: DIAL,
  name: "ssh2 with noDelay",
  fresh: true,
  async open() {
    const sshd = await farSshd(DELAY_MS);
    let end = () => Promise.resolve();
    return {
      host: bareHost(sshd.host),
      ended: (by: () => Promise<void>) => void (end = by),
      async [Symbol.asyncDispose]() {
        await end();
        await sshd[Symbol.asyncDispose]();
      },
    };
  },
  async run(fixture) {
    const client = await dialTuned(fixture.host);
    fixture.ended(() => endBare(client));
  },
});

const WARM = `warm exec("true"), ${2 * DELAY_MS} ms round trip${sshdHint}`;
const warmTrip = roundTrip(WARM);

/** Commands until the pool has seen that the connection is busy. */
const BUSY = 3;

const warm = scenario({
  ...far,
  group: WARM,
  name: "sshpool",
  n: size(50, 4),
  warmup: BUSY,
  async open() {
    const sshd = await farSshd(DELAY_MS);
    const pool = new ConnectionPool({ config: false });
    return {
      pool,
      host: sshd.host,
      async [Symbol.asyncDispose]() {
        await pool.close();
        await sshd[Symbol.asyncDispose]();
      },
    };
  },
  run: ({ pool, host }) => pool.exec(host, "true", { check: true }),
  check: ({ pool }) => assertEquals(dialsOf({ pool }), 1),
  dials: dialsOf,
});

scenario({
  ...far,
  group: WARM,
  name: "ssh2 with noDelay, on one Client",
  async open() {
    const sshd = await farSshd(DELAY_MS);
    const client = await dialTuned(bareHost(sshd.host));
    return {
      client,
      async [Symbol.asyncDispose]() {
        await endBare(client);
        await sshd[Symbol.asyncDispose]();
      },
    };
  },
  run: ({ client }) => execBare(client, "true"),
});

claim({
  text: "cold dial",
  actual: (rows) => ratio(rows, dial, dialTrip),
  atMost: 5.2,
  unit: "round trips",
});
claim({
  text: "warm exec",
  actual: (rows) => ratio(rows, warm, warmTrip),
  atMost: 1.15,
  unit: "round trips",
});

/** A connector whose connections have no spare channels. */
const withoutSpares: Connector = {
  async connect(host, options): Promise<Connection> {
    const connection = await new Ssh2Connector().connect(host, options);
    return Object.defineProperty(connection, "spares", { value: undefined });
  },
};

const NEAR = `warm exec("true") on loopback${sshdHint}`;
const NEAR_EXECS = size(1000, 20);

/**
 * One command by each way, in turns: what else the machine does in a second
 * weighs more than what is compared.
 */
const inTurns = once(async () => {
  const target = {
    label: "sshd",
    hint: sshdHint,
    host: async () => (await sharedSshd()).host(),
    accepted: () => Promise.resolve(0),
  };
  await using decides = await poolOver(target);
  await using never = await poolOver(target, { connector: withoutSpares });
  const ways = [decides, never].map((way) => ({ ...way, latencies: [0] }));
  for (let i = -size(100, BUSY); i < NEAR_EXECS; i++) {
    for (const { pool, host, latencies } of ways) {
      const run = () => pool.exec(host, "true", { check: true });
      latencies[Math.max(i, 0)] = await timed(run);
    }
  }
  for (const way of ways) assertEquals(dialsOf(way), 1);
  return ways.map(({ latencies }) => latencies);
});

const [decides, never] = ["as the pool decides", "never a spare channel"].map(
  (name, i) =>
    scenario({
      name,
      group: NEAR,
      baseline: i === 1,
      ignore: noSshd,
      n: 1,
      warmup: 0,
      hasRate: false,
      open: inTurns,
      run: (latencies) => latencies[i],
      check: (latencies) => assertEquals(latencies[i]?.length, NEAR_EXECS),
    }),
) as [string, string];

// Spares cannot make a command much faster on loopback. From its request to
// its CLOSE it takes 1.97 ms (p50 of 1,500), in which sshd forks and the shell
// starts and ends; to open the channel before takes 0.16 ms. So 7.5 % could be
// saved if a spare cost nothing, but the server opens it while the command
// runs, on the same two processors: with spares whatever the way, 1.57 ms
// against 1.60 ms without, and 1.61 against 1.64. So the pool opens none
// there, and what counts is that looking for it costs nothing.
claim({
  text: "warm exec on loopback, as the pool decides over never a spare channel",
  actual: (rows) => ratio(rows, decides, never),
  atMost: 1.05,
});
