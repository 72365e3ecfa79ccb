/**
 * Copies files and trees of a server.
 *
 * @module
 */

import { chmod, mkdir, utimes } from "node:fs/promises";
import { join, sep } from "node:path";
import type { SftpDirEntry, SftpFileInfo } from "../file_info.ts";
import { isUnicodeFileName } from "../names.ts";
import type { Sftp } from "../sftp.ts";
import { downloadFile, downloadLink } from "./_download_file.ts";
import { lookIfThere } from "./_local.ts";
import {
  checkPaths,
  copyAll,
  type Item,
  type Plan,
  Tally,
  transferError,
} from "./_plan.ts";
import { remoteInfo } from "./_remote.ts";
import {
  TRANSFER_OPTIONS,
  type TransferOptions,
  type TransferResult,
} from "./options.ts";

/**
 * Copies a file or a tree of a server.
 *
 * A file gets its name when all of it is here: it is written beside it first,
 * and its size is compared. A source that changes in the meantime (in size or
 * time, which has a grain of one second) is an error.
 *
 * Nothing is ever written outside of the local path, whatever the server says:
 * a name with a separator in it, a name that comes twice in a folder, and a
 * link where a folder is to be are errors. Links are made last, so that nothing
 * is written through one. A name that is not UTF-8 is an error
 * (`SSH_SFTP_TRANSFER_REFUSED`), since not every runtime can make such a file,
 * and so is a link to such a name.
 *
 * @example Fetch logs, and show how far it is
 * ```ts
 * import { download, type Sftp } from "@sshpool/sshpool";
 *
 * async function fetchLogs(sftp: Sftp, show: (percent: number) => void) {
 *   await download(sftp, "/var/log/nginx", "./logs", {
 *     resume: true,
 *     onProgress: ({ bytes, totalBytes }) => show(100 * bytes / totalBytes),
 *   });
 * }
 * ```
 *
 * @param sftp The session.
 * @param remote The file or folder to copy.
 * @param local What it is to be here: the path itself, not the folder that it
 * goes into. Folders above that of a file must exist. A folder that exists
 * keeps what else it has.
 * @param given The signal, concurrency, attributes, links, resuming.
 * @returns What was copied.
 * @throws {SftpError} If the server refuses, or the source changes.
 * @throws {Error} What `node:fs` throws for a local file.
 */
export async function download(
  sftp: Sftp,
  remote: string,
  local: string,
  given: TransferOptions = {},
): Promise<TransferResult> {
  const options = TRANSFER_OPTIONS.check(given);
  const { signal } = options;
  signal?.throwIfAborted();
  const plan: Plan = { folders: [], files: [], links: [], skipped: [] };
  const info = await sftp.stat(remote, { signal });
  await addToPlan(sftp, plan, { from: remote, to: local, info }, options);
  checkPaths(plan, remote, local);
  for (const [index, { from, to }] of plan.folders.entries()) {
    await makeFolder(from, to, index === 0);
  }
  const tally = new Tally(plan, options);
  await copyAll(
    plan,
    options,
    tally,
    (item, context) => downloadFile(sftp, item, context),
  );
  for (const link of plan.links) {
    await downloadLink(await sftp.readLink(link.from, { signal }), link);
  }
  if (options.preserve ?? true) {
    for (const folder of plan.folders.toReversed()) await setAttributes(folder);
  }
  return tally.result();
}

interface Found {
  readonly from: string;
  readonly to: string;
  readonly info: SftpFileInfo;
}

async function addToPlan(
  sftp: Sftp,
  plan: Plan,
  { from, to, info }: Found,
  options: TransferOptions,
): Promise<void> {
  const item: Item = { from, to, info: remoteInfo(info) };
  if (info.isFile) plan.files.push(item);
  else if (info.isSymlink && options.symlinks !== "skip") {
    plan.links.push(item);
  } else if (info.isDirectory) {
    plan.folders.push(item);
    for (const entry of await entriesOf(sftp, from, options.signal)) {
      await addToPlan(sftp, plan, {
        from: `${from}/${entry.name}`,
        to: join(to, entry.name),
        info: { ...entry.info, ...kindOf(entry) },
      }, options);
    }
  } else plan.skipped.push(from);
}

function kindOf({ isFile, isDirectory, isSymlink }: SftpDirEntry) {
  return { isFile, isDirectory, isSymlink };
}

/** Reads a folder, and refuses names that could lead elsewhere. */
async function entriesOf(
  sftp: Sftp,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<SftpDirEntry[]> {
  const entries: SftpDirEntry[] = [];
  const names = new Set<string>();
  for await (const entry of sftp.readDir(folder, { signal })) {
    const reason = names.has(entry.name)
      ? "the server names it twice"
      : reasonAgainst(entry.name);
    if (reason !== undefined) {
      const path = `${folder}/${entry.name}`;
      throw transferError("SSH_SFTP_TRANSFER_REFUSED", path, reason);
    }
    names.add(entry.name);
    entries.push(entry);
  }
  return entries;
}

/** Why no local file may have this name; `undefined` if one may. */
function reasonAgainst(name: string): string | undefined {
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
    return "its name would lead to another folder";
  }
  if (sep === "\\" && /[\\:]/.test(name)) {
    return "its name has a meaning on Windows";
  }
  return isUnicodeFileName(name) ? undefined : "its name is not UTF-8";
}

/** Makes a local folder; inside the tree one that exists must be no link. */
async function makeFolder(
  from: string,
  to: string,
  isTop: boolean,
): Promise<void> {
  if (isTop) return void await mkdir(to, { recursive: true });
  const there = await lookIfThere(to);
  if (there === undefined) return await mkdir(to);
  if (there.kind === "folder") return;
  throw transferError(
    "SSH_SFTP_TRANSFER_REFUSED",
    from,
    "there is something local in place of the folder, maybe a link",
  );
}

async function setAttributes(
  { to, info: { mode, atime, mtime } }: Item,
): Promise<void> {
  if (mode !== undefined) await chmod(to, mode);
  if (atime !== undefined && mtime !== undefined) {
    await utimes(to, atime, mtime);
  }
}
