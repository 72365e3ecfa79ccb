import { type FileHandle, open, rename, rm, symlink } from "node:fs/promises";
import { basename, dirname, sep } from "node:path";
import type { SftpFile } from "../file.ts";
import { isUnicodeFileName } from "../names.ts";
import type { Sftp } from "../sftp.ts";
import { infoOf, lookIfThere, writeLocal } from "./_local.ts";
import { countDone, isDone, isSameTail, partialPath } from "./_partial.ts";
import {
  checkUnchanged,
  type Context,
  type Item,
  type SourceInfo,
  transferError,
} from "./_plan.ts";
import { remoteInfo } from "./_remote.ts";

/** Copies one file of the server. */
export async function downloadFile(
  sftp: Sftp,
  item: Item,
  context: Context,
): Promise<void> {
  const { signal, resume } = context;
  signal.throwIfAborted();
  if (resume) {
    const there = await lookIfThere(item.to);
    if (there?.kind === "file" && isDone(item.info, there.info)) {
      return countDone(item, context);
    }
  }
  const file = await sftp.open(item.from, { read: true, signal });
  try {
    await downloadOpened(file, item, context);
  } finally {
    // Nothing was written through it, so nobody needs to wait for it.
    file.close().catch(() => {});
  }
}

async function downloadOpened(
  file: SftpFile,
  { from, to }: Item,
  context: Context,
): Promise<void> {
  const { signal, resume, tally } = context;
  const before = remoteInfo(await file.stat({ signal }));
  const folder = dirname(to) + sep;
  const partial = partialPath(folder, basename(to), before, resume);
  const local = await openPartial(partial, context);
  let isKept = resume;
  try {
    const start = resume ? await resumeAt(file, local, before, signal) : 0;
    if (start > 0) tally.add(from, start);
    const end = before.size === 0 ? undefined : before.size;
    let offset = start;
    for await (const piece of file.readRange({ offset, end, signal })) {
      await writeLocal(local, piece, offset);
      offset += piece.length;
      tally.add(from, piece.length);
    }
    const after = remoteInfo(await file.stat({ signal }));
    const { size } = await infoOf(local);
    try {
      checkUnchanged(from, before, after, size);
    } catch (error) {
      isKept = false;
      throw error;
    }
    await finish(local, before, context);
    signal.throwIfAborted();
    await rename(partial, to);
  } catch (error) {
    await local.close().catch(() => {});
    if (!isKept) await rm(partial, { force: true });
    throw error;
  }
  tally.done(from);
}

/** Opens the unfinished file; a link that somebody put there is an error. */
async function openPartial(
  partial: string,
  { resume, preserve }: Context,
): Promise<FileHandle> {
  // Not readable by others before it has its permissions.
  const mode = preserve ? 0o600 : 0o666;
  if (resume && (await lookIfThere(partial))?.kind === "file") {
    return await open(partial, "r+");
  }
  return await open(partial, "wx+", mode);
}

async function finish(
  local: FileHandle,
  { mode, atime, mtime }: SourceInfo,
  { preserve }: Context,
): Promise<void> {
  if (preserve && mode !== undefined) await local.chmod(mode);
  if (preserve && atime !== undefined && mtime !== undefined) {
    await local.utimes(atime, mtime);
  }
  await local.close();
}

/** Where to go on with an unfinished file: at its end if it fits, or at 0. */
async function resumeAt(
  file: SftpFile,
  local: FileHandle,
  before: SourceInfo,
  signal: AbortSignal,
): Promise<number> {
  const { size } = await infoOf(local);
  if (
    size > 0 && size <= before.size &&
    await isSameTail(file, local, size, signal)
  ) return size;
  await local.truncate(0);
  return 0;
}

/** Makes a local link, in place of whatever is no folder. */
export async function downloadLink(
  target: string,
  { from, to, info }: Item,
): Promise<void> {
  if (!isUnicodeFileName(target)) {
    throw transferError(
      "SSH_SFTP_TRANSFER_REFUSED",
      from,
      "it is a link to a name that is not UTF-8",
    );
  }
  const partial = partialPath(dirname(to) + sep, "", info, false);
  await symlink(target, partial);
  try {
    await rename(partial, to);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
