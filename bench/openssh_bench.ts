/**
 * The same pool over ssh2 and over the machine's own `ssh`, beside the programs
 * of OpenSSH: warm commands, bulk output, files, and what they cost this
 * process.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { join } from "node:path";
import process from "node:process";
import { ConnectionPool, type SshHost } from "../mod.ts";
import { ControlMaster } from "./kit/openssh.ts";
import { scenario, size } from "./kit/scenario.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { assertSame, randomFile, workFolder } from "./kit/work_folder.ts";
import {
  claim,
  fact,
  factValue,
  rateRatio,
  ratio,
  reportOf,
} from "./report/report.ts";

reportOf(import.meta, "OpenSSH as the transport");

/** The first choice of OpenSSH: all get it here. */
const CIPHER = "chacha20-poly1305@openssh.com";

async function hostOver(transport: string): Promise<SshHost> {
  const algorithms = { cipher: [CIPHER] };
  return (await sharedSshd()).host({ transport, algorithms });
}

async function poolOver(transport: string) {
  const pool = new ConnectionPool({ config: false });
  const host = await hostOver(transport);
  await pool.exec(host, "true", { check: true });
  return { pool, host, [Symbol.asyncDispose]: () => pool.close() };
}

const TRANSPORTS = ["openssh", "ssh2"] as const;

const warm = {
  ignore: noSshd,
  group: `warm exec("true")${sshdHint}`,
  n: size(300, 10),
  warmup: size(20, 1),
};
const [warmOpenSsh, warmSsh2] = TRANSPORTS.map((transport, i) =>
  scenario({
    ...warm,
    name: `sshpool over ${transport}`,
    baseline: i === 0,
    open: () => poolOver(transport),
    run: async ({ pool, host }) =>
      void await pool.exec(host, "true", { check: true }),
  })
) as [string, string];

scenario({
  ...warm,
  name: "ssh over a ControlMaster socket",
  n: size(100, 5),
  open: async () => await ControlMaster.open(await sharedSshd()),
  run: async (master) => void await master.exec("true"),
});

scenario({
  ignore: noSshd,
  group: `cold dial${sshdHint}`,
  name: "sshpool over openssh",
  n: size(20, 2),
  fresh: true,
  async open() {
    const pool = new ConnectionPool({ config: false });
    const host = await hostOver("openssh");
    return { pool, host, [Symbol.asyncDispose]: () => pool.close() };
  },
  run: async ({ pool, host }) => void await pool.getConnection(host),
});

const BYTES = size(500_000_000, 5_000_000);
const COMMAND = `head -c ${BYTES} /dev/zero`;
const bulk = {
  ignore: noSshd,
  group: `${BYTES / 1e6} MB of output, ${CIPHER}${sshdHint}`,
  // Each over a connection of its own: where the system puts the processes of
  // one on two cores stays so, and decides by a third.
  fresh: true,
  n: size(7, 1),
  bytes: BYTES,
};

async function drained(output: ReadableStream<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of output) bytes += chunk.length;
  return bytes;
}

/** The least time on a processor of a run, user and system, in seconds. */
const cpu = new Map<string, number>();
const cpuFact = (transport: string) =>
  `processor time of this process for ${BYTES / 1e6} MB over ${transport}`;

const [bulkOpenSsh] = TRANSPORTS.map((transport, i) =>
  scenario({
    ...bulk,
    name: `sshpool over ${transport}`,
    baseline: i === 0,
    open: async () => ({ ...await poolOver(transport), bytes: 0 }),
    async run(fixture) {
      const before = process.cpuUsage();
      await using child = await fixture.pool.spawn(fixture.host, COMMAND);
      const [bytes] = await Promise.all([
        drained(child.stdout),
        child.stderr.cancel(),
      ]);
      fixture.bytes = bytes;
      const { user, system } = process.cpuUsage(before);
      const least = cpu.get(transport) ?? Infinity;
      cpu.set(transport, Math.min(least, (user + system) / 1e6));
      fact(cpuFact(transport), cpu.get(transport)!, "s");
    },
    check: ({ bytes }) => assertEquals(bytes, BYTES),
  })
) as [string, string];

const bulkBinary = scenario({
  ...bulk,
  name: "ssh",
  async open() {
    const sshd = await sharedSshd();
    const master = await ControlMaster.open(sshd, { cipher: CIPHER });
    return {
      master,
      bytes: 0,
      [Symbol.asyncDispose]: () => master[Symbol.asyncDispose](),
    };
  },
  async run(fixture) {
    fixture.bytes = await drained(fixture.master.output(COMMAND));
  },
  check: ({ bytes }) => assertEquals(bytes, BYTES),
});

/** A way to copy: from a path of this machine to another one, through the host. */
type Copier = (from: string, to: string) => Promise<unknown>;

const FILE_BYTES = size(500_000_000, 5_000_000);

function copies(
  verb: "upload" | "download",
  byProgram: (master: ControlMaster) => Copier,
): string[] {
  const ways: Record<
    string,
    () => Promise<AsyncDisposable & { copy: Copier }>
  > = {
    ...Object.fromEntries(TRANSPORTS.map((transport) => [
      `sshpool over ${transport}`,
      async () => {
        const { pool, host, ...rest } = await poolOver(transport);
        return {
          ...rest,
          copy: (from: string, to: string) => pool[verb](host, from, to),
        };
      },
    ])),
    async sftp() {
      const sshd = await sharedSshd();
      const master = await ControlMaster.open(sshd, { cipher: CIPHER });
      return {
        copy: byProgram(master),
        [Symbol.asyncDispose]: () => master[Symbol.asyncDispose](),
      };
    },
  };
  return Object.entries(ways).map(([name, open], i) =>
    scenario({
      name,
      group: `${verb} of ${FILE_BYTES / 1e6} MB, ${CIPHER}${sshdHint}`,
      baseline: i === 0,
      ignore: noSshd,
      fresh: true, // as above
      n: size(7, 1),
      bytes: FILE_BYTES,
      async open() {
        const from = await randomFile(FILE_BYTES);
        const to = join(workFolder(), "copy");
        const way = await open();
        return {
          ...way,
          from,
          to,
          [Symbol.asyncDispose]: () => way[Symbol.asyncDispose](),
        };
      },
      run: async ({ copy, from, to }) => void await copy(from, to),
      async check({ from, to }) {
        await assertSame(from, to);
        await Deno.remove(to);
      },
    })
  );
}

const [upload, , uploadBinary] = copies(
  "upload",
  (master) => (from, to) => master.sftp(`put -p ${from} ${to}`),
) as [string, string, string];
const [download, , downloadBinary] = copies(
  "download",
  (master) => (from, to) => master.sftp(`get -p ${from} ${to}`),
) as [string, string, string];

claim({
  text: "warm exec, sshpool's time over openssh over that over ssh2",
  actual: (rows) => ratio(rows, warmOpenSsh, warmSsh2),
  atMost: 1.6,
});
claim({
  text: "bulk output over openssh, sshpool's rate over that of ssh",
  actual: (rows) => rateRatio(rows, bulkOpenSsh, bulkBinary),
  atLeast: 0.95,
});
claim({
  text: cpuFact("openssh"),
  actual: () => factValue(cpuFact("openssh")),
  atMost: 0.95,
  unit: "s",
});
claim({
  text: "upload over openssh, sshpool's rate over that of sftp",
  actual: (rows) => rateRatio(rows, upload, uploadBinary),
  atLeast: 0.9,
});
claim({
  text: "download over openssh, sshpool's rate over that of sftp",
  actual: (rows) => rateRatio(rows, download, downloadBinary),
  atLeast: 0.9,
});
