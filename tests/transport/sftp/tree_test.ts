// Trees of a server that are too large to be kept in mind, though it takes a
// server little to name them; and those that only look like it.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import {
  finished,
  unfinishedName,
} from "../../../transport/sftp/_unfinished.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import { PacketType } from "../../../transport/sftp/packets.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { download } from "../../../transport/sftp/transfer/download.ts";
import { TargetNames } from "../../../transport/sftp/transfer/_target_names.ts";
import type { TransferOptions } from "../../../transport/sftp/transfer/options.ts";
import { upload } from "../../../transport/sftp/transfer/upload.ts";
import {
  DENIED,
  depthOf,
  type Entries,
  EOF,
  FILE,
  FOLDER,
  GONE,
  treeServer,
} from "./_tree_server.ts";

/** As long as a name may be. */
const LONG = "n".repeat(255);

/** Numbered entries, all of the same kind. */
function many(count: number, mode: number, start = ""): Entries {
  return Array.from({ length: count }, (_, i) => [`${start}${i}`, mode]);
}

/** A tree with one folder in another, and entries in the last of them. */
function deep(depth: number, name: string, last: Entries) {
  return (path: string): Entries =>
    depthOf(path) < depth ? [[name, FOLDER]] : last;
}

async function refusal(run: () => Promise<unknown>): Promise<string> {
  const error = await assertRejects(run, SftpError);
  assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
  return error.message.slice(error.message.indexOf(": ") + 2);
}

const plan = (sftp: Sftp, options: TransferOptions = {}) =>
  download(sftp, "top", "/nowhere/at/all", { dryRun: true, ...options });

async function walked(sftp: Sftp, options = {}): Promise<number> {
  let entries = 0;
  for await (const _ of sftp.walk("top", options)) entries++;
  return entries;
}

Deno.test("download() and Sftp.walk() refuse a path of more than 4096 characters below the top", async () => {
  const refused = "it has a path of 4097 characters, allowed are 4096";
  for (
    const [length, why] of [[256, undefined], [257, refused]] as const
  ) {
    const last: Entries = [["f".repeat(length), FILE]];
    const sftp = await startSftp(treeServer(deep(15, LONG, last)).transport);
    const runs = [
      () => plan(sftp),
      () => plan(sftp, { onError: "continue" }),
      () => walked(sftp),
      () => walked(sftp, { followSymlinks: true }),
      () => Array.fromAsync(sftp.glob("top/**")),
    ];
    for (const run of runs) {
      if (why === undefined) await run();
      else assertEquals(await refusal(run), why);
    }
    sftp.close();
  }
});

Deno.test("download() refuses paths with more characters than 256 for each entry, but for what maxEntries allows", async () => {
  const last = many(16_700, FILE);
  const sftp = await startSftp(treeServer(deep(15, LONG, last)).transport);
  assertEquals(
    await refusal(() => plan(sftp)),
    "its paths have more than 64000000 characters, 256 for each of 250000 entries",
  );
  const { changes } = await plan(sftp, { maxEntries: 300_000 });
  assertEquals(changes?.length, last.length + 15 + 1);
  sftp.close();
});

Deno.test("Sftp.walk() refuses folders yet to be read whose paths have more than 64 million characters", async () => {
  const last = many(16_700, FOLDER);
  const sftp = await startSftp(treeServer(deep(15, LONG, last)).transport);
  assertEquals(
    await refusal(() => walked(sftp)),
    "the paths of folders yet to be read have more than 64000000 characters",
  );
  sftp.close();
});

Deno.test("Sftp.walk() counts no folder that it has come to", async () => {
  // With one more, their paths have more than 64 million characters.
  const last = many(16_643, FOLDER);
  const tree = deep(15, LONG, last);
  const sftp = await startSftp(
    treeServer((path) => depthOf(path) > 15 ? many(1, FOLDER) : tree(path))
      .transport,
  );
  for await (const { path } of sftp.walk("top")) {
    if (depthOf(path) === 18) break;
  }
  sftp.close();
});

Deno.test("Sftp.walk() keeps one list of the folders above for all that are in a folder", async () => {
  const last = many(12_000, FOLDER);
  const sftp = await startSftp(treeServer(deep(900, "d", last)).transport);
  const before = Deno.memoryUsage().heapUsed;
  let left = 900 + last.length;
  for await (const _ of sftp.walk("top", { followSymlinks: true })) {
    if (--left === 0) break;
  }
  // A list for each is 900 * 12,000 references: 86 MB.
  const grown = Deno.memoryUsage().heapUsed - before;
  assert(grown < 60e6, `${grown}`);
  sftp.close();
});

Deno.test("download() reads as many folders at a time as concurrency says, and 16 at most", async () => {
  const folders = many(200, FOLDER);
  for (const [concurrency, most] of [[3, 3], [200, 16]] as const) {
    let open = 0;
    const server = treeServer((path) => {
      const count = (wanted: number) =>
        server.requests.filter(({ type }) => type === wanted).length;
      open = Math.max(
        open,
        count(PacketType.OPENDIR) - count(PacketType.CLOSE),
      );
      return path === "top" ? folders : [];
    });
    const sftp = await startSftp(server.transport);
    await plan(sftp, { concurrency });
    assertEquals(open, most);
    sftp.close();
  }
});

Deno.test("Sftp.remove() of a tree refuses a path of more than 4096 characters below the top", async () => {
  for (const length of [256, 257]) {
    const last: Entries = [["f".repeat(length), FILE]];
    const server = treeServer(deep(15, LONG, last));
    const sftp = await startSftp(server.transport);
    const run = () => sftp.remove("top", { recursive: true });
    if (length === 256) await run();
    else {
      assertEquals(
        await refusal(run),
        "the server says that it has more than 4096 characters in a path below the top",
      );
    }
    sftp.close();
  }
});

Deno.test("Sftp.remove() of a tree refuses more folders that wait than 250000, in whatever folders they are", async () => {
  const entries = many(50_000, FOLDER);
  const server = treeServer(
    (path) => depthOf(path) < 8 ? entries : [],
    (path) => depthOf(path) < 8 ? EOF : DENIED,
  );
  const sftp = await startSftp(server.transport);
  const run = () => sftp.remove("top", { recursive: true });
  assertEquals(
    await refusal(run),
    "the server says that it has more than 250000 folders that wait to be removed",
  );
  const opened = server.requests.filter(({ type }) =>
    type === PacketType.OPENDIR
  );
  assertEquals(opened.length, 6);
  sftp.close();
});

Deno.test("Sftp.remove() of a tree counts no folder that it has come to", async () => {
  // The two that it is in are the difference to 250,000.
  const entries = [100_000, 100_000, 50_002].map((it) => many(it, FOLDER));
  const server = treeServer(
    (path) => entries[depthOf(path)] ?? [],
    (path) => path === "top/0/0/0" ? DENIED : EOF,
  );
  const sftp = await startSftp(server.transport);
  const run = () => sftp.remove("top", { recursive: true });
  const error = await assertRejects(run, SftpError, "top/0/0/0");
  assertEquals(error.code, "SSH_SFTP_PERMISSION_DENIED");
  sftp.close();
});

Deno.test("Sftp.remove() of a tree counts no folder in one that is gone meanwhile", async () => {
  const entries = many(50_000, FOLDER);
  const tops = many(6, FOLDER);
  const server = treeServer(
    (path) => path === "top" ? tops : entries,
    (path) => path === "top" ? EOF : GONE,
  );
  const sftp = await startSftp(server.transport);
  await sftp.remove("top", { recursive: true });
  sftp.close();
});

/** Plans to upload one file into a folder of a server; counts what it reads. */
async function uploadPlan(there: Entries, options: TransferOptions = {}) {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-tree-" });
  const server = treeServer(() => there);
  const sftp = await startSftp(server.transport);
  try {
    await Deno.writeTextFile(join(folder, "mine"), "new");
    const wanted = { dryRun: true, ...options };
    const { changes = [] } = await upload(sftp, folder, "top", wanted);
    const isRead = ({ type }: { type: number }) => type === PacketType.READDIR;
    return {
      kinds: changes.map(({ kind }) => kind),
      answers: server.requests.filter(isRead).length,
    };
  } finally {
    sftp.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("upload() reads no more than 250,000 names of others in a folder of its target", async () => {
  const mine: Entries[number] = ["mine", FILE];
  const full = await uploadPlan([...many(250_000, FILE), mine]);
  assertEquals(full.kinds, ["copy"]);
  assert(
    full.answers >= 1_252,
    `${full.answers} answers were read of a full one`,
  );
  const endless = await uploadPlan([...many(300_000, FILE), mine]);
  assertEquals(endless.kinds, ["copy"]);
  assert(endless.answers < 1_300, `${endless.answers} answers were read`);
});

Deno.test("upload() with delete refuses a target with more than 250,000 entries that the source does not have, but for what maxEntries allows", async () => {
  const others = many(250_000, FILE);
  const there: Entries = [["mine", FILE], ...others];
  const { kinds } = await uploadPlan(there, { delete: true });
  const deletions = Array(others.length).fill("delete");
  assertEquals(kinds, ["copy", ...deletions]);
  const more: Entries = [...there, ["more", FILE]];
  assertEquals(
    await refusal(() => uploadPlan(more, { delete: true })),
    "it has more than 250000 entries, which maxEntries allows",
  );
  const allowed = await uploadPlan(more, { delete: true, maxEntries: 250_001 });
  assertEquals(allowed.kinds, [...kinds, "delete"]);
});

Deno.test("an upload keeps in mind what the source has too, what was left over, and others for delete alone", () => {
  const leftOver = unfinishedName("mine");
  const kept = (removes: boolean) => {
    const options = { delete: removes };
    const keeps = new TargetNames({ maxEntries: 2 }, "top", options)
      .of(new Set(["mine"]));
    return ["mine", "other", leftOver, "mine"].map(keeps);
  };
  assertEquals(kept(false), [true, false, true, true]);
  assertEquals(kept(true), [true, true, true, true]);
  finished(leftOver, "", "gone");
});

Deno.test("an upload keeps no more in mind of what was left over in all folders than in one", () => {
  const leftOver = unfinishedName("mine");
  const names = new TargetNames({ maxEntries: 2 }, "top", {});
  const kept = [1, 2, 3].map(() => names.of(new Set())(leftOver));
  assertEquals(kept, [true, true, undefined]);
  finished(leftOver, "", "gone");
});
