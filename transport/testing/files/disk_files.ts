/**
 * A folder on disk, as the files that an SFTP server serves.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { constants, type Stats } from "node:fs";
import {
  chmod,
  chown,
  type FileHandle,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  rmdir,
  stat,
  statfs,
  symlink,
  truncate,
  unlink,
  utimes,
} from "node:fs/promises";
import {
  decodeFileName,
  encodeFileName,
  isUnicodeFileName,
} from "../../sftp/names.ts";
import {
  type FileAttributes,
  type FileChanges,
  FileError,
  type FileErrorCode,
  type OpenHow,
  type ServedEntry,
  type ServedFile,
  type ServedFiles,
  type ServedSpace,
} from "../sftp_server/served_files.ts";
import {
  type Found,
  namelessError,
  type PathEnd,
  type TreePath,
  walk,
} from "./_walk.ts";

/** A path, as the client and as the disk has it. */
interface DiskPlace {
  readonly path: string;
  /** For the functions of `node:fs`. */
  readonly native: string | Buffer;
}

/**
 * Works as the user of this process, in a folder that is `/` for the client.
 * Each link is followed here, so that the system has none to follow out of the
 * folder; who can change it meanwhile from elsewhere could still lead it out.
 * Deno has no names that are not UTF-8: there they are refused.
 */
export class DiskFiles implements ServedFiles {
  readonly #folder: string;

  /**
   * @param folder The absolute path of the folder.
   */
  constructor(folder: string) {
    this.#folder = folder.replace(/\/+$/, "");
  }

  open(path: string, how: OpenHow): Promise<ServedFile> {
    const isNew = how.create && how.exclusive;
    return this.#at(path, async ({ native }) => {
      const flags = flagsOf(how) | constants.O_NOFOLLOW;
      return new OpenDiskFile(await open(native, flags, how.mode), how.append);
    }, isNew ? "itself" : "follow");
  }

  stat(path: string): Promise<FileAttributes> {
    return this.#at(
      path,
      async ({ native }) => attributesOf(await stat(native)),
    );
  }

  lstat(path: string): Promise<FileAttributes> {
    return this.#at(
      path,
      async ({ native }) => attributesOf(await lstat(native)),
      "look",
    );
  }

  change(
    path: string,
    { size, mode, times, owner }: FileChanges,
    { isLink = false }: { readonly isLink?: boolean } = {},
  ): Promise<void> {
    return this.#at(path, async ({ native }) => {
      if (size !== undefined) await truncate(native, size);
      if (mode !== undefined) {
        if (isLink && (await lstat(native)).isSymbolicLink()) {
          throw new FileError("EIO"); // Linux has no permissions of links
        }
        await chmod(native, mode);
      }
      const set = isLink ? lutimes : utimes;
      if (times !== undefined) await set(native, times.atime, times.mtime);
      const give = isLink ? lchown : chown;
      if (owner !== undefined) await give(native, owner.uid, owner.gid);
    }, isLink ? "look" : "follow");
  }

  readDir(path: string): Promise<ServedEntry[]> {
    return this.#at(path, async ({ path, native }) => {
      const names = await readdir(native, { encoding: "buffer" });
      const entries: ServedEntry[] = [];
      for (const name of names.map(decodeFileName).sort()) {
        try {
          const attributes = await this.lstat(`${path}/${name}`);
          entries.push({ name, attributes });
        } catch {
          // Gone meanwhile, or not to be looked at.
        }
      }
      return entries;
    });
  }

  makeDir(path: string, mode: number): Promise<void> {
    return this.#at(path, async ({ native }) => {
      await mkdir(native, { mode });
      // Deno leaves the sticky bit out.
      const made = (await stat(native)).mode;
      await chmod(native, (made & 0o777) | (mode & 0o1000));
    }, "itself");
  }

  removeDir(path: string): Promise<void> {
    return this.#at(path, async ({ native }) => {
      const error = namelessError(path);
      if (error !== undefined) throw error;
      await rmdir(native);
    }, "itself");
  }

  remove(path: string): Promise<void> {
    return this.#at(path, async ({ native }) => {
      // Deno's unlink() also takes empty folders.
      if ((await lstat(native)).isDirectory()) throw new FileError("EISDIR");
      await unlink(native);
    }, "itself");
  }

  rename(from: string, to: string): Promise<void> {
    return this.#two(from, to, rename, "itself");
  }

  /** A link's target is the client's own affair: it is followed in the root. */
  symlink(target: string, path: string): Promise<void> {
    return this.#at(path, async ({ native }) => {
      if (target === "") throw new FileError("ENOENT");
      await symlink(nativeName(target), native);
    }, "itself");
  }

  link(existing: string, path: string): Promise<void> {
    return this.#two(existing, path, link, "look");
  }

  readLink(path: string): Promise<string> {
    return this.#at(
      path,
      async ({ native }) =>
        decodeFileName(await readlink(native, { encoding: "buffer" })),
      "look",
    );
  }

  realPath(path: string): Promise<string> {
    return translated(async () => (await this.#walk(path, "real")).path);
  }

  space(path: string): Promise<ServedSpace> {
    return this.#at(path, async ({ native }) => {
      const of = await statfs(native);
      return {
        blockSize: of.bsize,
        blocks: of.blocks,
        freeBlocks: of.bfree,
        availableBlocks: of.bavail,
        files: of.files,
        freeFiles: of.ffree,
        isReadOnly: false,
      };
    });
  }

  async #at<T>(
    path: string,
    work: (place: DiskPlace) => Promise<T>,
    pathEnd: PathEnd = "follow",
  ): Promise<T> {
    return await translated(async () => {
      if (path === "") throw new FileError("ENOENT");
      const { path: found, hasSlash } = await this.#walk(path, pathEnd);
      const slash = hasSlash && found !== "/" ? "/" : "";
      const native = this.#native(`${found}${slash}`);
      return await work({ path: found, native });
    });
  }

  async #walk(path: string, pathEnd: PathEnd): Promise<TreePath> {
    const steps = walk(path, pathEnd);
    let step = steps.next();
    while (step.done !== true) step = steps.next(await this.#find(step.value));
    return step.value;
  }

  async #find(path: string): Promise<Found | undefined> {
    const native = this.#native(path);
    try {
      const found = await lstat(native);
      const isFolder = found.isDirectory();
      if (!found.isSymbolicLink()) return { isFolder };
      const link = await readlink(native, { encoding: "buffer" });
      return { isFolder, link: decodeFileName(link) };
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return undefined;
      throw error;
    }
  }

  #native(path: string): string | Buffer {
    return nativeName(`${this.#folder}${path}`);
  }

  #two(
    from: string,
    to: string,
    work: (from: string | Buffer, to: string | Buffer) => Promise<void>,
    pathEnd: PathEnd,
  ): Promise<void> {
    return this.#at(from, (source) =>
      this.#at(to, async (target) => {
        const isNameless = namelessError(from) ?? namelessError(to);
        if (work === rename && isNameless) throw new FileError("EBUSY");
        await work(source.native, target.native);
      }, "itself"), pathEnd);
  }
}

/** A text as the functions of `node:fs` take it. */
function nativeName(text: string): string | Buffer {
  if (isUnicodeFileName(text)) return text;
  // Deno would take another name.
  if ("Deno" in globalThis) throw new FileError("EINVAL");
  return Buffer.from(encodeFileName(text));
}

class OpenDiskFile implements ServedFile {
  readonly #handle: FileHandle;
  readonly #append: boolean;

  constructor(handle: FileHandle, append: boolean) {
    this.#handle = handle;
    this.#append = append;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return translated(async () => {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await this.#handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    });
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return translated(async () => {
      let done = 0;
      while (done < data.length) {
        const at = this.#append ? null : offset + done;
        const left = data.length - done;
        const result = await this.#handle.write(data, done, left, at);
        done += result.bytesWritten;
      }
    });
  }

  stat(): Promise<FileAttributes> {
    return translated(async () => attributesOf(await this.#handle.stat()));
  }

  change({ size, mode, times, owner }: FileChanges): Promise<void> {
    return translated(async () => {
      if (size !== undefined) await this.#handle.truncate(size);
      if (mode !== undefined) await this.#handle.chmod(mode);
      if (times !== undefined) {
        await this.#handle.utimes(times.atime, times.mtime);
      }
      if (owner !== undefined) await this.#handle.chown(owner.uid, owner.gid);
    });
  }

  sync(): Promise<void> {
    return translated(() => this.#handle.sync());
  }

  close(): Promise<void> {
    return translated(() => this.#handle.close());
  }
}

function flagsOf(how: OpenHow): number {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC, O_EXCL } =
    constants;
  return (how.write ? how.read ? O_RDWR : O_WRONLY : O_RDONLY) |
    (how.append ? O_APPEND : 0) | (how.create ? O_CREAT : 0) |
    (how.truncate ? O_TRUNC : 0) |
    (how.create && how.exclusive ? O_EXCL : 0);
}

function attributesOf(of: Stats): FileAttributes {
  return {
    size: of.size,
    uid: of.uid,
    gid: of.gid,
    mode: of.mode,
    atime: of.atimeMs / 1000,
    mtime: of.mtimeMs / 1000,
  };
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error);
  }
}

/** Node's code, without its message: that has the path on this machine. */
function fileError(error: unknown): FileError {
  if (error instanceof FileError) return error;
  const code = (error as { code?: unknown }).code;
  const isCode = typeof code === "string" && /^E[A-Z]+$/.test(code);
  return new FileError(isCode ? code as FileErrorCode : "EIO", "", {
    cause: error,
  });
}
