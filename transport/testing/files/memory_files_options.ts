/**
 * What a {@linkcode MemoryFiles} is made of.
 *
 * @module
 */

/** A file, a folder or a link, and what is known of it. */
export interface MemoryEntry {
  /** What is in the file. Default: nothing. */
  readonly content?: string | Uint8Array;
  /** Makes it a symbolic link, which leads there. */
  readonly link?: string;
  /**
   * Its permissions.
   *
   * @default {0o644 of a file, 0o755 of a folder}
   */
  readonly mode?: number;
  /** The number of its owner. Default: the user of the file system. */
  readonly uid?: number;
  /** The number of its group. Default: that of the user of the file system. */
  readonly gid?: number;
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
   * The number of the user who works on it over SFTP, and who owns what is
   * there from the first. 0 is root, who may do everything.
   *
   * @default {1000}
   */
  readonly uid?: number;
  /**
   * The number of the group of that user.
   *
   * @default {1000}
   */
  readonly gid?: number;
  /**
   * The folder in which relative paths begin. It is made.
   *
   * @default {"/home/ops"}
   */
  readonly home?: string;
  /**
   * Permissions that new files do not get.
   *
   * @default {0o022}
   */
  readonly umask?: number;
  /**
   * How many bytes all files together may have. A write beyond them fails with
   * "no space".
   *
   * @default {1_099_511_627_776}
   */
  readonly capacityBytes?: number;
  /**
   * How many files, folders and links there may be.
   *
   * @default {1_048_576}
   */
  readonly capacityFiles?: number;
  /**
   * Nothing can be changed over SFTP.
   *
   * @default {false}
   */
  readonly isReadOnly?: boolean;
  /**
   * Gives the time of a change, in seconds since 1970. By default the clock
   * begins at 1,000,000,000 and goes one second further with each change, so
   * that a test sees the same times whenever it runs.
   */
  readonly now?: () => number;
}
