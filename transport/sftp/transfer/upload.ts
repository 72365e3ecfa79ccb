/**
 * Copies local files and trees to a server.
 *
 * @module
 */

import { readlink } from "node:fs/promises";
import { sep } from "node:path";
import { filterOf } from "../_patterns.ts";
import type { Sftp } from "../sftp.ts";
import { cleanedUp, finished, leftBelow, leftFor } from "../_unfinished.ts";
import { copyPlan } from "./_copy_plan.ts";
import { afterChanges, checkPaths } from "./_errors.ts";
import { sweepBeside } from "./_left_over.ts";
import { targetOf, uploadLink } from "./_links.ts";
import { LOCAL_SOURCE, lookAt } from "./_local.ts";
import {
  checkPlan,
  findSource,
  folderOf,
  makePlan,
  nameOf,
  type Plan,
} from "./_plan.ts";
import { intoFolder, RemoteTarget, withHome } from "./_remote.ts";
import { Tally } from "./_tally.ts";
import { uploadFile } from "./_upload_file.ts";
import {
  type CheckedTransferOptions,
  TRANSFER_OPTIONS,
  type TransferOptions,
  type TransferResult,
} from "./options.ts";
import type { RemoteHash } from "./remote_hash.ts";

/**
 * Copies a local file or a tree to a server.
 *
 * A file gets its name when all of it is there: it is written beside it first,
 * its size is compared, and then it replaces what has the name, in one step
 * where the server can (`posix-rename@openssh.com`). What is replaced keeps its
 * permissions, and its owner where we may set that; a device is written to, and
 * nothing else that is no regular file is touched. Other hard links of a file
 * that is replaced keep the old content. A source that changes in the meantime
 * is an error; in a tree one that grows is copied as far as it went.
 *
 * A source that is not there and has `*`, `?`, `[`, `{` or `@(` in it is a
 * pattern, as of `Sftp.glob()`. The target is a folder then, and gets what
 * matches as it is below the first folder that the pattern does not name.
 *
 * @example Deploy a folder, and remove what is not in it any more
 * ```ts
 * import { type Sftp, upload } from "@sshpool/sshpool/sftp";
 *
 * async function deploy(sftp: Sftp) {
 *   const { copied, same, deleted } = await upload(sftp, "./dist", "/srv/www", {
 *     changedOnly: true,
 *     delete: true,
 *   });
 *   return `${copied} copied, ${same} as before, ${deleted} deleted`;
 * }
 * ```
 *
 * @param sftp The session.
 * @param local The file or folder to copy.
 * @param remote What it is to be on the server; `~` is the home folder. A file
 * goes into a folder that is there, and anything into a path that ends in `/`.
 * A folder is the path itself, and keeps what else it has, so that a second
 * copy does what the first did. Folders above that of a file must exist, unless
 * `parents` is set.
 * @param given The signal, concurrency, attributes, links, what is left out.
 * @returns What was copied.
 * @throws {SftpError} If the server refuses, or the source changes.
 * @throws {Error} What `node:fs` throws for a local file.
 */
export function upload(
  sftp: Sftp,
  local: string,
  remote: string,
  given: TransferOptions = {},
): Promise<TransferResult> {
  return uploadWith(sftp, local, remote, given);
}

/**
 * The same where there may be a shell.
 *
 * @param hash Hashes files on the host.
 */
export async function uploadWith(
  sftp: Sftp,
  local: string,
  remote: string,
  given: TransferOptions,
  hash?: RemoteHash,
): Promise<TransferResult> {
  const checked = TRANSFER_OPTIONS.check(given);
  checkPaths(local, remote);
  const { signal, dryRun = false, parents = false } = checked;
  signal?.throwIfAborted();
  const options = { ...checked, filter: filterOf(checked.filter) };
  const named = await findSource(
    sep === "/" ? local : local.replaceAll(sep, "/"),
    lookAt,
  );
  const { top } = named;
  const to = intoFolder(await withHome(sftp, remote, signal), local, named);
  const plan = await makePlan(LOCAL_SOURCE, named, to, options);
  checkPlan(plan, local, options);
  const target = new RemoteTarget(sftp, signal);
  const tally = new Tally(plan, options);
  try {
    if (parents && !dryRun && folderOf(to).length > 1) {
      await sftp.mkdir(folderOf(to), { recursive: true, signal });
      tally.hasChanged = true;
    }
    if (top.kind === "file" && !dryRun) await tidy(target, plan, options);
    const result = await copyPlan(sftp, plan, {
      target,
      make: {
        file: (item, context) => uploadFile(target, item, context),
        link: async (item) => {
          const says = await targetOf(item.from, readlink);
          await uploadLink(target, says, item, { tally, signal });
        },
      },
    }, { options, tally, hash });
    if (!dryRun) {
      const where = top.kind === "file" ? folderOf(to) : `${to}/`;
      await removeLeft(target, leftBelow(where));
    }
    return result;
  } catch (error) {
    throw tally.hasChanged ? afterChanges(error) : error;
  } finally {
    await target.settled();
  }
}

/** A server may make what was asked for when its session has ended. */
async function removeLeft(
  target: RemoteTarget,
  left: readonly (readonly [name: string, folder: string])[],
): Promise<void> {
  // It may be on another host.
  const removals = left.map(async ([name, folder]) => {
    await target.removeFile(folder + name);
    finished(name, folder, "gone");
  });
  await cleanedUp(...removals);
}

/** Removes what earlier copies of a single file have left, or goes on with it. */
async function tidy(
  target: RemoteTarget,
  plan: Plan,
  options: CheckedTransferOptions,
): Promise<void> {
  const { to } = plan.files[0]!;
  const folder = folderOf(to);
  const left = leftFor(nameOf(to), folder);
  await removeLeft(target, left.map((name) => [name, folder]));
  if (options.resume) await sweepBeside(plan, target, options);
}
