/**
 * Copies local files and trees to a server.
 *
 * @module
 */

import { readlink } from "node:fs/promises";
import { decodeFileName } from "../names.ts";
import type { Sftp } from "../sftp.ts";
import { entriesOf, type LocalEntry, lookAt } from "./_local.ts";
import {
  afterChanges,
  checkPaths,
  copyAll,
  type Item,
  type Plan,
  Tally,
} from "./_plan.ts";
import { uploadFile, uploadLink } from "./_upload_file.ts";
import {
  TRANSFER_OPTIONS,
  type TransferOptions,
  type TransferResult,
} from "./options.ts";

/**
 * Copies a local file or a tree to a server.
 *
 * A file gets its name when all of it is there: it is written beside it first,
 * its size is compared, and then it replaces what has the name
 * (`posix-rename@openssh.com`; without that extension an existing file is an
 * error). A source that changes in the meantime is an error.
 *
 * @example Deploy a folder
 * ```ts
 * import { type Sftp, upload } from "@sshpool/sshpool";
 *
 * async function deploy(sftp: Sftp) {
 *   const { files, bytes } = await upload(sftp, "./dist", "/srv/www");
 *   return `${files} files, ${bytes} bytes`;
 * }
 * ```
 *
 * @param sftp The session.
 * @param local The file or folder to copy.
 * @param remote What it is to be on the server: the path itself, not the
 * folder that it goes into. Folders above that of a file must exist. A folder
 * that exists keeps what else it has.
 * @param given The signal, concurrency, attributes, links, resuming.
 * @returns What was copied.
 * @throws {SftpError} If the server refuses, or the source changes.
 * @throws {Error} What `node:fs` throws for a local file.
 */
export async function upload(
  sftp: Sftp,
  local: string,
  remote: string,
  given: TransferOptions = {},
): Promise<TransferResult> {
  const options = TRANSFER_OPTIONS.check(given);
  options.signal?.throwIfAborted();
  const plan: Plan = { folders: [], files: [], links: [], skipped: [] };
  await addToPlan(plan, await lookAt(local), remote, options);
  checkPaths(plan, local, remote);
  const tally = new Tally(plan, options);
  try {
    await copyPlan(sftp, plan, options, tally);
  } catch (error) {
    throw tally.hasChanged ? afterChanges(error) : error;
  }
  return tally.result();
}

async function copyPlan(
  sftp: Sftp,
  plan: Plan,
  options: TransferOptions,
  tally: Tally,
): Promise<void> {
  const { signal } = options;
  for (const { to } of plan.folders) {
    await sftp.mkdir(to, { recursive: true, signal });
    tally.hasChanged = true;
  }
  await copyAll(
    plan,
    options,
    tally,
    (item, context) => uploadFile(sftp, item, context),
  );
  for (const link of plan.links) {
    await uploadLink(sftp, await targetOf(link.from), link, signal);
    tally.hasChanged = true;
  }
  if (options.preserve ?? true) {
    for (const folder of plan.folders.toReversed()) {
      await setAttributes(sftp, folder, signal);
    }
  }
}

async function addToPlan(
  plan: Plan,
  { kind, path, info }: LocalEntry,
  to: string,
  options: TransferOptions,
): Promise<void> {
  options.signal?.throwIfAborted();
  const item: Item = { from: path, to, info };
  if (kind === "file") plan.files.push(item);
  else if (kind === "link" && options.symlinks !== "skip") {
    plan.links.push(item);
  } else if (kind === "folder") {
    plan.folders.push(item);
    for (const entry of await entriesOf(path)) {
      await addToPlan(plan, entry, `${to}/${entry.name}`, options);
    }
  } else plan.skipped.push(path);
}

/** Where a link leads to, also if that is not UTF-8. */
async function targetOf(path: string): Promise<string> {
  const target: Uint8Array | string = await readlink(path, "buffer");
  // Deno gives text whatever it is asked for, and throws where it is none.
  return typeof target === "string" ? target : decodeFileName(target);
}

async function setAttributes(
  sftp: Sftp,
  { to, info: { mode, atime, mtime } }: Item,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (mode !== undefined) await sftp.chmod(to, mode, { signal });
  if (atime !== undefined && mtime !== undefined) {
    await sftp.utime(to, atime, mtime, { signal });
  }
}
