import type { Stats } from "node:fs";
import {
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  rm,
  stat,
  unlink,
  utimes,
} from "node:fs/promises";
import { join } from "node:path";
import { quotedPath, SftpError } from "../errors.ts";
import type { PacketBuffers } from "../splitter.ts";
import { finished, unfinishedName } from "../_unfinished.ts";
import { NOT_UTF8 } from "./_errors.ts";
import type {
  Child,
  Entry,
  FileTimes,
  Source,
  SourceInfo,
  Target,
} from "./_plan.ts";

/** How large a piece of a local file is, at most. */
const PIECE_BYTES = 256 * 1024;
/** How many are read at once: for each read a thread has to be woken. */
const PIECES = 4;

/** Looks at a path that the caller named: links are followed. */
export async function lookAt(path: string): Promise<Entry> {
  return entryOf(path, await stat(path));
}

/** The local side, copied from. */
export const LOCAL_SOURCE: Source = {
  maxEntries: Infinity,
  async list(path, count) {
    const names = await readdir(path);
    for (const _ of names) count();
    // Of two names that look alike one is not UTF-8.
    const seen = new Set<string>();
    return await Promise.all(names.map((name) => {
      if (seen.has(name)) {
        return { name, path: join(path, name), refused: NOT_UTF8 };
      }
      seen.add(name);
      return childOf(path, name);
    }));
  },
  async follow(path) {
    try {
      return await lookAt(path);
    } catch {
      return undefined;
    }
  },
};

async function childOf(folder: string, name: string): Promise<Child> {
  const path = join(folder, name);
  const entry = await lookIfThere(path);
  if (entry !== undefined) return { name, ...entry };
  const refused = isLossy(name) ? NOT_UTF8 : "it was removed meanwhile";
  return { name, path, refused };
}

/** What is not UTF-8 becomes U+FFFD, which names another file, or none. */
function isLossy(name: string): boolean {
  return name.includes("\ufffd");
}

function lossy(path: string): Entry {
  const info = { size: 0, mode: 0, atime: 0, mtime: 0 };
  const fault = new SftpError(
    "SSH_SFTP_TRANSFER_REFUSED",
    `Cannot remove ${quotedPath(path)}: ${NOT_UTF8}`,
    { path },
  );
  return { path, kind: "other", info, fault };
}

/** Looks at a path; `undefined` if there is nothing. Follows no link. */
export async function lookIfThere(
  path: string,
): Promise<Entry | undefined> {
  try {
    return entryOf(path, await lstat(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** What is known of an open file. */
export async function infoOf(file: FileHandle): Promise<SourceInfo> {
  return sourceInfo(await file.stat());
}

/** What is read of an open file, and how. */
export interface LocalRange {
  readonly start: number;
  /** Where to stop; `Infinity` is the end of the file. */
  readonly end: number;
  /**
   * What the pieces are cut into: a piece has as many of them as fit, so that
   * none is cut off short.
   */
  readonly unitBytes?: number | undefined;
  /** Where the memory of pieces comes from. Default: a new one each time. */
  readonly memory?: PacketBuffers | undefined;
}

/**
 * Reads an open file. What comes next is read while pieces are used.
 *
 * @param path What an error is to call the file.
 */
export async function* readLocal(
  file: FileHandle,
  path: string,
  { start, end, unitBytes = PIECE_BYTES, memory }: LocalRange,
): AsyncGenerator<Uint8Array> {
  const units = Math.max(1, Math.floor(PIECE_BYTES / unitBytes));
  const size = units * unitBytes;
  // One that does not say how long it is may well be empty.
  const pieces = end === Infinity ? 1 : PIECES;
  let offset = start;
  const read = async () => {
    const most = Math.min(pieces * size, end - offset);
    const parts = Math.ceil(most / size);
    const buffer = memory?.take(most, parts) ?? new Uint8Array(most);
    if (most === 0) return buffer;
    const { bytesRead } = await file.read(buffer, 0, most, offset);
    // The parts that there are not.
    for (let n = Math.ceil(bytesRead / size); n < parts; n++) {
      memory?.giveBack(buffer);
    }
    return buffer.subarray(0, bytesRead);
  };
  let next = read();
  try {
    for (;;) {
      const chunk = await next.catch((error) => {
        throw withPath("read", path, error);
      });
      if (chunk.length === 0) return;
      offset += chunk.length;
      next = read();
      next.catch(() => {}); // seen when its turn comes, if it comes
      for (let at = 0; at < chunk.length; at += size) {
        yield chunk.subarray(at, at + size);
      }
    }
  } finally {
    // Not under way any more when the file is closed.
    await next.catch(() => {});
  }
}

/**
 * Writes all of the data.
 *
 * @param path What an error is to call the file.
 */
export async function writeLocal(
  file: FileHandle,
  data: Uint8Array,
  offset: number,
  path: string,
): Promise<void> {
  try {
    await writeAll(file, data, offset);
  } catch (error) {
    throw withPath("write", path, error);
  }
}

async function writeAll(
  file: FileHandle,
  data: Uint8Array,
  offset: number,
): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await file.write(
      data,
      at,
      data.length - at,
      offset + at,
    );
    at += bytesWritten;
  }
}

/**
 * Adds the path to what a runtime throws for an open file: they leave it out,
 * and who copies a folder would not know which disk is full.
 */
function withPath(verb: string, path: string, error: unknown): unknown {
  if (!(error instanceof Error) || "path" in error) return error;
  return named(verb, path, error);
}

/**
 * Names the file in what a runtime throws for the unfinished one beside it,
 * whose name means nothing to the caller.
 *
 * @param path The file that it is to become.
 * @param error The error, which is changed.
 */
export function aboutFinalName(path: string, error: unknown): unknown {
  return error instanceof Error ? named("write", path, error) : error;
}

function named(verb: string, path: string, error: Error): Error {
  const { message, stack } = error;
  // Such as ", open '/srv/.sshpool-....tmp'".
  const what = message.replace(/, \w+ '[^']*'$/, "");
  error.message = `Cannot ${verb} ${quotedPath(path)}: ${what}`;
  if (stack !== undefined) {
    error.stack = stack.replace(message, () => error.message);
  }
  return Object.assign(error, { path });
}

function entryOf(path: string, stats: Stats): Entry {
  const kind = stats.isFile()
    ? "file"
    : stats.isDirectory()
    ? "folder"
    : stats.isSymbolicLink()
    ? "link"
    : stats.isCharacterDevice()
    ? "device"
    : "other";
  const { uid, gid, nlink } = stats;
  return {
    path,
    kind,
    info: sourceInfo(stats),
    owner: { uid, gid },
    names: nlink,
  };
}

function sourceInfo({ size, mode, atimeMs, mtimeMs }: Stats): SourceInfo {
  return {
    size,
    mode: mode & 0o777,
    atime: Math.max(0, Math.floor(atimeMs / 1000)),
    mtime: Math.max(0, Math.floor(mtimeMs / 1000)),
  };
}

/** The local side, copied to. */
export const LOCAL_TARGET: Target = {
  followsLinks: false,
  maxEntries: Infinity,
  async look(path) {
    return await lookIfThere(path) ?? null;
  },
  async follow(path) {
    try {
      return await lookAt(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  },
  async list(path, keeps) {
    const entries = new Map<string, Entry>();
    try {
      for (const name of await readdir(path)) {
        if (!keeps(name)) continue;
        const entry = entries.has(name)
          ? undefined
          : await lookIfThere(join(path, name));
        if (entry !== undefined) entries.set(name, entry);
        // Under what is nobody's name: it is not that of its own path.
        else if (isLossy(name)) {
          entries.set(`${name}/`, lossy(`${path}/${name}`));
        }
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EACCES" || code === "EPERM") return undefined;
      throw error;
    }
    return entries;
  },
  async makeFolder(path, recursive) {
    await mkdir(path, { recursive });
  },
  async remove(path) {
    await rm(path, { recursive: true, force: true });
  },
  removeFile: unlink,
  umask: askUmask,
  ownFile: (folder) => tryFile(folder, 0o600).catch(() => undefined),
  async setFolder(path: string, mode, times: FileTimes | undefined) {
    if (mode !== undefined) await chmod(path, mode);
    if (times !== undefined) await utimes(path, times.atime, times.mtime);
  },
};

/**
 * A file that may have all permissions tells. To ask the runtime would set the
 * umask of the whole process for a moment, other threads and their children too.
 */
async function askUmask(folder: string): Promise<number> {
  const { info: { mode = 0 } } = await tryFile(folder, 0o777);
  return ~mode & 0o777;
}

/** Makes a file for a moment. */
async function tryFile(folder: string, mode: number): Promise<Entry> {
  const name = unfinishedName("");
  try {
    const file = await open(folder + name, "wx", mode);
    const stats = await file.stat();
    await file.close();
    return entryOf(folder + name, stats);
  } finally {
    await rm(folder + name, { force: true });
    finished(name, folder, "gone");
  }
}

/** The umask, by transfer: asking takes four calls. */
const localUmasks = new WeakMap<object, Promise<number>>();

/**
 * Asks once for each transfer.
 *
 * @param transfer What there is one of in each.
 */
export function localUmask(transfer: object, folder: string): Promise<number> {
  const known = localUmasks.get(transfer);
  if (known !== undefined) return known;
  const asked = askUmask(folder).catch((error) => {
    localUmasks.delete(transfer);
    throw error;
  });
  localUmasks.set(transfer, asked);
  return asked;
}
