/**
 * Copies files and trees of a server.
 *
 * @module
 */

import { mkdir } from "node:fs/promises";
import { sep } from "node:path";
import type { SftpDirEntry } from "../file.ts";
import { filterOf } from "../_patterns.ts";
import { isUnicodeFileName } from "../names.ts";
import type { Sftp } from "../sftp.ts";
import { checkLocalName } from "./_aim.ts";
import { copyPlan } from "./_copy_plan.ts";
import { downloadFile } from "./_download_file.ts";
import { checkPaths, NOT_UTF8, transferError } from "./_errors.ts";
import { sweepBeside } from "./_left_over.ts";
import { downloadLink } from "./_links.ts";
import { LOCAL_TARGET } from "./_local.ts";
import {
  checkPlan,
  type Child,
  findSource,
  folderOf,
  makePlan,
  type Source,
} from "./_plan.ts";
import { ifThere, intoFolder, remoteEntry, withHome } from "./_remote.ts";
import { Tally } from "./_tally.ts";
import { MAX_ENTRIES } from "./_tree_bounds.ts";
import {
  TRANSFER_OPTIONS,
  type TransferOptions,
  type TransferResult,
} from "./options.ts";
import type { RemoteHash } from "./remote_hash.ts";

/**
 * Copies a file or a tree of a server.
 *
 * A file gets its name when all of it is here: it is written beside it first,
 * and its size is compared. A source that changes in the meantime (in size or
 * time, which has a grain of one second) is an error; in a tree one that grows
 * is copied as far as it went. What is replaced keeps its permissions, and its
 * owner where we may set that; a device is written to, and nothing else that is
 * no regular file is touched.
 *
 * Nothing is ever written outside of the local path, whatever the server says:
 * a name with a separator in it, a name that comes twice in a folder, and a
 * link where a folder is to be are errors. Links are made last, so that nothing
 * is written through one. A name that is not UTF-8 is an error
 * (`SSH_SFTP_TRANSFER_REFUSED`), since not every runtime can make such a file,
 * and so is a link to such a name.
 *
 * A source that is not there and has `*`, `?`, `[`, `{` or `@(` in it is a
 * pattern, as of `Sftp.glob()`. The target is a folder then, and gets what
 * matches as it is below the first folder that the pattern does not name.
 *
 * @example Fetch logs, and show how far it is
 * ```ts
 * import { download, type Sftp } from "@sshpool/sshpool/sftp";
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
 * @param remote The file or folder to copy; `~` is the home folder.
 * @param local What it is to be here. A file goes into a folder that is there,
 * and anything into a path that ends in a separator. A folder is the path
 * itself, and keeps what else it has. Folders above that of a file must exist,
 * unless `parents` is set.
 * @param given The signal, concurrency, attributes, links, what is left out.
 * @returns What was copied.
 * @throws {SftpError} If the server refuses, or the source changes.
 * @throws {Error} What `node:fs` throws for a local file.
 */
export function download(
  sftp: Sftp,
  remote: string,
  local: string,
  given: TransferOptions = {},
): Promise<TransferResult> {
  return downloadWith(sftp, remote, local, given);
}

/**
 * The same where there may be a shell.
 *
 * @param hash Hashes files on the host.
 */
export async function downloadWith(
  sftp: Sftp,
  remote: string,
  local: string,
  given: TransferOptions,
  hash?: RemoteHash,
): Promise<TransferResult> {
  const checked = TRANSFER_OPTIONS.check(given);
  checkPaths(local, remote);
  const { signal, dryRun = false, parents = false } = checked;
  signal?.throwIfAborted();
  const options = { ...checked, filter: filterOf(checked.filter) };
  const from = await withHome(sftp, remote, signal);
  const named = await findSource(
    from,
    async (path) => remoteEntry(path, await sftp.stat(path, { signal })),
  );
  const to = intoFolder(
    sep === "/" ? local : local.replaceAll(sep, "/"),
    from,
    named,
  );
  checkLocalName(from, to);
  const plan = await makePlan(remoteSource(sftp, signal), named, to, options);
  checkPlan(plan, from, options);
  if (parents && !dryRun && folderOf(to).length > 1) {
    await mkdir(folderOf(to), { recursive: true });
  }
  if (named.top.kind === "file" && options.resume && !dryRun) {
    await sweepBeside(plan, LOCAL_TARGET, options);
  }
  const tally = new Tally(plan, options);
  return await copyPlan(sftp, plan, {
    target: LOCAL_TARGET,
    make: {
      file: (item, context) => downloadFile(sftp, item, context),
      link: async (item) => {
        const says = await sftp.readLink(item.from, { signal });
        await downloadLink(says, item);
      },
    },
  }, { options, tally, hash });
}

/** A server that is copied from. */
function remoteSource(sftp: Sftp, signal: AbortSignal | undefined): Source {
  return {
    maxEntries: MAX_ENTRIES,
    async list(folder, count) {
      const names = new Set<string>();
      const children: Child[] = [];
      for await (const entry of sftp.readDir(folder, { signal })) {
        count();
        const path = `${folder}/${entry.name}`;
        const reason = names.has(entry.name)
          ? "the server names it twice"
          : reasonAgainst(entry.name);
        if (reason !== undefined) {
          throw transferError("SSH_SFTP_TRANSFER_REFUSED", path, reason);
        }
        names.add(entry.name);
        children.push(childOf(path, entry));
      }
      return children;
    },
    async follow(path) {
      const info = await ifThere(sftp.stat(path, { signal }));
      return info === undefined ? undefined : remoteEntry(path, info);
    },
  };
}

function childOf(path: string, { name, info, ...kind }: SftpDirEntry): Child {
  return isUnicodeFileName(name)
    ? { name, ...remoteEntry(path, { ...info, ...kind }) }
    : { name, path, refused: NOT_UTF8 };
}

/** Why no local file may have this name; `undefined` if one may. */
function reasonAgainst(name: string): string | undefined {
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
    return "its name would lead to another folder";
  }
  return sep === "\\" && /[\\:]/.test(name)
    ? "its name has a meaning on Windows"
    : undefined;
}
