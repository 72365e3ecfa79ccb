/**
 * Files over an sshd: a large one, a tree of small ones, and what a long way
 * does, against ssh2's fastPut and fastGet with the same cipher, and against the
 * `sftp` program over a ControlMaster socket. Each copy is compared.
 *
 * @module
 */

import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { ConnectionPool } from "../mod.ts";
import { DelayProxy } from "./kit/delay_proxy.ts";
import { ControlMaster } from "./kit/openssh.ts";
import { claim, rateRatio, reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import {
  bareHost,
  type BareSftp,
  dialTuned,
  endBare,
  sftpBare,
} from "./kit/ssh2.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { formatCount } from "./report/table.ts";
import {
  assertSame,
  randomFile,
  smallFiles,
  workFolder,
} from "./kit/work_folder.ts";

reportOf(import.meta, "copies of files");

/** What sshpool chooses in Deno; all get it here. */
const CIPHER = "chacha20-poly1305@openssh.com";

/** A way to copy, ready to begin. */
interface Copier extends AsyncDisposable {
  put(local: string, remote: string): Promise<unknown>;
  get(remote: string, local: string): Promise<unknown>;
}

/** Makes a copier that goes through a port, which may lead far away. */
type MakeCopier = (port: number) => Promise<Copier>;

const sshpool: MakeCopier = async (port) => {
  const host = (await sharedSshd()).host({
    port,
    algorithms: { cipher: [CIPHER] },
  });
  const pool = new ConnectionPool({ config: false });
  // The connection and its SFTP session are ready, as those of the rivals are.
  await (await pool.sftp(host)).close();
  return {
    put: (local, remote) => pool.upload(host, local, remote),
    get: (remote, local) => pool.download(host, remote, local),
    [Symbol.asyncDispose]: () => pool.close(),
  };
};

/** With ssh2's SFTP session, in one of its two ways. */
function bySsh2(
  ways: (sftp: BareSftp) => Pick<Copier, "put" | "get">,
): MakeCopier {
  return async (port) => {
    const host = bareHost((await sharedSshd()).host({ port }));
    const client = await dialTuned({ ...host, cipher: CIPHER });
    return {
      ...ways(await sftpBare(client)),
      [Symbol.asyncDispose]: () => endBare(client),
    };
  };
}

const fast = bySsh2((sftp) => ({
  put: (local, remote) => settled((done) => sftp.fastPut(local, remote, done)),
  get: (remote, local) => settled((done) => sftp.fastGet(remote, local, done)),
}));

/** Its streams have one request under way. */
const oneRequest = bySsh2((sftp) => ({
  put: (local, remote) =>
    once(
      createReadStream(local).pipe(sftp.createWriteStream(remote)),
      "close",
    ),
  get: (remote, local) =>
    once(sftp.createReadStream(remote).pipe(createWriteStream(local)), "close"),
}));

const openssh: MakeCopier = async (port) => {
  const sshd = await sharedSshd();
  const master = await ControlMaster.open(sshd, { cipher: CIPHER, port });
  return {
    put: (local, remote) => master.sftp(`put -rp ${local} ${remote}`),
    get: (remote, local) => master.sftp(`get -rp ${remote} ${local}`),
    [Symbol.asyncDispose]: () => master[Symbol.asyncDispose](),
  };
};

/** Waits for a callback of ssh2. */
function settled(
  work: (done: (error?: Error | null) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) =>
    work((error) => error ? reject(error) : resolve())
  );
}

/** A group of copies: the same source, each way in a row. */
interface Copies {
  readonly group: string;
  readonly direction: "put" | "get";
  readonly n: number;
  /** Makes the source, and gives its path. */
  source(): Promise<string>;
  /** Bytes in all; absent where files are what counts. */
  readonly bytes?: number;
  /** Files that a copy has: a sample is one of them. */
  readonly files?: number;
  /** How far away the server is, in milliseconds each way. */
  readonly delayMs?: number;
  readonly ways: Readonly<Record<string, MakeCopier>>;
}

/** Registers a group, and gives the keys of its rows. */
function copies(spec: Copies): string[] {
  const { direction, source, delayMs, files = 1, bytes } = spec;
  return Object.entries(spec.ways).map(([name, make], i) =>
    scenario({
      name,
      group: spec.group + sshdHint,
      baseline: i === 0,
      ignore: noSshd,
      // It takes seconds, of which nearly all is waiting.
      n: make === oneRequest ? 1 : spec.n,
      warmup: 0,
      batch: files,
      ...bytes === undefined ? {} : { bytes: bytes / files },
      async open() {
        const from = await source();
        const { port } = await sharedSshd();
        const proxy = delayMs === undefined
          ? undefined
          : await DelayProxy.start({ port }, delayMs);
        const copier = await make(proxy?.port ?? port);
        return {
          copier,
          from,
          to: join(workFolder(), "copy"),
          async [Symbol.asyncDispose]() {
            await copier[Symbol.asyncDispose]();
            await proxy?.[Symbol.asyncDispose]();
          },
        };
      },
      run: async ({ copier, from, to }) =>
        void await copier[direction](from, to),
      async check({ from, to }) {
        await assertSame(from, to);
        await Deno.remove(to, { recursive: true });
      },
    })
  );
}

const LARGE_BYTES = size(500_000_000, 20_000_000);
const LARGE = `${LARGE_BYTES / 1e6} MB`;
const FILES = size(5000, 200);
const FAR_BYTES = size(4_000_000, 1_000_000);
const FAR_MS = 25;

for (const direction of ["put", "get"] as const) {
  const verb = direction === "put" ? "upload" : "download";
  const ours = `sshpool ${verb}`;
  const fastName = direction === "put" ? "ssh2 fastPut" : "ssh2 fastGet";

  const [large, largeFast] = copies({
    group: `${verb} of ${LARGE}, ${CIPHER}`,
    direction,
    n: size(2, 1),
    source: () => randomFile(LARGE_BYTES),
    bytes: LARGE_BYTES,
    ways: { [ours]: sshpool, [fastName]: fast, "sftp": openssh },
  }) as [string, string];
  claim({
    text: `${verb} of ${LARGE}, sshpool's rate over that of ${fastName}`,
    actual: (rows) => rateRatio(rows, large, largeFast),
    atLeast: 1,
  });

  const [tree, treeSftp] = copies({
    group: `${verb} of ${formatCount(FILES)} small files, each`,
    direction,
    n: size(2, 1),
    source: () => smallFiles(FILES),
    files: FILES,
    ways: { [ours]: sshpool, "sftp -r": openssh },
  }) as [string, string];
  claim({
    text: `${verb} of ${
      formatCount(FILES)
    } small files, sshpool's rate over that of sftp -r`,
    actual: (rows) => rateRatio(rows, tree, treeSftp),
    atLeast: 1,
  });

  const [far, farFast, , farOne] = copies({
    group: `${verb} of ${FAR_BYTES / 1e6} MB, ${2 * FAR_MS} ms round trip`,
    direction,
    n: size(3, 1),
    source: () => randomFile(FAR_BYTES),
    bytes: FAR_BYTES,
    delayMs: FAR_MS,
    ways: {
      [ours]: sshpool,
      [fastName]: fast,
      "sftp": openssh,
      "ssh2 stream, one request at a time": oneRequest,
    },
  }) as [string, string, string, string];
  // Both wait for the same round trips; what is left over is noise.
  claim({
    text: `${verb} over ${
      2 * FAR_MS
    } ms, sshpool's rate over that of ${fastName}`,
    actual: (rows) => rateRatio(rows, far, farFast),
    atLeast: 0.9,
  });
  claim({
    text: `${verb} over ${
      2 * FAR_MS
    } ms, sshpool's rate over one request at a time`,
    actual: (rows) => rateRatio(rows, far, farOne),
    atLeast: 5,
  });
}
