/**
 * {@linkcode MemoryFiles}: a file system in memory.
 *
 * @module
 */

import type { SftpFileInfo } from "../../sftp/file_info.ts";
import type { ServedFiles } from "../sftp_server/served_files.ts";
import { TypeBits } from "./_node.ts";
import { act, infoOf, READ, WRITE } from "./_root_access.ts";
import { User } from "./_user.ts";
import { UserFiles } from "./_user_files.ts";
import { Volume } from "./_volume.ts";
import type {
  MemoryContent,
  MemoryEntry,
  MemoryFilesOptions,
} from "./memory_files_options.ts";

/**
 * A file system in memory: folders, files, symbolic and hard links, with
 * permissions, owners, times and a limited size, and with names that may be
 * any bytes. SFTP sessions work on it as its user, and permissions count for
 * them. The methods here are for the test itself: they act at once and as
 * root.
 *
 * Two things are left out: reading a file does not change its `atime`, and a
 * user has one group.
 *
 * @example Prepare files, and look at what became of them
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { MemoryConnector, MemoryFiles } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const files = new MemoryFiles({
 *   "/etc/app.conf": "port = 80\n",
 *   "/etc/secret": { content: "x", mode: 0o600, uid: 0, gid: 0 },
 *   "/srv/releases/": "",
 * });
 * const connector = new MemoryConnector({ files });
 * await using pool = new ConnectionPool({ connector, config: false });
 * await using sftp = await pool.sftp("ops@web-1");
 * await sftp.writeTextFile("/srv/releases/1", "new", { atomic: true });
 * assertEquals(files.readTextFile("/srv/releases/1"), "new");
 * await assertRejects(() => sftp.readFile("/etc/secret"), Error, "permission");
 * files.capacityBytes = files.usedBytes + 10;
 * await assertRejects(() => sftp.writeTextFile("/srv/big", "x".repeat(11)));
 * ```
 */
export class MemoryFiles {
  /** The number of the user who works on it over SFTP. */
  readonly uid: number;
  /** The number of the group of that user. */
  readonly gid: number;
  /** The folder in which relative paths begin. */
  readonly home: string;
  readonly #volume: Volume;
  readonly #umask: number;
  /** The view of root, for whom permissions do not count. */
  readonly #root: UserFiles;

  /**
   * Makes a file system.
   *
   * @param content What is in it from the first.
   * @param options Its user and its size.
   * @throws {FileError} If a path is none, or two paths exclude each other.
   */
  constructor(content: MemoryContent = {}, options: MemoryFilesOptions = {}) {
    const { uid = 1000, gid = 1000, home = "/home/ops" } = options;
    this.uid = uid;
    this.gid = gid;
    this.home = home;
    this.#umask = options.umask ?? 0o022;
    this.#volume = new Volume({
      capacityBytes: options.capacityBytes ?? 2 ** 40,
      capacityFiles: options.capacityFiles ?? 2 ** 20,
      isReadOnly: false,
      now: options.now,
    }, { uid, gid, mode: 0o755 });
    this.#root = this.#view(new User(0, 0), 0);
    this.mkdir(home);
    for (const [path, entry] of Object.entries(content)) {
      this.#put(path, entry);
    }
    this.isReadOnly = options.isReadOnly ?? false;
  }

  /** How many bytes all files together may have. */
  get capacityBytes(): number {
    return this.#volume.options.capacityBytes;
  }

  set capacityBytes(bytes: number) {
    this.#volume.options.capacityBytes = bytes;
  }

  /** How many files, folders and links there may be. */
  get capacityFiles(): number {
    return this.#volume.options.capacityFiles;
  }

  set capacityFiles(files: number) {
    this.#volume.options.capacityFiles = files;
  }

  /** Whether nothing can be changed, here neither. */
  get isReadOnly(): boolean {
    return this.#volume.options.isReadOnly;
  }

  set isReadOnly(isReadOnly: boolean) {
    this.#volume.options.isReadOnly = isReadOnly;
  }

  /** Bytes of all files together. */
  get usedBytes(): number {
    return this.#volume.usedBytes;
  }

  /** How many files SFTP sessions have open; one that is open twice is two. */
  get openFiles(): number {
    return this.#volume.openFiles;
  }

  /**
   * Reads a file.
   *
   * @param path Its path; relative ones begin in the home, here and below.
   * @returns A copy of what is in it.
   * @throws {FileError} If there is no such file.
   */
  readFile(path: string): Uint8Array<ArrayBuffer> {
    return act("read", path, () => {
      const file = this.#root.open(path, READ);
      try {
        const { size } = this.#root.stat(path);
        return file.read(0, size) as Uint8Array<ArrayBuffer>;
      } finally {
        file.close();
      }
    });
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
   * Writes a file, in place of what was in it. Folders on the way are made.
   *
   * @param path Its path.
   * @param content What is to be in it; text becomes UTF-8.
   * @throws {FileError} If the path is a folder, or the file system is full.
   */
  writeFile(path: string, content: string | Uint8Array): void {
    this.#put(path.replace(/\/+$/, ""), content);
  }

  /**
   * Makes a folder and those on the way to it, as far as they are missing.
   *
   * @param path Its path.
   * @throws {FileError} If something on the way is no folder.
   */
  mkdir(path: string): void {
    act("make the folder", path, () => {
      const parts = path.split("/");
      for (let count = 1; count <= parts.length; count++) {
        const part = parts.slice(0, count).join("/");
        if (part === "" || this.#isFolder(part)) continue;
        this.#root.makeDir(part, 0o755);
        this.#own(part);
      }
    });
  }

  /**
   * Makes a symbolic link.
   *
   * @param target Where it leads to, which need not exist.
   * @param path Its own path. Folders on the way are made.
   * @throws {FileError} If there is something already.
   */
  symlink(target: string, path: string): void {
    this.#put(path, { link: target });
  }

  /**
   * Removes a file or a link, or a folder with all that is in it.
   *
   * @param path Its path.
   * @throws {FileError} If there is no such file.
   */
  remove(path: string): void {
    act("remove", path, () => this.#remove(path));
  }

  /**
   * Tells whether something has a path. A link that leads nowhere has.
   *
   * @param path The path.
   */
  exists(path: string): boolean {
    return this.#kind(path) !== undefined;
  }

  /**
   * Tells what is known of a file; of the link itself, if it is one.
   *
   * @param path Its path.
   * @returns What SFTP's `lstat` tells of it.
   * @throws {FileError} If there is no such file.
   */
  lstat(path: string): SftpFileInfo {
    return act("look at", path, () => infoOf(this.#root.lstat(path)));
  }

  /**
   * Tells what is known of a file.
   *
   * @param path Its path; links are followed.
   * @returns What SFTP's `stat` tells of it.
   * @throws {FileError} If there is no such file.
   */
  stat(path: string): SftpFileInfo {
    return act("look at", path, () => infoOf(this.#root.stat(path)));
  }

  /**
   * Changes permissions.
   *
   * @param path The path; links are followed.
   * @param mode The permissions.
   * @throws {FileError} If there is no such file.
   */
  chmod(path: string, mode: number): void {
    act("change", path, () => this.#root.change(path, { mode }));
  }

  /**
   * Changes the owner.
   *
   * @param path The path; links are followed.
   * @param uid The number of the owner.
   * @param gid The number of the group.
   * @throws {FileError} If there is no such file.
   */
  chown(path: string, uid: number, gid: number): void {
    const owner = { uid, gid };
    act("change", path, () => this.#root.change(path, { owner }));
  }

  /**
   * Changes the times.
   *
   * @param path The path; links are followed.
   * @param mtime When it was last written; it was last read then, too.
   * @throws {FileError} If there is no such file.
   */
  utime(path: string, mtime: Date): void {
    const time = Math.floor(mtime.getTime() / 1000);
    const times = { atime: time, mtime: time };
    act("change", path, () => this.#root.change(path, { times }));
  }

  /**
   * Lists all paths below a folder, at any depth: folders end with `/`.
   *
   * @param folder The folder. Default: all there is.
   * @returns The paths, sorted.
   * @throws {FileError} If there is no such folder.
   */
  paths(folder = "/"): string[] {
    const above = folder.replace(/\/+$/, "");
    const all = act(
      "list",
      folder,
      () =>
        this.#root.readDir(folder).flatMap(({ name, attributes }) => {
          const path = `${above}/${name}`;
          return (attributes.mode & 0o170000) === TypeBits.FOLDER
            ? [`${path}/`, ...this.paths(path)]
            : [path];
        }),
    );
    return all.sort();
  }

  /**
   * The view of the user, for a server.
   *
   * @internal
   * @returns What an SFTP session works on.
   */
  served(): ServedFiles {
    return this.#view(new User(this.uid, this.gid), this.#umask);
  }

  #view(user: User, umask: number): UserFiles {
    const { home } = this;
    return new UserFiles({ volume: this.#volume, user, home, umask });
  }

  #put(path: string, given: string | Uint8Array | MemoryEntry): void {
    const isContent = typeof given === "string" || given instanceof Uint8Array;
    const entry: MemoryEntry = isContent ? { content: given } : given;
    act("write", path, () => {
      const isNew = !this.exists(path);
      if (path.endsWith("/")) this.mkdir(path);
      else {
        this.mkdir(path.slice(0, path.lastIndexOf("/") + 1) || ".");
        if (entry.link !== undefined) this.#root.symlink(entry.link, path);
        else this.#write(path, entry.content ?? "");
      }
      if (isNew || !isContent) this.#own(path, entry);
    });
  }

  #write(path: string, content: string | Uint8Array): void {
    const file = this.#root.open(path, WRITE);
    try {
      file.write(
        0,
        typeof content === "string"
          ? new TextEncoder().encode(content)
          : content,
      );
    } finally {
      file.close();
    }
  }

  /** Gives what root has made to the user, with what else is said of it. */
  #own(path: string, { uid, gid, mode, mtime }: MemoryEntry = {}): void {
    const isLink = this.#kind(path) === TypeBits.LINK;
    const time = mtime && Math.floor(mtime.getTime() / 1000);
    this.#root.change(path, {
      owner: { uid: uid ?? this.uid, gid: gid ?? this.gid },
      ...mode === undefined || isLink ? {} : { mode },
      ...time === undefined ? {} : { times: { atime: time, mtime: time } },
    }, { isLink });
  }

  #remove(path: string): void {
    if (this.#kind(path) !== TypeBits.FOLDER) return this.#root.remove(path);
    for (const { name } of this.#root.readDir(path)) {
      this.#remove(`${path}/${name}`);
    }
    this.#root.removeDir(path);
  }

  #isFolder(path: string): boolean {
    try {
      return (this.#root.stat(path).mode & 0o170000) === TypeBits.FOLDER;
    } catch {
      return false;
    }
  }

  #kind(path: string): number | undefined {
    try {
      return this.#root.lstat(path).mode & 0o170000;
    } catch {
      return undefined;
    }
  }
}
