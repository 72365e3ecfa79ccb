/**
 * The files that an SFTP server serves: in memory, or on a disk.
 *
 * Paths are strings as in the rest of SFTP here: bytes that are not UTF-8 are
 * lone surrogates in them (see `decodeFileName`).
 *
 * @module
 */

/** Why an operation on a file failed, as POSIX names it. */
export type FileErrorCode =
  | "EACCES"
  | "EBADF"
  | "EBUSY"
  | "EDQUOT"
  | "EEXIST"
  | "EFBIG"
  | "EINVAL"
  | "EIO"
  | "EISDIR"
  | "ELOOP"
  | "EMFILE"
  | "ENAMETOOLONG"
  | "ENOENT"
  | "ENOSPC"
  | "ENOSYS"
  | "ENOTDIR"
  | "ENOTEMPTY"
  | "EPERM"
  | "EROFS";

/**
 * An operation on a file failed. An SFTP server answers it with a status:
 * the one that OpenSSH has for the code, and the message as its text.
 *
 * @example A disk that fails on every write
 * ```ts
 * import { FileError, MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector({
 *   onSftpRequest: ({ operation }) =>
 *     operation === "write" ? new FileError("EIO", "the disk is gone") : "ok",
 * });
 * const host = { hostname: "db1", port: 22, user: "ops" };
 * await using connection = await connector.connect(host);
 * await using sftp = await connection.sftp();
 * await assertRejects(
 *   () => sftp.writeTextFile("a", "text"),
 *   Error,
 *   "the disk is gone",
 * );
 * ```
 */
export class FileError extends Error {
  static {
    this.prototype.name = "FileError";
  }

  /** Why it failed. */
  readonly code: FileErrorCode;
  /** The SFTP status to answer with; `undefined` for that of the code. */
  readonly status: number | undefined;

  /**
   * Makes the error.
   *
   * @param code Why it failed.
   * @param message What the server says. Default: nothing but the status.
   * @param options The status, and the cause.
   */
  constructor(
    code: FileErrorCode,
    message = "",
    options: ErrorOptions & {
      /**
       * The SFTP status (`SSH_FX_...`) to answer with. Default: what OpenSSH
       * answers for the code.
       */
      readonly status?: number;
    } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = options.status;
  }
}

/** The attributes of a file. */
export interface FileAttributes {
  /** In bytes. */
  readonly size: number;
  /** The number of the owner. */
  readonly uid: number;
  /** The number of the group. */
  readonly gid: number;
  /** Type and permissions, as `st_mode`. */
  readonly mode: number;
  /** When it was last read, in seconds since 1970. */
  readonly atime: number;
  /** When it was last written, in seconds since 1970. */
  readonly mtime: number;
}

/** What is to become of a file; what is absent stays. */
export interface FileChanges {
  /** In bytes: it is cut, or filled up with zeros. */
  readonly size?: number | undefined;
  /** Owner and group. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** Permissions; a type in it is ignored. */
  readonly mode?: number | undefined;
  /** In seconds since 1970. */
  readonly times?:
    | { readonly atime: number; readonly mtime: number }
    | undefined;
}

/** How to open a file. */
export interface OpenHow {
  /** Open it to read. */
  readonly read: boolean;
  /** Open it to write. */
  readonly write: boolean;
  /** Write at its end, whatever offset a write names. */
  readonly append: boolean;
  /** Make it if it is missing. */
  readonly create: boolean;
  /** Cut it to no bytes. */
  readonly truncate: boolean;
  /** Fail if it is there; with `create`. */
  readonly exclusive: boolean;
  /** Permissions of a new file, before the umask. */
  readonly mode: number;
}

/** An entry of a folder. */
export interface ServedEntry {
  readonly name: string;
  /** Of the entry itself, if it is a link. */
  readonly attributes: FileAttributes;
}

/** How full a file system is. */
export interface ServedSpace {
  /** In bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  /** Free for users other than root. */
  readonly availableBlocks: number;
  readonly files: number;
  readonly freeFiles: number;
  readonly isReadOnly: boolean;
}

/** An open file. */
export interface ServedFile {
  /** Reads; an empty array is the end of the file. */
  read(offset: number, length: number): Uint8Array;
  /** Writes all of it. The data must not be kept. */
  write(offset: number, data: Uint8Array): void;
  stat(): FileAttributes;
  change(changes: FileChanges): void;
  sync(): void;
  close(): void;
}

/**
 * A file system, as one user sees it. Every operation fails with a
 * {@linkcode FileError}. Relative paths begin in the home of the user.
 */
export interface ServedFiles {
  open(path: string, how: OpenHow): ServedFile;
  /** Follows a link at the end of the path. */
  stat(path: string): FileAttributes;
  /** Does not follow a link at the end of the path. */
  lstat(path: string): FileAttributes;
  /** Changes attributes; `isLink` says of the link itself. */
  change(
    path: string,
    changes: FileChanges,
    options?: { readonly isLink?: boolean },
  ): void;
  /** Returns all entries, without `.` and `..`. */
  readDir(path: string): readonly ServedEntry[];
  makeDir(path: string, mode: number): void;
  removeDir(path: string): void;
  /** Removes a name that is not a folder's. */
  remove(path: string): void;
  /** Renames, in place of what has the new name already. */
  rename(from: string, to: string): void;
  symlink(target: string, path: string): void;
  /** Gives a file a second name. */
  link(existing: string, path: string): void;
  readLink(path: string): string;
  /** Returns the absolute path without links; the last part need not exist. */
  realPath(path: string): string;
  space(path: string): ServedSpace;
}
