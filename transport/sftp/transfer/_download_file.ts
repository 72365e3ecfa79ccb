import { type FileHandle, open, rename, rm, symlink } from "node:fs/promises";
import { basename, dirname, sep } from "node:path";
import type { SftpFile } from "../file.ts";
import { isUnicodeFileName } from "../names.ts";
import type { Sftp } from "../sftp.ts";
import { aboutFinalName, infoOf, lookIfThere, writeLocal } from "./_local.ts";
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
  { from, to, info }: Item,
  context: Context,
): Promise<void> {
  const { signal, resume, tally } = context;
  const looking = file.stat({ signal }).then(remoteInfo);
  looking.catch(() => {}); // seen when it is waited for
  // Without resuming, reading begins before the answer: see `Reading`.
  const known = resume ? await looking : info;
  const folder = dirname(to) + sep;
  const partial = partialPath(folder, basename(to), known, resume);
  const local = await openPartial(partial, context).catch((error) => {
    throw aboutFinalName(to, error);
  });
  let isKept = resume;
  let reading: Reading | undefined;
  try {
    const start = resume ? await resumeAt(file, local, known, signal) : 0;
    if (start > 0) tally.add(from, start);
    reading = new Reading(file, start, known, signal);
    const before = await looking;
    if (!isSame(known, before)) {
      // It changed since it was found, and nothing of it is written yet.
      await reading.stop();
      reading = new Reading(file, start, before, signal);
    }
    let offset = start;
    for await (const piece of reading.pieces()) {
      await writeLocal(local, piece, offset, to);
      offset += piece.length;
      tally.add(from, piece.length);
    }
    const after = await reading.infoAfter();
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
    await reading?.stop();
    await local.close().catch(() => {});
    if (!isKept) await rm(partial, { force: true });
    throw error;
  }
  tally.done(from);
}

/**
 * One run through a file on the server. It begins at once: its requests go out
 * behind the one for what the file is, whose answer is compared with what the
 * file was when it was found. The request for what it is afterwards goes out
 * behind the last one to read. So neither costs a round trip of its own.
 */
class Reading {
  readonly #file: SftpFile;
  readonly #signal: AbortSignal;
  readonly #pieces: AsyncIterator<Uint8Array, void>;
  readonly #first: Promise<IteratorResult<Uint8Array, void>>;
  #after: Promise<SourceInfo> | undefined;

  /**
   * Begins to read.
   *
   * @param offset Where.
   * @param info How long the file is; 0 if only its end can tell, as in /proc.
   */
  constructor(
    file: SftpFile,
    offset: number,
    { size }: SourceInfo,
    signal: AbortSignal,
  ) {
    this.#file = file;
    this.#signal = signal;
    this.#pieces = file.readRange({
      offset,
      end: size === 0 ? undefined : size,
      reuse: true,
      signal,
      onSent: () => this.#lookAgain(),
    });
    this.#first = this.#pieces.next();
    this.#first.catch(() => {}); // seen when it is waited for
  }

  /** The content, in order. A piece must be used up when the next is wanted. */
  async *pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    for (
      let step = await this.#first;
      !step.done;
      step = await this.#pieces.next()
    ) yield step.value;
  }

  /** What the file is when all has been read. */
  infoAfter(): Promise<SourceInfo> {
    return this.#after ?? this.#lookAgain();
  }

  /** Gives up what is under way. */
  async stop(): Promise<void> {
    await this.#pieces.return?.().catch(() => {});
  }

  #lookAgain(): Promise<SourceInfo> {
    const after = this.#file.stat({ signal: this.#signal }).then(remoteInfo);
    after.catch(() => {}); // seen when it is waited for
    return this.#after = after;
  }
}

function isSame(a: SourceInfo, b: SourceInfo): boolean {
  return a.size === b.size && a.mtime === b.mtime;
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
