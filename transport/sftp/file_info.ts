/**
 * What a server tells of a file.
 *
 * @module
 */

/** What a server tells of a file, in the shape of `Deno.FileInfo`. */
export interface SftpFileInfo {
  /** Whether it is a regular file. */
  readonly isFile: boolean;
  /** Whether it is a folder. */
  readonly isDirectory: boolean;
  /** Whether it is a symbolic link; only `lstat` and `readDir` see links. */
  readonly isSymlink: boolean;
  /**
   * Its size in bytes; 0 if the server did not say. Files of `/proc` have size
   * 0 and content all the same. A size beyond `Number.MAX_SAFE_INTEGER`, as of a
   * sparse file, is nearly right; such a file can be neither copied nor appended
   * to.
   */
  readonly size: number;
  /** When it was last written, to the second; `null` if the server did not say. */
  readonly mtime: Date | null;
  /** When it was last read, to the second; `null` if the server did not say. */
  readonly atime: Date | null;
  /** Type and permissions as `st_mode`; `null` if the server did not say. */
  readonly mode: number | null;
  /** The number of its owner; `null` if the server did not say. */
  readonly uid: number | null;
  /** The number of its group; `null` if the server did not say. */
  readonly gid: number | null;
}

/** One entry of a folder. */
export interface SftpDirEntry {
  /**
   * Its name. Bytes that are not UTF-8 are lone surrogates in it: see
   * `decodeFileName`. It never has a `/` or a NUL in it.
   */
  readonly name: string;
  /** Whether it is a regular file. */
  readonly isFile: boolean;
  /** Whether it is a folder. */
  readonly isDirectory: boolean;
  /** Whether it is a symbolic link. */
  readonly isSymlink: boolean;
  /**
   * How many names (hard links) it has, as the line of the listing tells;
   * `null` if that does not.
   */
  readonly nlink: number | null;
  /** What `lstat` would tell of it. */
  readonly info: SftpFileInfo;
}

/** One entry of a tree. */
export interface SftpWalkEntry extends SftpDirEntry {
  /** Its path: that of the folder that was named, and the names below it. */
  readonly path: string;
}

/**
 * How full a file system is. Numbers beyond `Number.MAX_SAFE_INTEGER`, which is
 * 9 PB, are nearly right.
 */
export interface SftpFileSystemInfo {
  /** Its size in bytes. */
  readonly totalBytes: number;
  /** Bytes that are free. */
  readonly freeBytes: number;
  /** Bytes that are free for users other than root. */
  readonly availableBytes: number;
  /** How many files it can have; 0 if it has no limit. */
  readonly totalFiles: number;
  /** How many more files it can have. */
  readonly freeFiles: number;
  /** Whether it cannot be written to. */
  readonly isReadOnly: boolean;
}
