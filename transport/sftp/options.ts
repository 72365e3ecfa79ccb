/**
 * The options of the operations on files.
 *
 * @module
 */

import type { SudoOptions } from "../process.ts";
import type { SftpCallOptions } from "./file.ts";

/** How an SFTP session becomes that of another user. */
export interface SftpSudoOptions extends SudoOptions {
  /**
   * The path of the host's sftp-server. Default: one of those that systems have
   * it at.
   */
  readonly server?: string;
}

/** How to open a file, as in `Deno.OpenOptions`. */
export interface SftpOpenOptions extends SftpCallOptions {
  /**
   * Open it to read.
   *
   * @default {true, unless `write` or `append` is set}
   */
  readonly read?: boolean;
  /**
   * Open it to write.
   *
   * @default {false}
   */
  readonly write?: boolean;
  /**
   * Open it to write at its end, wherever that is at the time of each write.
   *
   * @default {false}
   */
  readonly append?: boolean;
  /**
   * Empty it first. Needs `write`.
   *
   * @default {false}
   */
  readonly truncate?: boolean;
  /**
   * Make it if there is none. Needs `write` or `append`.
   *
   * @default {false}
   */
  readonly create?: boolean;
  /**
   * Make it, and fail with `SSH_SFTP_ALREADY_EXISTS` if there is one. Needs
   * `write` or `append`.
   *
   * @default {false}
   */
  readonly createNew?: boolean;
  /** Its permissions if it is made. Default: what the server's umask leaves. */
  readonly mode?: number;
}

/** How to read all of a file. */
export interface SftpReadFileOptions extends SftpCallOptions {
  /**
   * How many bytes it may have; `Infinity` for no limit. A server may have no
   * end of them, whatever size it has said: the pieces of `SftpFile.readable`
   * need no memory for all.
   *
   * @default {1_073_741_824}
   */
  readonly maxBytes?: number;
}

/** How to write a file, as in `Deno.WriteFileOptions`. */
export interface SftpWriteFileOptions extends SftpCallOptions {
  /**
   * Keep what the file has, and write at its end.
   *
   * @default {false}
   */
  readonly append?: boolean;
  /**
   * Make the file if there is none.
   *
   * @default {true}
   */
  readonly create?: boolean;
  /**
   * Fail with `SSH_SFTP_ALREADY_EXISTS` if there is a file.
   *
   * @default {false}
   */
  readonly createNew?: boolean;
  /** The permissions of the file. Default: those it has, or the server's. */
  readonly mode?: number;
  /**
   * Write to a new file beside it, have the server put that on its disk
   * (`fsync@openssh.com`, where it has that), and give it the name: nobody
   * ever sees half of the content, and a failure leaves the old content. Needs
   * `posix-rename@openssh.com` to replace a file. The old file's permissions
   * are kept, and its owner and group where they may be set; a link is followed
   * first. What is no regular file is an error. Not with `append`.
   *
   * @default {false}
   */
  readonly atomic?: boolean;
}

/** How to make a folder, as in `Deno.MkdirOptions`. */
export interface SftpMkdirOptions extends SftpCallOptions {
  /**
   * Make the folders above it too, and take a folder that exists for success.
   *
   * @default {false}
   */
  readonly recursive?: boolean;
  /** Its permissions. Default: what the server's umask leaves. */
  readonly mode?: number;
}

/**
 * Which entries of a tree are taken; of a folder that is not nothing is.
 *
 * A function gets the path below the top, with `/` between names and at the end
 * of a folder. Patterns say what is left out, as the lines of a `.gitignore` do
 * (one string may hold many): `"node_modules/"`, `"/build"`, `"*.log"`, and
 * `"!keep.log"` for what is taken all the same. What is no whole class, as `[a`,
 * stands for itself. A line of more than 4,096 characters is a `RangeError`.
 */
export type EntryFilter =
  | ((path: string) => boolean)
  | string
  | readonly string[];

/** How to walk through a tree. */
export interface SftpWalkOptions extends SftpCallOptions {
  /**
   * How deep to go: 1 is the folder itself.
   *
   * @default {Infinity}
   */
  readonly maxDepth?: number;
  /**
   * How many entries may be read. A server could have no end of them.
   *
   * @default {250_000}
   */
  readonly maxEntries?: number;
  /**
   * Go into the folders that links lead to, unless that would be a circle.
   *
   * @default {false}
   */
  readonly followSymlinks?: boolean;
  /** Which entries are given, and which folders are read. Default: all. */
  readonly filter?: EntryFilter;
}

/** How to find what a pattern stands for. */
export interface SftpGlobOptions extends SftpCallOptions {
  /**
   * Let `*`, `?` and `**` stand for a dot at the start of a name too.
   *
   * @default {false}
   */
  readonly dot?: boolean;
  /**
   * How deep to go below the part of the pattern that names one folder.
   *
   * @default {Infinity}
   */
  readonly maxDepth?: number;
  /**
   * How many entries may be read. A server could have no end of them.
   *
   * @default {250_000}
   */
  readonly maxEntries?: number;
}

/** How to remove, as in `Deno.RemoveOptions`. */
export interface SftpRemoveOptions extends SftpCallOptions {
  /**
   * Remove a folder with all that is in it. Links in it are removed, and never
   * followed.
   *
   * @default {false}
   */
  readonly recursive?: boolean;
}
