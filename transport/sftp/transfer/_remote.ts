import { basename, resolve } from "node:path";
import { abortable } from "../../abort.ts";
import { type Protocol, protocolOf } from "../_protocol.ts";
import { aboutPath, SftpError } from "../errors.ts";
import type { SftpFile, SftpFileInfo } from "../file.ts";
import type { Sftp } from "../sftp.ts";
import { cleanedUp, finished, unfinishedName } from "../_unfinished.ts";
import type { Context } from "./_copy_all.ts";
import {
  type Entry,
  type FileTimes,
  folderOf,
  type Keeps,
  type Named,
  nameOf,
  type SourceInfo,
  type Target,
} from "./_plan.ts";
import { MAX_ENTRIES } from "./_tree_bounds.ts";

/** What is known of a file on the server. */
export function remoteInfo(
  { size, mode, atime, mtime }: SftpFileInfo,
): SourceInfo {
  return {
    size,
    mode: mode === null ? undefined : mode & 0o777,
    atime: atime === null ? undefined : atime.getTime() / 1000,
    mtime: mtime === null ? undefined : mtime.getTime() / 1000,
  };
}

/** What there is at a path of the server. */
export function remoteEntry(path: string, info: SftpFileInfo): Entry {
  const { uid, gid } = info;
  return {
    path,
    kind: kindOf(info),
    info: remoteInfo(info),
    owner: uid === null || gid === null ? undefined : { uid, gid },
  };
}

function kindOf(info: SftpFileInfo): Entry["kind"] {
  if (info.isDirectory) return "folder";
  if (info.isSymlink) return "link";
  if (info.isFile || info.mode === null) return "file";
  const type = info.mode & 0o170000;
  // Some servers tell permissions without a type.
  return type === 0 ? "file" : type === 0o020000 ? "device" : "other";
}

/** Gives `undefined` where there is nothing of that name. */
export async function ifThere<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (error) {
    if (error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND") {
      return undefined;
    }
    throw error;
  }
}

/** A question for the umask, which all transfers of a session share. */
interface Question {
  readonly answer: Promise<number>;
  /** Ends it when nobody waits any more. */
  readonly stop: AbortController;
  waiting: number;
}

/** What new files of a session do not get, by session. */
const umasks = new WeakMap<object, Question>();

/** A server that is copied to. */
export class RemoteTarget implements Target {
  readonly followsLinks = true;
  readonly maxEntries = MAX_ENTRIES;
  readonly sftp: Sftp;
  readonly protocol: Protocol | undefined;
  /** Whether the server has refused to set attributes of a file of ours. */
  refusesAttributes = false;
  /** Who owns what we make, once that is known. */
  owner: Entry["owner"];
  readonly #signal: AbortSignal | undefined;
  #question: Question | undefined;

  /** Takes a session. */
  constructor(sftp: Sftp, signal: AbortSignal | undefined) {
    this.sftp = sftp;
    this.protocol = protocolOf(sftp);
    this.#signal = signal;
  }

  async look(path: string): Promise<Entry | null> {
    const looking = this.sftp.lstat(path, { signal: this.#signal });
    const info = await ifThere(looking);
    return info === undefined ? null : remoteEntry(path, info);
  }

  async follow(path: string): Promise<Entry | null> {
    const looking = this.sftp.stat(path, { signal: this.#signal });
    const info = await ifThere(looking);
    return info === undefined ? null : remoteEntry(path, info);
  }

  async list(
    path: string,
    keeps: Keeps,
  ): Promise<Map<string, Entry> | undefined> {
    const entries = new Map<string, Entry>();
    try {
      const reading = this.sftp.readDir(path, { signal: this.#signal });
      for await (const { name, info, nlink } of reading) {
        const isKept = keeps(name);
        if (isKept === undefined) return undefined;
        if (!isKept) continue;
        const entry = remoteEntry(`${path}/${name}`, info);
        entries.set(name, nlink === null ? entry : { ...entry, names: nlink });
      }
      return entries;
    } catch (error) {
      if (
        error instanceof SftpError &&
        error.code === "SSH_SFTP_PERMISSION_DENIED"
      ) return undefined;
      throw error;
    }
  }

  async makeFolder(path: string, recursive: boolean): Promise<void> {
    await this.sftp.mkdir(path, { recursive, signal: this.#signal });
  }

  async remove(path: string): Promise<void> {
    const options = { recursive: true, signal: this.#signal };
    await ifThere(this.sftp.remove(path, options));
  }

  removeFile(path: string): Promise<void> {
    return this.sftp.remove(path);
  }

  async setFolder(
    path: string,
    mode: number | undefined,
    times: FileTimes | undefined,
  ): Promise<void> {
    const options = { signal: this.#signal };
    if (mode !== undefined) await this.sftp.chmod(path, mode, options);
    if (times === undefined) return;
    const { atime, mtime } = clamped(times);
    await this.sftp.utime(path, atime, mtime, options);
  }

  /** Asks once for each session, by a file that may have all permissions. */
  async umask(
    folder: string,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const key = this.protocol ?? this.sftp;
    const question = umasks.get(key) ?? this.#ask(folder);
    umasks.set(key, question);
    this.#question = question;
    question.waiting++;
    try {
      return await abortable(question.answer, signal);
    } catch (error) {
      // The end of one transfer is not that of the others.
      if (--question.waiting === 0) {
        if (umasks.get(key) === question) umasks.delete(key);
        question.stop.abort(error);
      }
      throw error;
    }
  }

  /** Waits until what it has begun for itself is over. */
  async settled(): Promise<void> {
    await cleanedUp(this.#question?.answer);
  }

  /** Opens a file that is not there yet, to be written and given a name. */
  async openNew(
    path: string,
    source: SourceInfo,
    there: Entry | null | undefined,
    { signal, options, failedOpens }: Context,
  ): Promise<SftpFile> {
    const { resume = false, preserve } = options;
    // Not readable by others before it has its permissions; unless the server
    // lets nobody change them.
    const mode = !this.refusesAttributes
      ? 0o600
      : there?.info.mode ?? (preserve === false ? 0o666 : source.mode ?? 0o600);
    const how = { read: resume, write: true, createNew: true, mode, signal };
    try {
      return await this.sftp.open(path, how);
    } catch (error) {
      failedOpens.add(error as object);
      throw error;
    }
  }

  /** Removes the unfinished file, also if a request to open it was given up. */
  async discard(file: SftpFile | undefined, path: string): Promise<void> {
    const [name, folder] = [nameOf(path), folderOf(path)];
    // Not with the signal of the transfer: it may be what ended the copying.
    const removing = this.sftp.remove(path).then(
      () => finished(name, folder, "gone"),
      (error) => {
        const isGone = error instanceof SftpError &&
          error.code === "SSH_SFTP_NOT_FOUND";
        finished(name, folder, isGone ? "gone" : "left");
      },
    );
    await cleanedUp(file?.close(), removing);
  }

  #ask(folder: string): Question {
    const stop = new AbortController();
    const answer = this.#askUmask(folder, stop.signal);
    answer.catch(() => {}); // whoever waits is told
    return { answer, stop, waiting: 0 };
  }

  async #askUmask(folder: string, signal: AbortSignal): Promise<number> {
    const made = await this.#tryFile(folder, 0o777, signal);
    const mode = made?.info.mode;
    return mode === undefined ? USUAL_UMASK : ~mode & 0o777;
  }

  ownFile(folder: string): Promise<Entry | undefined> {
    return this.#tryFile(folder, 0o600, this.#signal);
  }

  /** Makes a file for a moment; `undefined` if the server refuses. */
  async #tryFile(
    folder: string,
    mode: number,
    signal: AbortSignal | undefined,
  ): Promise<Entry | undefined> {
    const name = unfinishedName("");
    const path = folder + name;
    let file: SftpFile | undefined;
    try {
      file = await this.sftp.open(path, {
        write: true,
        createNew: true,
        mode,
        signal,
      });
      return remoteEntry(path, await file.stat({ signal }));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof SftpError && error.status !== undefined) {
        return undefined;
      }
      throw error;
    } finally {
      await this.discard(file, path);
    }
  }
}

const USUAL_UMASK = 0o022;
const LAST_SECOND = 0xffffffff;

/** SFTP carries times to 2106. */
export function clamped({ atime, mtime }: FileTimes): FileTimes {
  return {
    atime: Math.min(atime, LAST_SECOND),
    mtime: Math.min(mtime, LAST_SECOND),
  };
}

/** Where a target leads to that is a link. */
export async function realTarget(
  { sftp }: RemoteTarget,
  path: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const real = await ifThere(sftp.realPath(path, { signal }));
  if (real !== undefined) return real;
  // It leads to nothing yet, and the server resolves only what is there.
  const target = await sftp.readLink(path, { signal });
  return target.startsWith("/") ? target : folderOf(path) + target;
}

/** Leads `~` home: the paths of what is in a folder are made of it. */
export async function withHome(
  sftp: Sftp,
  path: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const [, name, rest = ""] = /^(~[^/]*)(\/[^]*)?$/.exec(path) ?? [];
  if (name === undefined) return path;
  const home = await sftp.realPath(name, { signal });
  return home.replace(/\/$/, "") + rest;
}

/**
 * A path that ends in a slash is the folder that the source goes into. What a
 * pattern stands for goes into it in any case.
 */
export function intoFolder(to: string, from: string, { glob }: Named): string {
  if (!to.endsWith("/")) return to;
  if (glob !== undefined) return to.replace(/(?!^)\/+$/, "");
  const name = basename(from) === ".."
    ? basename(resolve(from))
    : basename(from);
  if (name !== "" && name !== ".") return to + name;
  return to.length > 1 ? to.slice(0, -1) : to;
}

/** The caller does not know the unfinished file. */
export function aboutTarget(error: unknown, to: string): unknown {
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
