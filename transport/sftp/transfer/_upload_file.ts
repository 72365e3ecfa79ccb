import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { abortable } from "../../abort.ts";
import { cleanedUp } from "../_clean_up.ts";
import { aboutPath, operationError, SftpError } from "../errors.ts";
import type { SftpFile } from "../file.ts";
import type { SftpFileInfo } from "../file_info.ts";
import type { Sftp } from "../sftp.ts";
import { type Context, looksSame } from "./_copy_all.ts";
import { folderOf, nameOf } from "./_copy_plan.ts";
import { infoOf, readLocal } from "./_local.ts";
import {
  checkUnchanged,
  type Entry,
  type Item,
  type SourceInfo,
  transferError,
} from "./_plan.ts";
import { clamped, realTarget, type RemoteTarget } from "./_remote.ts";
import { isSameContent } from "./_compare.ts";
import { OTHER_NAMES, type Tally } from "./_tally.ts";
import { finished, isActive, takenUp, unfinishedName } from "../_unfinished.ts";

/** Where a file goes, and how. */
interface Aim {
  readonly to: string;
  /** What is there; `null` if nothing, `undefined` if it is not known. */
  readonly there: Entry | null | undefined;
  /** Why it is written in place, if it is. */
  readonly inPlace?: string;
}

/** How often an aim may change: a link may lead to a link, and that to a folder. */
const MAX_AIMS = 10;

/** Copies one local file to the server. */
export async function uploadFile(
  target: RemoteTarget,
  item: Item,
  context: Context,
): Promise<void> {
  const { signal, options, tally } = context;
  signal.throwIfAborted();
  if (item.there === undefined && (options.changedOnly || options.resume)) {
    item.there = await target.look(item.to);
  }
  const verdict = looksSame(item.info, item.there, options);
  if (verdict === "yes") return tally.same(item.from, item.info.size);
  const local = await open(item.from, "r");
  try {
    if (
      verdict === "compare" && await isThere(target.sftp, local, item, context)
    ) {
      return tally.same(item.from, item.info.size);
    }
    await new Upload(target, local, item, context).run();
  } catch (error) {
    const about = aboutTarget(error, item.to);
    const { failedOpens } = context;
    if (failedOpens.has(error as object)) failedOpens.add(about as object);
    throw about;
  } finally {
    await local.close();
  }
}

/** Whether a target has the content of its source already. */
async function isThere(
  sftp: Sftp,
  local: FileHandle,
  { to: path, info: { size } }: Item,
  context: Context,
): Promise<boolean> {
  const { signal } = context;
  const remote = await sftp.open(path, { read: true, signal });
  try {
    return await isSameContent({ sftp, remote, path, local, size }, context);
  } finally {
    remote.close().catch(() => {});
  }
}

/** The caller does not know the unfinished file. */
function aboutTarget(error: unknown, to: string): unknown {
  if (!(error instanceof SftpError) || error.path === undefined) return error;
  const { path, host, code } = error;
  const about = aboutPath(error, path, { action: "write", path: to, host });
  if (code !== "SSH_SFTP_NOT_FOUND" || !(about instanceof SftpError)) {
    return about;
  }
  const { message, status, mayHaveRun } = about;
  return new SftpError(code, message, {
    host,
    path: to,
    status,
    mayHaveRun,
    cause: error,
    hint: "parents: true makes the folders above it",
  });
}

/** One file on its way to the server. */
class Upload {
  readonly #target: RemoteTarget;
  readonly #local: FileHandle;
  readonly #item: Item;
  readonly #context: Context;
  #counted = 0;

  constructor(
    target: RemoteTarget,
    local: FileHandle,
    item: Item,
    context: Context,
  ) {
    this.#target = target;
    this.#local = local;
    this.#item = item;
    this.#context = context;
  }

  async run(): Promise<void> {
    const { to, there, from } = this.#item;
    const { options, tally } = this.#context;
    const inPlace = options.write === "in-place" ? { inPlace: "" } : {};
    let aim: Aim | undefined = { to, there, ...inPlace };
    for (let aims = 0; aim !== undefined; aims++) {
      if (aims > MAX_AIMS) {
        const why = "its target is a link that leads in a circle";
        throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
      }
      aim = aim.inPlace === undefined
        ? await this.#writeBeside(aim)
        : await this.#writeInPlace(aim);
    }
    tally.copied(from);
  }

  /** Where the file goes instead, if what is there says so. */
  async #aimAfter(aim: Aim, there: Entry | null): Promise<Aim | undefined> {
    const { from, isNamed = false } = this.#item;
    const { signal, options: { replaceLinks = false } } = this.#context;
    const { to, inPlace } = aim;
    switch (there?.kind) {
      case "folder":
        if (isNamed) {
          const into = `${to.replace(/\/+$/, "")}/${basename(from)}`;
          return { ...aim, to: into, there: undefined };
        }
        throw operationError("SSH_SFTP_IS_A_DIRECTORY", {
          action: "write",
          path: to,
          host: this.#target.protocol?.host,
        });
      case "link": {
        if (replaceLinks && inPlace === undefined) return undefined;
        const real = await realTarget(this.#target, to, signal);
        return { ...aim, to: real, there: undefined };
      }
      case "device":
        return inPlace === undefined
          ? { to, there, inPlace: "it is a device" }
          : undefined;
      case "other":
        throw transferError(
          "SSH_SFTP_TRANSFER_REFUSED",
          from,
          "its target is there, and is no regular file",
        );
    }
    return undefined;
  }

  /** Writes a new file beside the target, and renames it. */
  async #writeBeside(aim: Aim): Promise<Aim | undefined> {
    const { signal, tally, options } = this.#context;
    const { to, there } = aim;
    const known = there === undefined
      ? undefined
      : await this.#aimAfter(aim, there);
    if (known !== undefined) return known;
    const { resume = false } = options;
    const part = await this.#takeUnfinished(to);
    const name = part?.name ?? unfinishedName(nameOf(to), resume);
    const folder = folderOf(to);
    const path = folder + name;
    let file = part?.file;
    let isKept = resume;
    try {
      const [opening, looking] = await Promise.allSettled([
        file ?? this.#openNew(path, there),
        there === undefined ? this.#target.look(to) : there,
      ]);
      if (opening.status === "fulfilled") file = opening.value;
      if (looking.status === "rejected") throw looking.reason;
      const existing = looking.value;
      const other = there === undefined
        ? await this.#aimAfter(aim, existing)
        : undefined;
      if (other !== undefined) {
        isKept = false;
        await this.#discard(file, path);
        return other;
      }
      if (opening.status === "rejected") {
        const why = opening.reason;
        if (existing?.kind !== "file" || !isDenied(why)) throw why;
        await this.#discard(undefined, path);
        const inPlace = "a new file may not be made in its folder";
        return { to, there: existing, inPlace };
      }
      tally.hasChanged = true;
      const start = part?.bytes ?? 0;
      if (start > 0) this.#count(start);
      const next = await this.#fill(file!, start, { ...aim, there: existing })
        .catch((error) => {
          const { code } = error as { code?: unknown };
          if (code === "SSH_SFTP_SOURCE_CHANGED") isKept = false;
          throw error;
        });
      if (next === undefined) await this.#verify(path);
      const after = next ?? await this.#putInPlace(path, to, existing);
      if (after !== undefined) {
        this.#uncount();
        await this.#discard(file, path);
        return after;
      }
      finished(name, folder, "gone");
      return undefined;
    } catch (error) {
      if (file === undefined && !signal.aborted && !isLost(error)) {
        finished(name, folder, "gone");
      } else if (isKept) {
        await cleanedUp(...file === undefined ? [] : [file.close()]);
        finished(name, folder, "kept");
      } else await this.#discard(file, path);
      throw error;
    }
  }

  /** Opens an unfinished file that has the beginning of the source. */
  async #takeUnfinished(
    to: string,
  ): Promise<{ name: string; file: SftpFile; bytes: number } | undefined> {
    const { from, info, unfinished = [], to: named } = this.#item;
    const { signal, options: { resume = false } } = this.#context;
    if (!resume || to !== named) return undefined;
    const folder = folderOf(to);
    const { sftp } = this.#target;
    for (const name of unfinished) {
      if (isActive(name)) {
        const why = "another copy of it to the same target is under way";
        throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
      }
      takenUp(name);
      const path = folder + name;
      let file: SftpFile | undefined;
      try {
        file = await sftp.open(path, { read: true, write: true, signal });
        const { size } = await file.stat({ signal });
        const isUsable = size > 0 && size <= info.size &&
          await this.#isSame(file, path, size);
        if (isUsable) return { name, file, bytes: size };
        // Nothing was written to it: it may be what a stranger has put there.
        await this.#discard(file, path);
      } catch (error) {
        await cleanedUp(...file === undefined ? [] : [file.close()]);
        finished(name, folder, "kept");
        const isRefused = error instanceof SftpError &&
          error.status !== undefined;
        if (!isRefused) throw error;
      }
    }
    return undefined;
  }

  async #openNew(
    path: string,
    there: Entry | null | undefined,
  ): Promise<SftpFile> {
    const { signal, options, failedOpens } = this.#context;
    const { mode: sourceMode = 0o600 } = this.#item.info;
    // Not readable by others before it has its permissions; unless the server
    // lets nobody change them.
    const mode = !this.#target.refusesAttributes
      ? 0o600
      : there?.info.mode ?? (options.preserve === false ? 0o666 : sourceMode);
    try {
      return await this.#target.sftp.open(path, {
        read: options.resume ?? false,
        write: true,
        createNew: true,
        mode,
        signal,
      });
    } catch (error) {
      failedOpens.add(error as object);
      throw error;
    }
  }

  /** Writes the content and sets the attributes; the server has the file then. */
  async #fill(
    file: SftpFile,
    start: number,
    aim: Aim,
  ): Promise<Aim | undefined> {
    const { from } = this.#item;
    const { signal, isTree, tally } = this.#context;
    const before = await infoOf(this.#local);
    const end = before.size === 0 ? Infinity : before.size;
    let ending: Promise<number> | undefined;
    await file.writeFrom(this.#source(start, end), start, {
      signal,
      onSent: () => {
        ending = this.#finish(file, before, aim);
        ending.catch(() => {}); // a failed write comes first
      },
    });
    let copied: number;
    try {
      copied = await ending ?? 0;
    } catch (error) {
      // Once more: what is made from now on has its permissions from the start.
      if (!this.#target.refusesAttributes || !isDenied(error)) throw error;
      return aim;
    }
    const after = await infoOf(this.#local);
    if (checkUnchanged(from, before, after, copied, isTree)) {
      tally.notice(
        from,
        "A file grew while it was copied: the copy ends where it ended before",
      );
    }
    return undefined;
  }

  async *#source(start: number, end: number): AsyncGenerator<Uint8Array> {
    const { from } = this.#item;
    const { signal } = this.#context;
    for await (const piece of readLocal(this.#local, start, end, from)) {
      signal.throwIfAborted();
      yield piece;
      this.#count(piece.length);
    }
  }

  #count(bytes: number): void {
    this.#counted += bytes;
    this.#context.tally.add(this.#item.from, bytes);
  }

  /** It is written again. */
  #uncount(): void {
    this.#count(-this.#counted);
  }

  /** Sets the attributes, asks for the size, and closes: one round trip. */
  async #finish(
    file: SftpFile,
    source: SourceInfo,
    { to, there, inPlace }: Aim,
  ): Promise<number> {
    const { signal } = this.#context;
    const asked = this.#mode(source, to, there);
    const mode = asked instanceof Promise ? await asked : asked;
    const [written] = await Promise.all([
      this.#look(file),
      this.#setOwner(file, there, inPlace),
      this.#setAttributes(file, source, { mode, inPlace }),
      abortable(file.close(), signal),
    ]);
    // All writes were acknowledged, and `sftp` looks no further.
    if (written === undefined) return source.size;
    const { size, uid, gid } = written;
    if (uid !== null && gid !== null && there === null) {
      this.#target.owner ??= { uid, gid };
    }
    return size;
  }

  /** Some servers let a file be written, and not be looked at. */
  #look(file: SftpFile): Promise<SftpFileInfo | undefined> {
    const { signal } = this.#context;
    return file.stat({ signal }).catch((error) => {
      if (isDenied(error)) return undefined;
      throw error;
    });
  }

  /** The permissions that the file is to have. */
  #mode(
    { mode }: SourceInfo,
    to: string,
    there: Entry | null | undefined,
  ): number | undefined | Promise<number> {
    const { options: { preserve }, signal } = this.#context;
    if (preserve === true) return mode;
    const old = there?.kind === "file" ? there.info.mode : undefined;
    if (old !== undefined) return old;
    const wanted = preserve === false ? 0o666 : mode;
    if (wanted === undefined) return undefined;
    return this.#target.umask(folderOf(to), signal)
      .then((umask) => wanted & ~umask);
  }

  /** Keeps the owner of the file that is replaced, where we may. */
  async #setOwner(
    file: SftpFile,
    there: Entry | null | undefined,
    inPlace: string | undefined,
  ): Promise<void> {
    if (there?.kind !== "file" || inPlace !== undefined) return;
    const { signal, tally } = this.#context;
    const { owner, names = 1 } = there;
    if (names > 1) tally.notice(this.#item.from, OTHER_NAMES);
    const ours = this.#target.owner;
    if (owner === undefined) return;
    if (owner.uid === ours?.uid && owner.gid === ours.gid) return;
    try {
      await file.setAttributes({ owner }, { signal });
    } catch (error) {
      if (!(error instanceof SftpError) || error.status === undefined) {
        throw error;
      }
      const now = await file.stat({ signal }).catch(() => undefined);
      if (now?.uid === owner.uid && now.gid === owner.gid) return;
      tally.notice(
        this.#item.from,
        "A replaced file does not keep its owner and group, which the server refuses to set",
      );
    }
  }

  async #setAttributes(
    file: SftpFile,
    { atime, mtime }: SourceInfo,
    { mode, inPlace }: {
      mode: number | undefined;
      inPlace: string | undefined;
    },
  ): Promise<void> {
    const { options: { preserve }, signal, tally } = this.#context;
    const times = preserve === false || atime === undefined ||
        mtime === undefined
      ? undefined
      : clamped({ atime, mtime });
    if (times !== undefined && times.mtime !== mtime) {
      tally.notice(
        this.#item.from,
        "A time after 2106 was set to that of 2106",
      );
    }
    if (this.#target.refusesAttributes) return;
    // What was there before keeps its permissions.
    const changes = {
      mode: inPlace === undefined || preserve === true ? mode : undefined,
      times,
    };
    if (changes.mode === undefined && times === undefined) return;
    try {
      await file.setAttributes(changes, { signal });
    } catch (error) {
      if (!isDenied(error)) throw error;
      tally.notice(
        this.#item.from,
        "The server refuses to set permissions and times",
      );
      if (inPlace !== undefined) return;
      this.#target.refusesAttributes = true;
      throw error;
    }
  }

  /** Reads the unfinished file back, if the options ask for it. */
  async #verify(path: string): Promise<void> {
    const { signal, options: { verify = false } } = this.#context;
    if (!verify) return;
    const { size } = await infoOf(this.#local);
    const file = await this.#target.sftp.open(path, { read: true, signal });
    try {
      if (await this.#isSame(file, path, size)) return;
    } finally {
      file.close().catch(() => {});
    }
    throw transferError(
      "SSH_SFTP_TRANSFER_REFUSED",
      this.#item.from,
      "what the server has of it is not what was sent",
    );
  }

  #isSame(remote: SftpFile, path: string, size: number): Promise<boolean> {
    const { sftp } = this.#target;
    const local = this.#local;
    return isSameContent({ sftp, remote, path, local, size }, this.#context);
  }

  /** Gives the file its name; or says how it is to be written instead. */
  async #putInPlace(
    path: string,
    to: string,
    there: Entry | null,
  ): Promise<Aim | undefined> {
    const { signal, tally } = this.#context;
    const { sftp, protocol } = this.#target;
    try {
      return void await sftp.rename(path, to, { signal });
    } catch (error) {
      if (!(error instanceof SftpError) || error.status === undefined) {
        throw error;
      }
      if (error.code === "SSH_SFTP_PERMISSION_DENIED") {
        return { to, there, inPlace: "it may not be renamed to" };
      }
      const canReplace = protocol?.has("posix-rename@openssh.com", "1") ?? true;
      if (canReplace || there === null) throw error;
      tally.notice(
        this.#item.from,
        "The server cannot replace a file in one step: the old one was removed first",
      );
      await sftp.remove(to, { signal });
      return void await sftp.rename(path, to, { signal });
    }
  }

  /** Writes the target itself. */
  async #writeInPlace(aim: Aim): Promise<Aim | undefined> {
    const { to, inPlace } = aim;
    const { signal, tally, options } = this.#context;
    const { from, info } = this.#item;
    const there = aim.there === undefined
      ? await this.#target.look(to)
      : aim.there;
    const other = await this.#aimAfter(aim, there);
    if (other !== undefined) return other;
    const isDevice = there?.kind === "device";
    const mode = options.preserve === false ? undefined : info.mode;
    const file = await this.#target.sftp.open(to, {
      write: true,
      truncate: !isDevice,
      create: there === null,
      ...(mode === undefined ? {} : { mode }),
      signal,
    });
    tally.hasChanged = true;
    if (inPlace !== "") {
      tally.notice(
        from,
        `A file was written in place, so that others can see half of it: ${inPlace}`,
      );
    }
    try {
      if (!isDevice) {
        await this.#fill(file, 0, { ...aim, there });
        await this.#verify(to);
      } else {
        await file.writeFrom(this.#source(0, Infinity), 0, { signal });
        await file.close();
      }
    } catch (error) {
      await cleanedUp(file.close());
      throw error;
    }
    return undefined;
  }

  /** Removes the unfinished file, also if a request to open it was given up. */
  async #discard(file: SftpFile | undefined, path: string): Promise<void> {
    const [name, folder] = [nameOf(path), folderOf(path)];
    // Not with the signal of the transfer: it may be what ended the copying.
    const removing = this.#target.sftp.remove(path).then(
      () => finished(name, folder, "gone"),
      (error) => {
        const isGone = error instanceof SftpError &&
          error.code === "SSH_SFTP_NOT_FOUND";
        finished(name, folder, isGone ? "gone" : "left");
      },
    );
    await cleanedUp(...file === undefined ? [] : [file.close()], removing);
  }
}

/** Whether the server says that this may not be done, or cannot. */
function isDenied(error: unknown): boolean {
  return error instanceof SftpError && error.status !== undefined &&
    (error.code === "SSH_SFTP_PERMISSION_DENIED" ||
      error.code === "SSH_SFTP_UNSUPPORTED");
}

/** Whether it is not known what the server has done. */
function isLost(error: unknown): boolean {
  return !(error instanceof SftpError) || error.status === undefined;
}

/** Makes a link on the server. */
export async function uploadLink(
  target: RemoteTarget,
  says: string,
  { from, to, there: known }: Item,
  { tally, signal }: {
    readonly tally: Tally;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { sftp, protocol } = target;
  const there = known === undefined ? await target.look(to) : known;
  try {
    if (there === null) return await makeLink(sftp, says, to, signal);
    if (
      there.kind === "link" && await sftp.readLink(to, { signal }) === says
    ) return;
    // Others may follow the link that they are to rename: proftpd does.
    const isOpenSsh = protocol?.has("lsetstat@openssh.com", "1") &&
      protocol.has("posix-rename@openssh.com", "1") &&
      protocol.has("expand-path@openssh.com", "1");
    if (!isOpenSsh && there.kind !== "folder") {
      tally.notice(from, "A link was replaced by removing the old one first");
      await sftp.remove(to, { signal });
      return await makeLink(sftp, says, to, signal);
    }
    const folder = folderOf(to);
    const name = unfinishedName(nameOf(to));
    const path = folder + name;
    let fate: "gone" | "left" = "left";
    try {
      await makeLink(sftp, says, path, signal);
      await sftp.rename(path, to, { signal });
      fate = "gone";
    } catch (error) {
      await cleanedUp(sftp.remove(path).then(() => void (fate = "gone")));
      throw error;
    } finally {
      finished(name, folder, fate);
    }
  } catch (error) {
    const isRefused = error instanceof SftpError && error.status !== undefined;
    if (signal?.aborted || !isRefused) throw error;
    const { code, status, host } = error;
    throw new SftpError(
      code,
      transferError(code, from, "the link cannot be made").message,
      {
        path: from,
        host,
        status,
        cause: error,
        hint:
          'symlinks: "skip" leaves links out, "follow" copies what they lead to',
      },
    );
  }
}

/** Makes a link; removes what a request may have made that was given up. */
async function makeLink(
  sftp: Sftp,
  says: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await sftp.symlink(says, path, { signal });
  } catch (error) {
    if (signal?.aborted) await cleanedUp(sftp.remove(path));
    throw error;
  }
}
