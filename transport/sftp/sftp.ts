/**
 * Files on a server: the names and shapes of Deno's file API, over SFTP.
 *
 * @module
 */

import type {
  SftpCallOptions,
  SftpDirEntry,
  SftpFile,
  SftpFileInfo,
  SftpFileSystemInfo,
  SftpWalkEntry,
} from "./file.ts";
import type {
  SftpGlobOptions,
  SftpMkdirOptions,
  SftpOpenOptions,
  SftpReadFileOptions,
  SftpRemoveOptions,
  SftpWalkOptions,
  SftpWriteFileOptions,
} from "./options.ts";

/**
 * One SFTP session: files on a server. Any number of operations may run at the
 * same time; their requests share the session.
 *
 * Paths are strings, relative to the home folder of the user. Names that are
 * not UTF-8 keep their bytes: see `decodeFileName`. Every promise settles: when
 * the session ends, with a `ConnectionLostError` or an `SftpError`; on abort,
 * with the reason of the signal. An aborted request that was sent already may
 * still take effect.
 *
 * @example Read a file and replace it
 * ```ts
 * import type { Sftp } from "@sshpool/sshpool";
 *
 * async function enable(sftp: Sftp) {
 *   const text = await sftp.readTextFile("/etc/app.conf");
 *   const changed = text.replace("enabled=no", "enabled=yes");
 *   await sftp.writeTextFile("/etc/app.conf", changed, { atomic: true });
 * }
 * ```
 */
export interface Sftp extends AsyncDisposable {
  /** Whether the session has ended. */
  readonly isClosed: boolean;
  /** Resolves when the session has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  /** Requests without an answer yet, those of aborted operations included. */
  readonly requestsInFlight: number;
  /**
   * Opens a file.
   *
   * @throws {SftpError} If the server refuses.
   * @throws {TypeError} If the options exclude each other.
   */
  open(path: string, options?: SftpOpenOptions): Promise<SftpFile>;
  /**
   * Reads all of a file, until its end whatever size it is said to have.
   *
   * @throws {SftpError} If the server refuses, or it has more than `maxBytes`.
   */
  readFile(
    path: string,
    options?: SftpReadFileOptions,
  ): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Reads all of a file as UTF-8; bytes that are not become U+FFFD.
   *
   * @throws {SftpError} If the server refuses, or it has more than `maxBytes`.
   */
  readTextFile(
    path: string,
    options?: SftpReadFileOptions,
  ): Promise<string>;
  /**
   * Writes a file. Not atomic unless asked for: a failure may leave half of it.
   *
   * @param path Where to.
   * @param data What to write. A stream is cancelled on failure.
   * @param options Whether to append, to replace, to write atomically.
   * @throws {SftpError} If the server refuses, or its disk is full.
   */
  writeFile(
    path: string,
    data: Uint8Array | ReadableStream<Uint8Array>,
    options?: SftpWriteFileOptions,
  ): Promise<void>;
  /**
   * Writes a file as UTF-8.
   *
   * @throws {SftpError} If the server refuses, or its disk is full.
   */
  writeTextFile(
    path: string,
    text: string,
    options?: SftpWriteFileOptions,
  ): Promise<void>;
  /**
   * Tells what a path leads to; links are followed.
   *
   * @throws {SftpError} If the server refuses.
   */
  stat(path: string, options?: SftpCallOptions): Promise<SftpFileInfo>;
  /**
   * Tells what a path is; a link is not followed.
   *
   * @throws {SftpError} If the server refuses.
   */
  lstat(path: string, options?: SftpCallOptions): Promise<SftpFileInfo>;
  /**
   * Reads a folder, in the order of the server, without `.` and `..`.
   *
   * @throws {SftpError} If the server refuses, on the first step.
   */
  readDir(
    path: string,
    options?: SftpCallOptions,
  ): AsyncIterableIterator<SftpDirEntry>;
  /**
   * Walks through a folder and those in it: the entries of one, and then its
   * folders, one after the other. Links are given and not followed, unless the
   * options say so. Whoever stops early leaves nothing open.
   *
   * @example What takes more than a gigabyte
   * ```ts
   * import type { Sftp } from "@sshpool/sshpool";
   *
   * async function* large(sftp: Sftp) {
   *   const options = { filter: ["/proc/", "/sys/"], maxEntries: 1_000_000 };
   *   for await (const { path, info } of sftp.walk("/", options)) {
   *     if (info.size > 1e9) yield path;
   *   }
   * }
   * ```
   *
   * @throws {SftpError} If a folder cannot be read, or there are more entries
   * than the options allow.
   */
  walk(
    path: string,
    options?: SftpWalkOptions,
  ): AsyncIterableIterator<SftpWalkEntry>;
  /**
   * Finds files and folders by a pattern: `*`, `?`, `[a-z]` and `@(a|b)` within
   * a name, `**` for any number of folders, `{jpg,png}` and `{1..9}`; a `\`
   * before one of these takes its meaning away. A dot at the start of a name has
   * to be written, unless `dot` is set. Links are followed where the pattern
   * names them, and not by `**`. As in a shell, folders that cannot be read are
   * passed over; a pattern for which there is nothing gives nothing.
   *
   * @example Remove old logs
   * ```ts
   * import type { Sftp } from "@sshpool/sshpool";
   *
   * async function removeOld(sftp: Sftp) {
   *   for await (const { path } of sftp.glob("/var/log/app/**\/*.log.gz")) {
   *     await sftp.remove(path);
   *   }
   * }
   * ```
   *
   * @throws {SftpError} If the server refuses, or there are more entries than
   * the options allow.
   * @throws {RangeError} If the pattern is longer than 4,096 characters, has
   * more than 100 groups in each other, or its braces stand for more than 1,000
   * patterns; or if the server has a name that a `!(...)` would take too long
   * for.
   */
  glob(
    pattern: string,
    options?: SftpGlobOptions,
  ): AsyncIterableIterator<SftpWalkEntry>;
  /**
   * Makes a folder.
   *
   * @throws {SftpError} If the server refuses.
   */
  mkdir(path: string, options?: SftpMkdirOptions): Promise<void>;
  /**
   * Removes a file, a link or an empty folder; a tree if asked for.
   *
   * @throws {SftpError} If the server refuses.
   */
  remove(path: string, options?: SftpRemoveOptions): Promise<void>;
  /**
   * Renames. What has the new name is replaced in one step where the server
   * has `posix-rename@openssh.com`; otherwise that is an error.
   *
   * @throws {SftpError} If the server refuses.
   */
  rename(
    from: string,
    to: string,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Makes a symbolic link.
   *
   * @param target What the link says; it need not exist.
   * @param path Where the link is to be.
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   */
  symlink(
    target: string,
    path: string,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Tells what a symbolic link says.
   *
   * @throws {SftpError} If it is no link, or the server refuses.
   */
  readLink(path: string, options?: SftpCallOptions): Promise<string>;
  /**
   * Makes a path absolute, with links followed. `"."` gives the home folder.
   *
   * @throws {SftpError} If the server refuses.
   */
  realPath(path: string, options?: SftpCallOptions): Promise<string>;
  /**
   * Sets permissions; links are followed.
   *
   * @throws {SftpError} If the server refuses.
   */
  chmod(
    path: string,
    mode: number,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Sets owner and group by number; links are followed. SFTP sets both at
   * once: for a `null` the present one is asked for first.
   *
   * @throws {SftpError} If the server refuses.
   */
  chown(
    path: string,
    uid: number | null,
    gid: number | null,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Sets times, to the second; links are followed.
   *
   * @param path Of what.
   * @param atime When it was last read: a date, or seconds since 1970.
   * @param mtime When it was last written.
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   * @throws {RangeError} If a time is before 1970 or after 2106.
   */
  utime(
    path: string,
    atime: number | Date,
    mtime: number | Date,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Cuts a file off, or fills it up with zeros.
   *
   * @param path Which file.
   * @param length Its new size in bytes. Default: 0.
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   */
  truncate(
    path: string,
    length?: number,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Tells how full the file system of a path is.
   *
   * @throws {SftpError} With `SSH_SFTP_UNSUPPORTED` if the server has no
   * `statvfs@openssh.com`.
   */
  statFileSystem(
    path: string,
    options?: SftpCallOptions,
  ): Promise<SftpFileSystemInfo>;
  /** Ends the session: what runs on it rejects. Idempotent, never throws. */
  close(): void;
}
