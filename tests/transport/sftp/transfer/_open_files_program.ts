// Run by open_files_test.ts in a process of its own: copies to and from a server
// that is in memory, and lists which files are open after each copy, on both sides.

import { basename, dirname } from "node:path";
import {
  finished,
  unfinishedName,
} from "../../../../transport/sftp/_unfinished.ts";
import { download } from "../../../../transport/sftp/transfer/download.ts";
import type { TransferOptions } from "../../../../transport/sftp/transfer/options.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import {
  FileError,
  MemoryConnector,
  MemoryFiles,
} from "../../../../transport/testing/mod.ts";
import { answer } from "../../../kit/child.ts";

/** The open files of this process that are in a folder. */
async function openIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc/self/fd")) {
    const path = await Deno.readLink(`/proc/self/fd/${name}`).catch(() => "");
    if (path.startsWith(`${folder}/`)) found.push(path);
  }
  return found.toSorted();
}

interface Copy {
  readonly refused?: "read" | "write";
  readonly options?: TransferOptions;
  /** Whether it goes where the one before went. */
  readonly isAgain?: boolean;
  /** Whether there is an unfinished file which is not of the source. */
  readonly isMixedUp?: boolean;
}

const COPIES: readonly Copy[] = [
  {},
  { options: { changedOnly: true, checksum: true }, isAgain: true },
  { options: { verify: true } },
  { options: { write: "in-place" } },
  { refused: "read" },
  { refused: "write" },
  { refused: "read", options: { write: "in-place" } },
  { refused: "write", options: { write: "in-place" } },
  { refused: "read", options: { resume: true } },
  { refused: "write", options: { resume: true } },
  { options: { resume: true }, isAgain: true },
  { options: { resume: true }, isMixedUp: true },
];

await answer(async (folder: string) => {
  let refused: Copy["refused"];
  const files = new MemoryFiles({ "/d/down": "of the server" });
  const connector = new MemoryConnector({
    files,
    onSftpRequest: ({ operation }) =>
      operation === refused ? new FileError("EIO", "no") : "ok",
  });
  await using connection = await connector.connect({
    hostname: "db1",
    port: 22,
    user: "ops",
  });
  await using sftp = await connection.sftp();
  await Deno.writeTextFile(`${folder}/up`, "of this side");
  const left: Record<string, readonly string[]> = {};
  let target = 0;
  for (const copy of COPIES) {
    if (copy.isAgain !== true) target++;
    for (const make of [upload, download]) {
      refused = copy.refused;
      const [from, to] = make === upload
        ? [`${folder}/up`, `/d/up${target}`]
        : ["/d/down", `${folder}/down${target}`];
      if (copy.isMixedUp) {
        const name = unfinishedName(basename(to), true);
        finished(name, `${dirname(to)}/`, "kept");
        const path = `${dirname(to)}/${name}`;
        if (make === upload) files.writeFile(path, "x");
        else await Deno.writeTextFile(path, "x");
      }
      const run = make as typeof upload;
      const how = await run(sftp, from, to, copy.options)
        .then(() => "copied", () => "failed");
      const open = await openIn(folder);
      await sftp.stat("/d"); // what was sent before is done
      for (let i = 0; i < files.openFiles; i++) open.push("of the server");
      left[`${make.name} ${JSON.stringify(copy)} ${how}`] = open;
    }
  }
  return left;
});
