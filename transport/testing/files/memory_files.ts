/**
 * {@linkcode MemoryFiles}: a file system in memory.
 *
 * @module
 */

import type { SftpFileInfo } from "../../sftp/file.ts";
import { OpenFlag } from "../../sftp/packets.ts";
import {
  accepting,
  callback,
  fileMode,
  plainText,
  remotePath,
} from "../../options/rules.ts";
import { Field, OptionTable } from "../../options/table.ts";
import { toBytes } from "../scripts/byte_queue.ts";
import { FileError, type FileErrorCode } from "./file_error.ts";
import { type FileAttributes, kindOf, TypeBits } from "./file_node.ts";
import { MemoryTree } from "./memory_tree.ts";

/** A file, a folder or a link, with its attributes. */
export interface MemoryEntry {
  /** What is in the file. Default: nothing. */
  readonly content?: string | Uint8Array;
  /** Makes it a symbolic link, which leads there. */
  readonly link?: string;
  /**
   * Its permissions, which are shown and not enforced.
   *
   * @default {0o644 of a file, 0o755 of a folder}
   */
  readonly mode?: number;
  /** When it was last written. Default: by the clock of the file system. */
  readonly mtime?: Date;
}

/**
 * Files by absolute path. A path that ends with `/` is a folder; folders on the
 * way are made as well.
 */
export type MemoryContent = Readonly<
  Record<string, string | Uint8Array | MemoryEntry>
>;

/** Options for {@linkcode MemoryFiles}. */
export interface MemoryFilesOptions {
  /**
   * The folder in which relative paths begin. It is made.
   *
   * @default {"/home/ops"}
   */
  readonly home?: string;
  /**
   * Gives the time of a change, in seconds since 1970. By default the clock
   * begins at 1,000,000,000 and goes one second further with each change, so
   * that a test sees the same times whenever it runs.
   */
  readonly now?: () => number;
}

const OPTIONS = new OptionTable<MemoryFilesOptions>("make the files", {
  home: plainText,
  now: callback,
});

const ENTRY = new OptionTable<MemoryEntry>("write the file", {
  content: accepting("a string or a Uint8Array", isContent),
  link: remotePath,
  mode: fileMode,
  mtime: accepting(
    "a Date with a time",
    (value) => value instanceof Date && !Number.isNaN(value.getTime()),
  ),
}, { noun: "field", synonyms: { target: "link", permissions: "mode" } });

function isContent(value: unknown): value is string | Uint8Array {
  return typeof value === "string" || value instanceof Uint8Array;
}

/**
 * A file system in memory: folders, files and symbolic links, each with a mode
 * and a time, and with names that may be any bytes. SFTP sessions work on it,
 * and the methods here are for the test itself: they act at once.
 *
 * It is a map, and no Unix: modes and owners are kept and shown but forbid
 * nothing, and it never is full. A failure is scripted
 * with `onSftpRequest` of the host, as below.
 *
 * @example Prepare files, fail a request, and look at what became of them
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import {
 *   FileError,
 *   MemoryConnector,
 *   MemoryFiles,
 * } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const files = new MemoryFiles({
 *   "/etc/app.conf": "port = 80\n",
 *   "/srv/key": { content: "x", mode: 0o600 },
 *   "/srv/releases/": "",
 * });
 * const connector = new MemoryConnector({
 *   files,
 *   onSftpRequest: ({ path }) =>
 *     path === "/srv/key" ? new FileError("EACCES") : "ok",
 * });
 * await using pool = new ConnectionPool({ connector, config: false });
 * await using sftp = await pool.sftp("ops@web-1");
 * await sftp.writeTextFile("/srv/releases/1", "new", { atomic: true });
 * assertEquals(files.readTextFile("/srv/releases/1"), "new");
 * await assertRejects(() => sftp.readFile("/srv/key"), Error, "permission");
 * ```
 */
export class MemoryFiles {
  /** The folder in which relative paths begin. */
  readonly home: string;
  readonly #tree: MemoryTree;

  /**
   * Makes a file system.
   *
   * @param content What is in it from the first.
   * @param options Its home and its clock.
   * @throws {TypeError | RangeError} If an option is unknown or wrong, or a
   *   field of an entry.
   * @throws {FileError} If a path is none, or two paths exclude each other.
   */
  constructor(content: MemoryContent = {}, options: MemoryFilesOptions = {}) {
    const { home = "/home/ops", now } = OPTIONS.check(options);
    this.home = home;
    this.#tree = new MemoryTree(home, now);
    this.writeFile(`${home}/`, {});
    for (const [path, entry] of Object.entries(content)) {
      this.writeFile(path, path.endsWith("/") && entry === "" ? {} : entry);
    }
  }

  /** How many files SFTP sessions have open; one that is open twice is two. */
  get openFiles(): number {
    return this.#tree.openFiles;
  }

  /**
   * Reads a file.
   *
   * @param path Its path; relative ones begin in the home, here and below.
   * @returns A copy of what is in it.
   * @throws {FileError} If there is no such file.
   */
  readFile(path: string): Uint8Array<ArrayBuffer> {
    return act("read", path, () => this.#tree.readAll(path));
  }

  /**
   * Reads a file as UTF-8.
   *
   * @param path Its path.
   * @returns The text.
   * @throws {FileError} If there is no such file.
   */
  readTextFile(path: string): string {
    return new TextDecoder().decode(this.readFile(path));
  }

  /**
   * Writes a file, in place of what was in it, or makes a link or, where the
   * path ends with `/`, a folder. Folders on the way are made.
   *
   * @param path Its path.
   * @param content What is to be in it; text becomes UTF-8. Of an entry without
   *   `content`, what is in it stays.
   * @throws {TypeError | RangeError} If a field of an entry is unknown or wrong.
   * @throws {FileError} If the path is a folder, or that of a link is taken.
   */
  writeFile(path: string, content: string | Uint8Array | MemoryEntry): void {
    const at = new Field(`write ${JSON.stringify(path)}`, "entry");
    const { link, mode, mtime, content: bytes }: MemoryEntry =
      isContent(content)
        ? { content }
        : ENTRY.check(content, at, "a string, a Uint8Array or an object");
    act("write", path, () => {
      this.#makeFolders(path.slice(0, path.lastIndexOf("/") + 1));
      if (link !== undefined) this.#tree.symlink(link, path);
      else if (bytes !== undefined || !this.exists(path)) {
        this.#write(path, bytes ?? "");
      }
      this.#tree.change(path, {
        mode: link === undefined ? mode : undefined,
        times: mtime && timesOf(mtime),
      }, link !== undefined);
    });
  }

  /**
   * Removes a file or a link, or a folder with all that is in it.
   *
   * @param path Its path.
   * @throws {FileError} If there is no such file.
   */
  remove(path: string): void {
    act("remove", path, () => this.#tree.removeAll(path));
  }

  /**
   * Returns whether something has a path. A link that leads nowhere has.
   *
   * @param path The path.
   */
  exists(path: string): boolean {
    return this.#tree.exists(path);
  }

  /**
   * Returns the attributes of a file; of the link itself, if it is one.
   *
   * @param path Its path.
   * @returns What SFTP's `lstat` tells of it.
   * @throws {FileError} If there is no such file.
   */
  lstat(path: string): SftpFileInfo {
    return act("look at", path, () => infoOf(this.#tree.stat(path, false)));
  }

  /**
   * Returns the attributes of a file.
   *
   * @param path Its path; links are followed.
   * @returns What SFTP's `stat` tells of it.
   * @throws {FileError} If there is no such file.
   */
  stat(path: string): SftpFileInfo {
    return act("look at", path, () => infoOf(this.#tree.stat(path)));
  }

  /**
   * Lists all paths below a folder, at any depth: folders end with `/`.
   *
   * @param folder The folder. Default: all there is.
   * @returns The paths, sorted.
   * @throws {FileError} If there is no such folder.
   */
  paths(folder = "/"): string[] {
    return act("list", folder, () => this.#tree.paths(folder)).sort();
  }

  /**
   * Returns the files, for a server.
   *
   * @internal
   * @returns What an SFTP session works on.
   */
  served(): MemoryTree {
    return this.#tree;
  }

  #makeFolders(path: string): void {
    const parts = path.split("/");
    for (let count = 1; count <= parts.length; count++) {
      const part = parts.slice(0, count).join("/");
      if (part === "" || this.#isFolder(part)) continue;
      this.#tree.makeDir(part, 0o755);
    }
  }

  #isFolder(path: string): boolean {
    return this.exists(path) && this.stat(path).isDirectory;
  }

  #write(path: string, content: string | Uint8Array): void {
    const { WRITE, CREATE, TRUNCATE } = OpenFlag;
    const file = this.#tree.open(path, WRITE | CREATE | TRUNCATE, 0o644);
    file.write(0, toBytes(content));
    file.close();
  }
}

const WORDS: Partial<Record<FileErrorCode, string>> = {
  EEXIST: "something has this path already",
  EISDIR: "it is a folder",
  EBUSY: "it is in use",
  ELOOP: "too many links lead to each other",
  ENOENT: "there is no such file",
  ENOTDIR: "a part of it is no folder",
};

/** Does something for the test, and says what it was if it fails. */
function act<T>(what: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof FileError) || error.message !== "") throw error;
    const why = WORDS[error.code] ?? error.code;
    const message = `Cannot ${what} ${JSON.stringify(path)}: ${why}`;
    throw new FileError(error.code, message, { cause: error });
  }
}

function timesOf(mtime: Date): { atime: number; mtime: number } {
  const seconds = Math.floor(mtime.getTime() / 1000);
  return { atime: seconds, mtime: seconds };
}

/** Returns what SFTP tells of a file. */
function infoOf(of: FileAttributes): SftpFileInfo {
  const kind = kindOf(of.mode);
  return {
    isFile: kind === TypeBits.FILE,
    isDirectory: kind === TypeBits.FOLDER,
    isSymlink: kind === TypeBits.LINK,
    size: of.size,
    mtime: new Date(of.mtime * 1000),
    atime: new Date(of.atime * 1000),
    mode: of.mode,
    uid: of.uid,
    gid: of.gid,
  };
}
