import { type FileHandle, open } from "node:fs/promises";
import { abortable } from "../../abort.ts";
import { cleanedUp } from "../_clean_up.ts";
import { aboutPath, SftpError } from "../errors.ts";
import type { SftpFile } from "../file.ts";
import type { Sftp } from "../sftp.ts";
import { infoOf, readLocal } from "./_local.ts";
import { countDone, isDone, isSameTail, partialPath } from "./_partial.ts";
import {
  checkUnchanged,
  type Context,
  type Item,
  type SourceInfo,
  transferError,
} from "./_plan.ts";
import { ifThere, remoteInfo } from "./_remote.ts";

/** Copies one local file to the server. */
export async function uploadFile(
  sftp: Sftp,
  item: Item,
  context: Context,
): Promise<void> {
  const { signal, resume } = context;
  signal.throwIfAborted();
  if (resume) {
    const there = await ifThere(sftp.lstat(item.to, { signal }));
    if (there?.isFile && isDone(item.info, remoteInfo(there))) {
      return countDone(item, context);
    }
  }
  const local = await open(item.from, "r");
  try {
    await uploadOpened(sftp, local, item, context);
  } catch (error) {
    throw aboutTarget(error, item.to);
  } finally {
    await local.close();
  }
}

/** The caller knows nothing of the unfinished file. */
function aboutTarget(error: unknown, to: string): unknown {
  if (!(error instanceof SftpError) || error.path === undefined) return error;
  const { path, host } = error;
  return aboutPath(error, path, { action: "write", path: to, host });
}

async function uploadOpened(
  sftp: Sftp,
  local: FileHandle,
  { from, to }: Item,
  context: Context,
): Promise<void> {
  const { signal, resume, tally } = context;
  const before = await infoOf(local);
  const slash = to.lastIndexOf("/") + 1;
  const folder = to.slice(0, slash);
  const partial = partialPath(folder, to.slice(slash), before, resume);
  const file = await openPartial(sftp, partial, context);
  tally.hasChanged = true;
  let isKept = resume;
  try {
    const start = resume ? await resumeAt(file, local, before, signal) : 0;
    if (start > 0) tally.add(from, start);
    const end = before.size === 0 ? Infinity : before.size;
    const source = counted(readLocal(local, start, end, from), from, context);
    let ending: Promise<number> | undefined;
    await file.writeFrom(source, start, {
      signal,
      onSent: () => {
        ending = finish(file, before, context);
        ending.catch(() => {}); // a failed write comes first
      },
    });
    const copied = await ending ?? 0;
    try {
      checkUnchanged(from, before, await infoOf(local), copied);
    } catch (error) {
      isKept = false;
      throw error;
    }
    // Only now: all writes and all that followed them have succeeded.
    await sftp.rename(partial, to, { signal });
  } catch (error) {
    // Not with the signal of the transfer: it may be what ended the copying.
    const removed = isKept ? [] : [sftp.remove(partial)];
    await cleanedUp(file.close(), ...removed);
    throw error;
  }
  tally.done(from);
}

async function openPartial(
  sftp: Sftp,
  partial: string,
  { signal, resume, preserve }: Context,
): Promise<SftpFile> {
  // Not readable by others before it has its permissions.
  const made = preserve ? { mode: 0o600 } : {};
  const opening = sftp.open(partial, {
    read: resume,
    write: true,
    ...(resume ? { create: true } : { createNew: true }),
    ...made,
    signal,
  });
  if (resume) return await opening;
  return await orRemove(opening, { sftp, path: partial, signal });
}

/** Removes what a request may have made that was given up. */
async function orRemove<T>(
  making: Promise<T>,
  { sftp, path, signal }: {
    readonly sftp: Sftp;
    readonly path: string;
    readonly signal: AbortSignal | undefined;
  },
): Promise<T> {
  try {
    return await making;
  } catch (error) {
    if (signal?.aborted) await cleanedUp(sftp.remove(path));
    throw error;
  }
}

/** Sets the attributes, asks for the size, and closes: one round trip. */
async function finish(
  file: SftpFile,
  { mode, atime, mtime }: SourceInfo,
  { signal, preserve }: Context,
): Promise<number> {
  const times = atime !== undefined && mtime !== undefined
    ? { atime, mtime }
    : undefined;
  const [{ size }] = await Promise.all([
    file.stat({ signal }),
    preserve ? file.setAttributes({ mode, times }, { signal }) : undefined,
    abortable(file.close(), signal),
  ]);
  return size;
}

/** Where to go on with an unfinished file: at its end if it fits, or at 0. */
async function resumeAt(
  file: SftpFile,
  local: FileHandle,
  before: SourceInfo,
  signal: AbortSignal,
): Promise<number> {
  const { size } = await file.stat({ signal });
  if (
    size > 0 && size <= before.size &&
    await isSameTail(file, local, size, signal)
  ) return size;
  await file.truncate(0, { signal });
  return 0;
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  path: string,
  { tally, signal }: Context,
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    signal.throwIfAborted();
    yield piece;
    tally.add(path, piece.length);
  }
}

/** Makes a link on the server, in place of whatever is no folder. */
export async function uploadLink(
  sftp: Sftp,
  target: string,
  { from, to, info }: Item,
  signal: AbortSignal | undefined,
): Promise<void> {
  const slash = to.lastIndexOf("/") + 1;
  const partial = partialPath(to.slice(0, slash), "", info, false);
  const making = sftp.symlink(target, partial, { signal });
  await orRemove(making, { sftp, path: partial, signal });
  try {
    await sftp.rename(partial, to, { signal });
  } catch (error) {
    await cleanedUp(sftp.remove(partial));
    const isRefused = error instanceof SftpError && error.status !== undefined;
    if (signal?.aborted || !isRefused) throw error;
    throw Object.assign(
      transferError(
        "SSH_SFTP_TRANSFER_REFUSED",
        from,
        `the link cannot be put in place`,
      ),
      { cause: error },
    );
  }
}
