import { constants, type FileHandle, open, rename, rm } from "node:fs/promises";
import type { SftpFile } from "../file.ts";
import type { Sftp } from "../sftp.ts";
import { finished, unfinishedName } from "../_unfinished.ts";
import { aimAt, type LocalAim } from "./_aim.ts";
import { isSameContent } from "./_compare.ts";
import { type Context, looksSame } from "./_copy_all.ts";
import { transferError } from "./_errors.ts";
import {
  aboutFinalName,
  infoOf,
  localUmask,
  lookIfThere,
  writeLocal,
} from "./_local.ts";
import { folderOf, type Item, nameOf, type SourceInfo } from "./_plan.ts";
import { isSameSource, Reading } from "./_reading.ts";
import { remoteInfo } from "./_remote.ts";
import {
  checkCopied,
  OTHER_NAMES,
  tellInPlace,
  unfinishedOf,
  wantedMode,
} from "./_strategy.ts";

/** A file that says that it is empty, as those of /proc do, has no more. */
const MAX_UNSIZED_BYTES = 256 * 1024 * 1024;

/** Copies one file of the server. */
export async function downloadFile(
  sftp: Sftp,
  item: Item,
  context: Context,
): Promise<void> {
  const { signal, options, tally, failedOpens } = context;
  const { from, info } = item;
  signal.throwIfAborted();
  if (!Number.isSafeInteger(info.size)) {
    const why = `the server says that it has ${info.size} bytes`;
    throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
  }
  const aim = await aimAt(item, context);
  const verdict = looksSame(info, aim.there, options);
  if (verdict === "yes") return tally.same(from, info.size);
  let file: SftpFile;
  try {
    file = await sftp.open(from, { read: true, signal });
  } catch (error) {
    failedOpens.add(error as object);
    throw error;
  }
  try {
    if (
      verdict === "compare" && await isThere(sftp, file, item, aim.to, context)
    ) {
      return tally.same(from, info.size);
    }
    await new Download(sftp, file, item, aim, context).run();
  } finally {
    // Nothing was written through it, so nobody needs to wait for it.
    file.close().catch(() => {});
  }
}

async function isThere(
  sftp: Sftp,
  remote: SftpFile,
  { from: path, info: { size } }: Item,
  to: string,
  context: Context,
): Promise<boolean> {
  const local = await open(to, "r");
  try {
    return await isSameContent({ sftp, remote, path, local, size }, context);
  } finally {
    await local.close();
  }
}

/** One file on its way from the server. */
class Download {
  readonly #sftp: Sftp;
  readonly #file: SftpFile;
  readonly #item: Item;
  readonly #aim: LocalAim;
  readonly #context: Context;
  #reading: Reading | undefined;

  constructor(
    sftp: Sftp,
    file: SftpFile,
    item: Item,
    aim: LocalAim,
    context: Context,
  ) {
    this.#sftp = sftp;
    this.#file = file;
    this.#item = item;
    this.#aim = aim;
    this.#context = context;
  }

  async run(): Promise<void> {
    const { options, tally } = this.#context;
    const { there } = this.#aim;
    try {
      // Never through a link: see `aimAt()`.
      const isInPlace = options.write === "in-place" && there?.kind !== "link";
      if (there?.kind === "device") await this.#writeInPlace("it is a device");
      else if (isInPlace) await this.#writeInPlace("");
      else await this.#writeBeside();
    } finally {
      await this.#reading?.stop();
    }
    tally.copied(this.#item.from);
  }

  async #writeBeside(): Promise<void> {
    const { info } = this.#item;
    const { signal, options: { resume = false } } = this.#context;
    const { to, there } = this.#aim;
    const looking = this.#look();
    // Without resuming, reading begins before the answer: see `Reading`.
    const known = resume ? await looking : info;
    const part = await this.#takeUnfinished(known);
    const name = part?.name ?? unfinishedName(nameOf(to), resume);
    const folder = folderOf(to);
    const path = folder + name;
    let local = part?.local;
    let fate: "kept" | "gone" = resume ? "kept" : "gone";
    try {
      try {
        // Not readable by others before it has its permissions.
        local ??= await open(path, "wx+", 0o600);
      } catch (error) {
        fate = "gone";
        const { code } = error as NodeJS.ErrnoException;
        const isDenied = code === "EACCES" || code === "EPERM";
        if (isDenied && there?.kind === "file") {
          finished(name, folder, "gone");
          const why = "a new file may not be made in its folder";
          return await this.#writeInPlace(why);
        }
        throw aboutFinalName(to, error);
      }
      const before = await this.#fill(local, part?.bytes ?? 0, known, looking)
        .catch((error) => {
          const { code } = error as { code?: unknown };
          if (code === "SSH_SFTP_SOURCE_CHANGED") fate = "gone";
          throw error;
        });
      await this.#setAttributes(local, before);
      await local.close();
      signal.throwIfAborted();
      await rename(path, to).catch((error) => {
        throw aboutFinalName(to, error);
      });
      fate = "gone";
    } catch (error) {
      await this.#reading?.stop();
      await local?.close().catch(() => {});
      if (fate === "gone") await rm(path, { force: true });
      throw error;
    } finally {
      finished(name, folder, fate);
    }
  }

  /** Opens an unfinished file that has the beginning of the source. */
  async #takeUnfinished(
    { size }: SourceInfo,
  ): Promise<{ name: string; local: FileHandle; bytes: number } | undefined> {
    const { to } = this.#aim;
    const folder = folderOf(to);
    for (const name of unfinishedOf(this.#item, to, this.#context)) {
      const path = folder + name;
      let local: FileHandle | undefined;
      try {
        local = await openNoLink(path);
        const bytes = local === undefined ? 0 : (await infoOf(local)).size;
        const isUsable = bytes > 0 && bytes <= size &&
          await this.#isSame(local!, bytes);
        if (isUsable) return { name, local: local!, bytes };
        // Nothing was written to it: it may be what a stranger has put there.
        await local?.close();
        await rm(path, { force: true });
        finished(name, folder, "gone");
      } catch (error) {
        await local?.close().catch(() => {});
        finished(name, folder, "kept");
        throw error;
      }
    }
    return undefined;
  }

  #isSame(local: FileHandle, size: number): Promise<boolean> {
    const [sftp, remote] = [this.#sftp, this.#file];
    const { from: path } = this.#item;
    return isSameContent({ sftp, remote, path, local, size }, this.#context);
  }

  #look(): Promise<SourceInfo> {
    const { signal } = this.#context;
    const looking = this.#file.stat({ signal }).then(remoteInfo);
    looking.catch(() => {}); // seen when it is waited for
    return looking;
  }

  /** Writes the content, and checks that the source is what it was. */
  async #fill(
    local: FileHandle,
    start: number,
    known: SourceInfo,
    looking: Promise<SourceInfo>,
  ): Promise<SourceInfo> {
    const { from } = this.#item;
    const { to } = this.#aim;
    const { signal, tally, options } = this.#context;
    if (start > 0) tally.add(from, start);
    let reading = this.#reading = new Reading(this.#file, start, known, signal);
    const before = await looking;
    if (!isSameSource(known, before)) {
      // It changed since it was found, and nothing of it is written yet.
      await reading.stop();
      reading = this.#reading = new Reading(this.#file, start, before, signal);
    }
    let offset = start;
    for await (const piece of reading.pieces()) {
      await writeLocal(local, piece, offset, to);
      offset += piece.length;
      if (before.size === 0 && offset > MAX_UNSIZED_BYTES) {
        throw transferError(
          "SSH_SFTP_TRANSFER_REFUSED",
          from,
          `it says that it is empty, and has more than ${MAX_UNSIZED_BYTES} bytes`,
        );
      }
      tally.add(from, piece.length);
    }
    const after = await reading.infoAfter();
    const size = this.#aim.there?.kind === "device"
      ? offset
      : (await infoOf(local)).size;
    checkCopied(this.#item, { before, after, copied: size }, this.#context);
    if (options.verify && !await this.#isSame(local, size)) {
      const why = "what was written of it is not what the server has";
      throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
    }
    return before;
  }

  /** Sets what the file has of its source, and of the file that it replaces. */
  async #setAttributes(
    local: FileHandle,
    { mode, atime, mtime }: SourceInfo,
  ): Promise<void> {
    const { options: { preserve }, tally } = this.#context;
    const { to, there } = this.#aim;
    const { from } = this.#item;
    const old = there?.kind === "file" ? there : undefined;
    if (old?.owner !== undefined) {
      const { uid, gid } = await local.stat();
      if (uid !== old.owner.uid || gid !== old.owner.gid) {
        await local.chown(old.owner.uid, old.owner.gid).catch(() =>
          tally.notice(
            from,
            "A replaced file does not keep its owner and group, which may not be set",
          )
        );
      }
    }
    if (old?.names !== undefined && old.names > 1) {
      tally.notice(from, OTHER_NAMES);
    }
    const wanted = await wantedMode(
      mode ?? (preserve === true ? undefined : 0o666),
      there,
      this.#context,
      () => localUmask(tally, folderOf(to)),
    );
    if (wanted !== undefined) await local.chmod(wanted);
    if (preserve !== false && atime !== undefined && mtime !== undefined) {
      await local.utimes(atime, mtime);
    }
  }

  /** Writes the target itself. */
  async #writeInPlace(why: string): Promise<void> {
    const { from, info } = this.#item;
    const { tally, options } = this.#context;
    const { to, there } = this.#aim;
    tellInPlace(this.#context, from, why);
    await this.#reading?.stop();
    const isDevice = there?.kind === "device";
    const flags = constants.O_RDWR | (there === null ? constants.O_CREAT : 0) |
      (isDevice ? 0 : constants.O_TRUNC);
    const mode = options.preserve === false ? 0o666 : info.mode ?? 0o666;
    const local = await open(to, flags, mode);
    try {
      const looking = this.#look();
      const { mode, atime, mtime } = await this.#fill(local, 0, info, looking);
      if (isDevice || options.preserve === false) return;
      if (options.preserve === true && mode !== undefined) {
        await local.chmod(mode);
      }
      if (atime !== undefined && mtime !== undefined) {
        await local.utimes(atime, mtime).catch(() => {
          tally.notice(from, "The time of a file that is not ours was not set");
        });
      }
    } finally {
      await local.close();
    }
  }
}

/** Opens a file to write to; `undefined` if it is a link or something else. */
async function openNoLink(path: string): Promise<FileHandle | undefined> {
  if ((await lookIfThere(path))?.kind !== "file") return undefined;
  // Windows has no such flag.
  const noFollow = constants.O_NOFOLLOW ?? 0;
  try {
    return await open(path, constants.O_RDWR | noFollow);
  } catch {
    return undefined;
  }
}
