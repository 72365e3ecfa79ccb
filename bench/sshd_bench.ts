/**
 * A real sshd: dial, warm commands, a burst and bulk output, against bare ssh2
 * and against `ssh` over a ControlMaster socket.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ConnectionPool } from "../mod.ts";
import { ControlMaster } from "./_openssh.ts";
import { claim, ratio, reportOf } from "./_report.ts";
import { scenario, size } from "./_scenario.ts";
import { dialBare, drainBare, endBare, execBare } from "./_ssh2.ts";
import { bareHost, noSshd, sharedSshd, sshdHint } from "./_sshd.ts";

reportOf(import.meta);

const common = { ignore: noSshd };
const named = (name: string) => name + sshdHint;

/** A pool, and the sshd that it leads to. */
async function poolOverSshd(options = {}) {
  const sshd = await sharedSshd();
  const pool = new ConnectionPool({ config: false, ...options });
  return {
    pool,
    sshd,
    host: sshd.host(),
    acceptedBefore: await sshd.acceptedConnections(),
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

const dialsOf = ({ pool }: { pool: ConnectionPool }) =>
  pool.stats().counters.dials;

const DIAL = named("cold dial, sshpool");
const DIAL_BARE = named("cold dial, ssh2");

scenario({
  ...common,
  name: DIAL,
  group: "sshd: cold dial",
  baseline: true,
  n: size(30, 3),
  fresh: true,
  open: poolOverSshd,
  run: async ({ pool, host }) => void await pool.getConnection(host),
  check: ({ pool }) => assertEquals(pool.size, 1),
  dials: dialsOf,
});

scenario({
  ...common,
  name: DIAL_BARE,
  group: "sshd: cold dial",
  n: size(30, 3),
  fresh: true,
  open: async () => ({
    host: bareHost(await sharedSshd()),
    end: () => Promise.resolve(),
    [Symbol.asyncDispose]() {
      return this.end();
    },
  }),
  async run(fixture) {
    const client = await dialBare(fixture.host);
    fixture.end = () => endBare(client);
  },
});

const WARM = named('warm exec("true"), sshpool');
const WARM_BARE = named('warm exec("true"), ssh2 on one Client');
const WARM_MASTER = named('warm exec("true"), ssh over ControlMaster');
const warm = { ...common, group: "sshd: warm exec" };

scenario({
  ...warm,
  name: WARM,
  baseline: true,
  n: size(300, 10),
  warmup: size(50, 5),
  async open() {
    const fixture = await poolOverSshd();
    const { stdout } = await fixture.pool.exec(fixture.host, "echo right");
    assertEquals(stdout, "right\n");
    return { ...fixture, success: false };
  },
  async run(fixture) {
    const { success } = await fixture.pool.exec(fixture.host, "true");
    fixture.success = success;
  },
  check({ success, pool }) {
    assert(success);
    assertEquals(dialsOf({ pool }), 1);
  },
  dials: dialsOf,
});

scenario({
  ...warm,
  name: WARM_BARE,
  n: size(60, 5),
  warmup: size(5, 1),
  async open() {
    const client = await dialBare(bareHost(await sharedSshd()));
    assertEquals(await execBare(client, "echo right"), "right\n");
    return { client, [Symbol.asyncDispose]: () => endBare(client) };
  },
  run: async ({ client }) => void await execBare(client, "true"),
});

scenario({
  ...warm,
  name: WARM_MASTER,
  n: size(100, 5),
  warmup: size(5, 1),
  async open() {
    const master = await ControlMaster.open(await sharedSshd());
    assertEquals(await master.exec("echo right"), "right\n");
    return master;
  },
  run: async (master) => void await master.exec("true"),
});

claim({
  text: "warm exec, ssh2 over sshpool",
  actual: (rows) => ratio(rows, WARM_BARE, WARM),
  atLeast: 10,
});
claim({
  text: "warm exec, ssh over ControlMaster over sshpool",
  actual: (rows) => ratio(rows, WARM_MASTER, WARM),
  atLeast: 1,
});

scenario({
  ...common,
  name: named("100 callers, cold, one connection allowed, all"),
  n: size(10, 2),
  callers: 100,
  fresh: true,
  async open() {
    const fixture = await poolOverSshd({ maxConnectionsPerHost: 1 });
    return { ...fixture, results: [] as string[] };
  },
  async run(fixture) {
    const results = Array.from(
      { length: 100 },
      (_, i) => fixture.pool.exec(fixture.host, `echo ${i}`),
    );
    fixture.results = (await Promise.all(results)).map((r) => r.stdout);
  },
  async check({ sshd, results, acceptedBefore }) {
    assertEquals(results, Array.from(results, (_, i) => `${i}\n`));
    assertEquals(results.length, 100);
    assertEquals(await sshd.acceptedConnections() - acceptedBefore, 1);
  },
  dials: dialsOf,
});

const BYTES = size(200_000_000, 5_000_000);
const BULK_COMMAND = `head -c ${BYTES} /dev/zero`;
const BULK = named(`exec with ${BYTES / 1e6} MB of output, sshpool`);
const BULK_BARE = named(`exec with ${BYTES / 1e6} MB of output, ssh2`);
const bulk = { ...common, group: "sshd: bulk output", n: size(3, 1) };

scenario({
  ...bulk,
  name: BULK,
  baseline: true,
  open: async () => ({ ...await poolOverSshd(), bytes: 0 }),
  async run(fixture) {
    const { stdout } = await fixture.pool.exec(fixture.host, BULK_COMMAND, {
      encoding: "bytes",
    });
    fixture.bytes = stdout.length;
  },
  check: ({ bytes }) => assertEquals(bytes, BYTES),
  dials: dialsOf,
});

scenario({
  ...bulk,
  name: BULK_BARE,
  async open() {
    const client = await dialBare(bareHost(await sharedSshd()));
    return { client, bytes: 0, [Symbol.asyncDispose]: () => endBare(client) };
  },
  async run(fixture) {
    fixture.bytes = await drainBare(fixture.client, BULK_COMMAND);
  },
  check: ({ bytes }) => assertEquals(bytes, BYTES),
});

claim({
  text: "bulk output, ssh2 over sshpool",
  actual: (rows) => ratio(rows, BULK_BARE, BULK),
  atLeast: 1.8,
});
