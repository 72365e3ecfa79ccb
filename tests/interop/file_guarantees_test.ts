// What holds for every copy, on servers of others: each guarantee of the
// transfers, and how each server lets it be kept. Nothing is lost or changed
// silently, whatever the server does.

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  ConnectionPool,
  SshError,
  type SshHost,
  type TransferResult,
} from "../../mod.ts";
import { KINDS, type Running } from "./_servers.ts";

/** A server, and a folder for one guarantee. */
interface Site {
  readonly pool: ConnectionPool;
  readonly host: SshHost;
  /** On this side; the server sees it too. */
  readonly folder: string;
}

type Guarantee = (site: Site) => Promise<string>;

/** One at a time, which works on every server. */
const ONE = { concurrency: 1 };

/** How a call ended: `"ok"`, or the code of its error. */
async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    if (error instanceof SshError) return error.code;
    throw error;
  }
}

async function makeFifo(path: string): Promise<void> {
  await run("mkfifo", "-m", "666", path);
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args })
    .output();
  assert(success, new TextDecoder().decode(stderr));
}

/** Files that are all alike in size and time. */
async function makeFiles(folder: string, count: number, tag: string) {
  await Deno.mkdir(folder, { mode: 0o755 });
  for (let i = 0; i < count; i++) {
    const path = join(folder, `f${i}`);
    await Deno.writeTextFile(path, `${tag} ${String(i).padStart(3, "0")}`);
    await Deno.utime(path, 1_700_000_000, 1_700_000_000);
  }
}

/** The names in a folder whose file has the content of another. */
async function wrongFiles(folder: string, count: number, tag: string) {
  const wrong = [];
  for (let i = 0; i < count; i++) {
    const text = await Deno.readTextFile(join(folder, `f${i}`))
      .catch(() => "missing");
    if (text !== `${tag} ${String(i).padStart(3, "0")}`) wrong.push(`f${i}`);
  }
  return wrong;
}

const modeOf = async (path: string) =>
  ((await Deno.lstat(path)).mode! & 0o7777).toString(8);

const names = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name)
    .toSorted();

/** By what they hold; the word of each is what the table below has. */
const GUARANTEES: Readonly<Record<string, Guarantee>> = {
  async "a pipe and a device are written to or refused, and never replaced"(
    { pool, host, folder },
  ) {
    const [source, fifo, device] = ["source", "fifo", "device"]
      .map((name) => join(folder, name)) as [string, string, string];
    await Deno.writeTextFile(source, "hello");
    await makeFifo(fifo);
    await run("mknod", "-m", "666", device, "c", "1", "3");
    const ends = [
      await outcome(pool.upload(host, source, fifo)),
      await outcome(pool.upload(host, source, device)),
    ];
    assert((await Deno.lstat(fifo)).isFifo);
    assert((await Deno.lstat(device)).isCharDevice);
    return ends.join(", ");
  },

  async "a file that is replaced keeps its mode, and a link is followed"(
    { pool, host, folder },
  ) {
    const [source, target, link] = ["source", "target", "link"]
      .map((name) => join(folder, name)) as [string, string, string];
    await Deno.writeTextFile(source, "new");
    await Deno.chmod(source, 0o644);
    await Deno.writeTextFile(target, "old");
    await Deno.chmod(target, 0o606);
    await Deno.symlink("target", link);
    const end = await outcome(pool.upload(host, source, link));
    assert((await Deno.lstat(link)).isSymlink);
    assertEquals(
      await Deno.readTextFile(target),
      end === "ok" ? "new" : "old",
    );
    assertEquals(await modeOf(target), "606");
    return end;
  },

  async "resume never joins the heads and tails of two versions"(
    { pool, host, folder },
  ) {
    const [source, target] = ["source", "target"]
      .map((name) => join(folder, name)) as [string, string];
    const bytes = (seed: number) =>
      new Uint8Array(300_000).map((_, i) => i * seed + (i >> 8));
    const write = async (path: string, seed: number) => {
      await Deno.writeFile(path, bytes(seed));
      await Deno.utime(path, 1_700_000_000, 1_700_000_000);
    };
    // The same name, size and time, and another content.
    await write(target, 7);
    await Deno.chmod(target, 0o666);
    await write(source, 9);
    const up = await outcome(
      pool.upload(host, source, target, { resume: true }),
    );
    if (up === "ok") assertEquals(await Deno.readFile(target), bytes(9));
    // Nor do two copies at once; one may fail where it has to remove the other.
    await write(source, 11);
    const both = await Promise.all(
      [1, 2].map(() => outcome(pool.upload(host, source, target))),
    );
    assertEquals(await Deno.readFile(target), bytes(11));
    assert(both.includes("ok"));
    return up;
  },

  async "a folder that was there keeps its mode, in both directions"(
    { pool, host, folder },
  ) {
    const [source, target, back] = ["source", "target", "back"]
      .map((name) => join(folder, name)) as [string, string, string];
    await makeFiles(source, 2, "kept");
    const ends = [];
    for (const it of [target, back]) {
      await Deno.mkdir(it);
      await Deno.mkdir(join(it, "below"));
      await Deno.chmod(it, 0o1777);
    }
    await Deno.mkdir(join(source, "below"));
    for (const it of ["target/below", "back/below"]) {
      await Deno.chmod(join(folder, it), 0o1777);
    }
    for (
      const [it, call] of [
        [target, () => pool.upload(host, source, target, ONE)],
        [back, () => pool.download(host, source, back, ONE)],
      ] as const
    ) {
      const end = await outcome(call());
      ends.push(end);
      assertEquals(await modeOf(it), "1777");
      assertEquals(await modeOf(join(it, "below")), "1777");
      if (end === "ok") assertEquals(await wrongFiles(it, 2, "kept"), []);
    }
    return ends.join(", ");
  },

  async "a link is made or its failure names it, and no file is lost for it"(
    { pool, host, folder },
  ) {
    const [source, target] = ["source", "target"]
      .map((name) => join(folder, name)) as [string, string];
    await makeFiles(source, 1, "linked");
    await Deno.symlink("f0", join(source, "link"));
    let end = "ok";
    try {
      await pool.upload(host, source, target);
    } catch (error) {
      assert(error instanceof SshError);
      assert(error.message.includes("link"), error.message);
      end = error.code;
    }
    if (end === "ok") {
      const to = await Deno.readLink(join(target, "link"));
      if (to !== "f0") end = "the server made another link";
    }
    assertEquals(await wrongFiles(target, 1, "linked"), []);
    // Without links it goes through in any case.
    const skipped = await pool.upload(host, source, `${target}2`, {
      symlinks: "skip",
    });
    assertEquals(skipped.skipped.length, 1);
    return end;
  },

  async "no unfinished file is left, and none of others is copied along"(
    { pool, host, folder },
  ) {
    const [source, target, back] = ["source", "target", "back"]
      .map((name) => join(folder, name)) as [string, string, string];
    await makeFiles(source, 5, "whole");
    const planted = `.sshpool-${"1".repeat(16)}-${"0".repeat(24)}.part`;
    await Deno.writeTextFile(join(source, planted), "half");
    const ends: TransferResult[] = [
      await pool.upload(host, source, target, ONE),
      await pool.download(host, source, back, ONE),
    ];
    const own = ["f0", "f1", "f2", "f3", "f4"];
    assertEquals([await names(target), await names(back)], [own, own]);
    assertEquals(ends.map(({ copied }) => copied), [5, 5]);
    return "ok";
  },

  async "each of forty files at once has its own content, or the copy fails"(
    { pool, host, folder },
  ) {
    const [source, target, back] = ["source", "target", "back"]
      .map((name) => join(folder, name)) as [string, string, string];
    const count = 40;
    await makeFiles(source, count, "own");
    const ends = [];
    for (
      const [path, copy] of [
        [target, () => pool.upload(host, source, target)],
        [back, () => pool.download(host, source, back)],
      ] as const
    ) {
      const end = await outcome(copy());
      ends.push(end);
      const wrong = await wrongFiles(path, count, "own");
      if (end === "ok") assertEquals(wrong, []);
      // What has a final name is whole, also where the copy has failed.
      for (const name of await names(path).catch(() => [])) {
        if (name.startsWith(".")) continue;
        assert(!wrong.includes(name), `${name} has the content of another`);
      }
    }
    return ends.join(", ");
  },
};

const REFUSED = "SSH_SFTP_TRANSFER_REFUSED";
const USUAL = [
  `${REFUSED}, ok`,
  "ok",
  "ok",
  "ok, ok",
  "ok",
  "ok",
  "ok, ok",
];

/** How the calls end, by guarantee; what is held is held in any case. */
const ENDS: Readonly<Record<string, readonly string[]>> = {
  "OpenSSH": USUAL,
  // It writes to no device.
  "ProFTPD's mod_sftp": [
    `${REFUSED}, SSH_SFTP_PERMISSION_DENIED`,
    ...USUAL.slice(1),
  ],
  "asyncssh": USUAL,
  // This one has no links.
  "paramiko": [
    `${REFUSED}, ok`,
    REFUSED,
    "ok",
    "ok, ok",
    "SSH_SFTP_UNSUPPORTED",
    "ok",
    "ok, ok",
  ],
  // It gives out handles that are open, which the copy gets around, writes to no
  // device, and makes a link that leads to its own folder.
  "Erlang/OTP": [
    `${REFUSED}, SSH_SFTP_CLOSED`,
    "ok",
    "ok",
    "ok, ok",
    "the server made another link",
    "ok",
    "ok, ok",
  ],
};

for (const { name, missing, start } of KINDS) {
  const expected = ENDS[name];
  if (expected === undefined) continue;
  const title = `copies lose and change nothing silently on ${name}`;
  const ignore = missing ?? (Deno.uid() === 0 ? undefined : "be root");
  Deno.test({
    name: ignore === undefined ? title : `${title} (${ignore})`,
    ignore: ignore !== undefined,
    async fn(context) {
      await using server: Running = await start();
      await using pool = new ConnectionPool({ config: false });
      const { port, user, identityFile } = server;
      const host: SshHost = {
        hostname: "127.0.0.1",
        port,
        user,
        identityFile,
        agent: false,
        hostKey: "insecure-accept-any",
      };
      let at = 0;
      const ends: string[] = [];
      for (const [what, hold] of Object.entries(GUARANTEES)) {
        await context.step(what, async () => {
          const folder = await Deno.makeTempDir({ prefix: "sshpool-kept-" });
          try {
            await Deno.chmod(folder, 0o777);
            ends[at++] = await hold({ pool, host, folder });
          } finally {
            await run("rm", "-rf", folder);
          }
        });
      }
      assertEquals(ends, expected);
    },
  });
}
