/**
 * A real sshd: dial, warm commands, a burst and bulk output, against bare ssh2
 * and against `ssh` over a ControlMaster socket.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { ControlMaster } from "./kit/openssh.ts";
import {
  clientOver,
  dialsOf,
  poolOver,
  scenariosOver,
  type Target,
} from "./kit/over_ssh.ts";
import { claim, ratio, reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import {
  bareHost,
  dialThrough,
  dialTuned,
  drainBare,
  endBare,
  execBare,
} from "./kit/ssh2.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";

reportOf(import.meta, "a real sshd");

const target: Target = {
  label: "sshd",
  hint: sshdHint,
  host: async () => (await sharedSshd()).host(),
  accepted: async () => (await sharedSshd()).acceptedConnections(),
};

const names = scenariosOver(target, {
  dials: size(100, 3),
  bareDials: size(20, 2),
  execs: size(300, 10),
  bareExecs: size(50, 5),
  bursts: size(10, 1),
});

const master = scenario({
  name: "ssh over a ControlMaster socket",
  group: names.warmGroup,
  ignore: noSshd,
  n: size(100, 5),
  warmup: size(5, 1),
  async open() {
    const master = await ControlMaster.open(await sharedSshd());
    assertEquals(await master.exec("echo right"), "right\n");
    return master;
  },
  run: async (master) => void await master.exec("true"),
});

const BYTES = size(200_000_000, 5_000_000);
const COMMAND = `head -c ${BYTES} /dev/zero`;
const bulk = {
  ignore: noSshd,
  group: `sshd: ${BYTES / 1e6} MB of output${sshdHint}`,
  n: size(5, 1),
  bytes: BYTES,
};

const bulkPool = scenario({
  ...bulk,
  name: "sshpool, collected by exec",
  baseline: true,
  open: async () => ({ ...await poolOver(target), bytes: 0 }),
  async run(fixture) {
    const { stdout } = await fixture.pool.exec(fixture.host, COMMAND, {
      encoding: "bytes",
      maxOutputBytes: BYTES,
    });
    fixture.bytes = stdout.length;
  },
  check: ({ bytes }) => assertEquals(bytes, BYTES),
  dials: dialsOf,
});

const bulkBare = scenario({
  ...bulk,
  name: "ssh2, collected likewise",
  open: async () => ({ ...await clientOver(target), bytes: 0 }),
  async run(fixture) {
    fixture.bytes = await drainBare(fixture.client, COMMAND);
  },
  check: ({ bytes }) => assertEquals(bytes, BYTES),
});

const jump = {
  ignore: noSshd,
  group: `sshd: warm exec("true") behind a jump host${sshdHint}`,
  n: size(100, 5),
  warmup: size(10, 1),
};

const jumpPool = scenario({
  ...jump,
  name: "sshpool",
  baseline: true,
  async open() {
    const { pool, host, ...rest } = await poolOver(target);
    // The same server by another name: no way leads through itself.
    const behind = { ...host, jump: { ...host, hostname: "localhost" } };
    await pool.exec(behind, "true", { check: true });
    return { ...rest, pool, behind };
  },
  run: async ({ pool, behind }) =>
    void await pool.exec(behind, "true", { check: true }),
});

const jumpBare = scenario({
  ...jump,
  name: "ssh2 with noDelay",
  async open() {
    const host = bareHost((await sharedSshd()).host());
    const hop = await dialTuned(host);
    const client = await dialThrough(hop, host);
    return {
      client,
      async [Symbol.asyncDispose]() {
        await endBare(client);
        await endBare(hop);
      },
    };
  },
  run: async ({ client }) => void await execBare(client, "true"),
});

claim({
  text: "behind a jump host, the time of ssh2 with noDelay over sshpool's",
  actual: (rows) => ratio(rows, jumpBare, jumpPool),
  atLeast: 5,
});
claim({
  text: "warm exec, the time of ssh2 as in its README over sshpool's",
  actual: (rows) => ratio(rows, names.warmBare, names.warm),
  atLeast: 10,
});
claim({
  text: "warm exec, the time of ssh2 with noDelay over sshpool's",
  actual: (rows) => ratio(rows, names.warmTuned, names.warm),
  atLeast: 1,
});
claim({
  text: "warm exec, the time of ssh over ControlMaster over sshpool's",
  actual: (rows) => ratio(rows, master, names.warm),
  atLeast: 1,
});
claim({
  text:
    "100 callers on a cold host, the time of ssh2 with noDelay over sshpool's",
  actual: (rows) => ratio(rows, names.burstTuned, names.burst),
  atLeast: 1,
});
claim({
  text: "bulk output, ssh2's time over sshpool's",
  actual: (rows) => ratio(rows, bulkBare, bulkPool),
  atLeast: 1.8,
});
