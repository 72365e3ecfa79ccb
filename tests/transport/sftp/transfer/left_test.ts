// Unfinished files: those that earlier transfers have left are removed, and those
// of others that are under way are not.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { mock } from "node:test";
import {
  finished,
  isActive,
  isUnfinished,
  leftBelow,
  tagOf,
  unfinishedName,
} from "../../../../transport/sftp/_unfinished.ts";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import type { Sftp } from "../../../../transport/sftp/sftp.ts";
import { copyPlan } from "../../../../transport/sftp/transfer/_copy_plan.ts";
import { sorted } from "../../../../transport/sftp/transfer/_left_over.ts";
import type {
  Entry,
  Folder,
  Item,
  Target,
} from "../../../../transport/sftp/transfer/_plan.ts";
import { Tally } from "../../../../transport/sftp/transfer/_tally.ts";
import { download } from "../../../../transport/sftp/transfer/download.ts";
import type {
  TransferOptions,
  TransferResult,
} from "../../../../transport/sftp/transfer/options.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import {
  FileError,
  MemoryConnector,
  MemoryFiles,
} from "../../../../transport/testing/mod.ts";
import type { SftpRequest } from "../../../../transport/testing/sftp_server/request.ts";
import { slowdown } from "../../../kit/linear.ts";
import { FakeServer } from "../_fake_server.ts";
import { names, testCopy, write } from "./_copies.ts";

interface Site {
  readonly sftp: Sftp;
  readonly files: MemoryFiles;
  /** A folder on this side. */
  readonly dir: string;
  readonly remoteNames: (folder: string) => Promise<string[]>;
}

async function withSite(
  run: (site: Site) => Promise<void>,
  onSftpRequest: (request: SftpRequest) => FileError | "ok" = () => "ok",
): Promise<void> {
  const files = new MemoryFiles({ "/to/old": "" });
  const connector = new MemoryConnector({ files, onSftpRequest });
  const dir = await Deno.makeTempDir({ prefix: "sshpool-left-" });
  try {
    await using connection = await connector.connect({
      hostname: "db1",
      port: 22,
      user: "ops",
    });
    await using sftp = await connection.sftp();
    const remoteNames = async (folder: string) =>
      (await Array.fromAsync(sftp.readDir(folder), ({ name }) => name))
        .toSorted();
    await run({ sftp, files, dir, remoteNames });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("upload() removes what earlier ones of this process have left, and with dryRun nothing", async () => {
  await withSite(async ({ sftp, files, dir, remoteNames }) => {
    await write(dir, { f: "x" });
    for (const [from, to] of [[`${dir}/f`, "/to/f"], [dir, "/to"]] as const) {
      const left = unfinishedName("f");
      files.writeFile(`/to/${left}`, "half of it");
      finished(left, "/to/", "left");
      await upload(sftp, from, to, { dryRun: true });
      assert((await remoteNames("/to")).includes(left), from);
      await upload(sftp, from, to);
      assertEquals(await remoteNames("/to"), ["f", "old"]);
    }
  });
});

Deno.test("upload() that is aborted waits 5 s at most for a server that does not answer as it removes what was left", async () => {
  const left = unfinishedName("f");
  finished(left, "to/", "left");
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const server = new FakeServer(() => onAsked());
  const sftp = await startSftp(server.transport);
  const file = await Deno.makeTempFile({ prefix: "sshpool-left-" });
  const stop = new AbortController();
  const { signal } = stop;
  mock.timers.enable({ apis: ["setTimeout"] } as never);
  try {
    const uploading = upload(sftp, file, "to/f", { signal });
    await asked;
    stop.abort(new Error("mine"));
    for (let turn = 0; turn < 50; turn++) await null;
    mock.timers.tick(5_000);
    await assertRejects(() => uploading, Error, "mine");
  } finally {
    mock.timers.reset();
    sftp.close();
    await Deno.remove(file);
    finished(left, "to/", "gone");
  }
});

testCopy(
  "upload",
  "does not look again for a link that was not made since the server refused it",
  async ({ copy, server, source, target }) => {
    for (const folder of [source, target]) {
      await Deno.mkdir(folder);
      await Deno.symlink(folder, `${folder}/link`);
    }
    await assertRejects(() => copy(server.sftp, source, target));
    assertEquals(leftBelow(`${target}/`), []);
  },
  { args: ["-P", "symlink"] },
);

Deno.test("a copy notes no more that a file is under way once it has ended, however it ends", async () => {
  for (const refused of ["none", "posix-rename", "symlink"]) {
    const seen = new Set<string>();
    await withSite(async ({ sftp, files, dir }) => {
      const see = () => {
        for (const { name } of Deno.readDirSync(`${dir}/back`)) seen.add(name);
      };
      await write(`${dir}/from`, { f: "x", g: "y" });
      await Deno.symlink("new", `${dir}/from/link`);
      files.writeFile("/to/link", { link: "old" });
      await Deno.mkdir(`${dir}/back`);
      await upload(sftp, `${dir}/from`, "/to", { onError: "continue" });
      await sftp.writeTextFile("/to/f", "x", { atomic: true }).catch(() => {});
      await download(sftp, "/to", `${dir}/back`, {
        onError: "continue",
        onProgress: see,
      });
      const unfinished = [...seen].filter(isUnfinished);
      assert(unfinished.length > 3, `${unfinished}`);
      assertEquals(unfinished.filter(isActive), [], refused);
    }, ({ operation, path = "" }) => {
      seen.add(path.slice(path.lastIndexOf("/") + 1));
      return operation === refused ? new FileError("EACCES", "no") : "ok";
    });
  }
});

for (const [verb, copy] of Object.entries({ upload, download })) {
  /** Copies over two unfinished files of the same name: one is being written. */
  const withUnfinished = (
    run: (site: {
      readonly copy: (
        options: TransferOptions,
      ) => Promise<TransferResult>;
      readonly targets: () => Promise<string[]>;
      readonly active: string;
      readonly old: string;
    }) => Promise<void>,
  ) =>
    withSite(async ({ sftp, files, dir, remoteNames }) => {
      const active = unfinishedName("f", true);
      const old = unfinishedName("f", true);
      finished(old, "", "kept");
      try {
        if (verb === "upload") {
          await write(dir, { f: "new" });
          for (const name of [active, old]) files.writeFile(`/to/${name}`, "n");
        } else {
          await write(dir, { [active]: "n", [old]: "n" });
          files.writeFile("/to/f", "new");
        }
        await sftp.remove("/to/old");
        const ends = verb === "upload" ? [dir, "/to"] : ["/to", dir];
        await run({
          active,
          old,
          copy: (options) => copy(sftp, ends[0]!, ends[1]!, options),
          targets: () => verb === "upload" ? remoteNames("/to") : names(dir),
        });
      } finally {
        finished(active, "", "gone");
      }
    });

  Deno.test(`${verb}() removes the unfinished file of an earlier copy, and none that is being written`, async () => {
    for (const remove of [false, true]) {
      await withUnfinished(async ({ copy, targets, active }) => {
        const { deleted } = await copy({ delete: remove });
        assertEquals([await targets(), deleted], [[active, "f"], 0]);
      });
    }
  });

  Deno.test(`${verb}() with delete takes the file that it goes on with for none that is to be removed`, async () => {
    await withUnfinished(async ({ copy, targets, active }) => {
      finished(active, "", "kept");
      const { copied, deleted } = await copy({ delete: true, resume: true });
      assertEquals([copied, deleted], [1, 0]);
      assert((await targets()).includes("f"));
    });
  });

  Deno.test(`${verb}() with dryRun removes no unfinished file`, async () => {
    await withUnfinished(async ({ copy, targets, active, old }) => {
      await copy({ dryRun: true });
      assertEquals(await targets(), [active, old].toSorted());
    });
  });
}

const info = { size: 1, mode: undefined, atime: undefined, mtime: undefined };

/** The name of an unfinished file that another process has left. */
const foreign = (name: string, index: number, kind: string) =>
  `.sshpool-${tagOf(name)}-${`${index}`.padStart(24, "0")}.${kind}`;

/** A folder that has these unfinished files. */
const holding = (names: readonly string[]) =>
  new Map<string, Entry>(
    names.map((name) => [name, { path: name, kind: "file", info }]),
  );

Deno.test("a copy does not go through all files for each folder that has something left", async () => {
  const folder = (to: string, depth: number): Folder => ({
    ...{ from: to, to, info, depth, below: "", names: new Set() },
    ...{ isWhole: true, isPassage: false },
  });
  const folders = Array.from({ length: 200 }, (_, n) => folder(`/to/${n}`, 1));
  let looks = 0;
  const files = folders.map((folder): Item => ({
    from: "/from",
    get to() {
      looks++;
      return `${folder.to}/f`;
    },
    info,
  }));
  const removed: string[] = [];
  const target: Partial<Target> = {
    look: (path) => Promise.resolve({ path, kind: "folder", info }),
    list: (path) =>
      Promise.resolve(
        path === "/to" ? undefined : holding([foreign("f", 0, "part")]),
      ),
    removeFile: (path) => {
      removed.push(path);
      return Promise.resolve();
    },
  };
  const plan = {
    ...{ folders: [folder("/to", 0), ...folders], files, links: [] },
    ...{ skipped: [], refused: [], glob: undefined },
  };
  await copyPlan(
    {} as Sftp,
    plan,
    {
      target: target as Target,
      make: { file: () => Promise.resolve(), link: () => Promise.resolve() },
    },
    { options: { preserve: false }, tally: new Tally(plan, {}) },
  );
  assertEquals(removed.length, folders.length);
  assert(looks < 10 * files.length, `${looks}`);
});

Deno.test("a copy that goes on takes time in proportion to what is left of one file", () => {
  const [small, large] = [2_000, 32_000].map((length) =>
    Array.from({ length }, (_, index) => foreign("f", index, "part"))
  );
  const items: Item[] = [];
  const ratio = slowdown(
    (names) => {
      const item: Item = { from: "/from/f", to: "/to/f", info };
      const [entries, own] = [holding(names), { path: "", kind: "file", info }];
      sorted(names, entries, {
        items: new Map([[tagOf("f"), item]]),
        resume: true,
        own: own as Entry,
      });
      items.push(item);
    },
    [small!, large!],
    16,
  );
  assertEquals(items[0]!.unfinished, small);
  assert(ratio < 4, `${ratio}`);
});
