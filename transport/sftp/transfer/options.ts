/**
 * How to copy files and trees to a server and back.
 *
 * @module
 */

import { callback, count, flag, oneOf, signal } from "../../options/rules.ts";
import { OptionTable } from "../../options/table.ts";

/** Options for `upload` and `download`. */
export interface TransferOptions {
  /**
   * Gives the transfer up. Files that are whole stay; of the others nothing
   * stays, unless `resume` is set. A server that does not answer is given 5
   * seconds to remove them.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many files are copied at the same time.
   *
   * @default {32}
   */
  readonly concurrency?: number;
  /**
   * Keep permissions (without set-user-id and the like) and times, to the
   * second.
   *
   * @default {true}
   */
  readonly preserve?: boolean;
  /**
   * What to do with symbolic links in a tree: make the same link, or leave it
   * out. They are never followed. A path that the caller names is followed.
   *
   * @default {"copy"}
   */
  readonly symlinks?: "copy" | "skip";
  /**
   * Go on where an earlier transfer of the same files ended, and keep what has
   * been copied if this one fails.
   *
   * An unfinished file is called `.sshpool-<16 hex digits>.part`, beside the
   * file that it will be. The digits depend on name, size and time of the
   * source, so that what was copied of another version is never used. Its last
   * 5 MiB are compared with the source before the transfer goes on; if they
   * differ the file is copied from the beginning. A file that has size and time
   * of its source already is not copied again.
   *
   * @default {false}
   */
  readonly resume?: boolean;
  /** Told of each piece that was copied. What it throws ends the transfer. */
  readonly onProgress?: (progress: TransferProgress) => void;
}

/** How far a transfer is. */
export interface TransferProgress {
  /** Bytes that are copied, or were there already. */
  readonly bytes: number;
  /** Bytes of all files, as their sizes were when the transfer began. */
  readonly totalBytes: number;
  /** Files that are done. */
  readonly files: number;
  /** All files. */
  readonly totalFiles: number;
  /** The file that this is about, as the path of the source. */
  readonly path: string;
}

/** What a transfer did. */
export interface TransferResult {
  /** How many files were copied, or were there already. */
  readonly files: number;
  /** How many bytes they have. */
  readonly bytes: number;
  /**
   * Paths in a tree that were left out: links, if `symlinks` says so, and what
   * is neither a file, a folder nor a link.
   */
  readonly skipped: readonly string[];
}

/** What the options of a transfer may hold. */
export const TRANSFER_OPTIONS = new OptionTable<TransferOptions>(
  "copy",
  {
    signal,
    concurrency: count,
    preserve: flag,
    symlinks: oneOf("copy", "skip"),
    resume: flag,
    onProgress: callback,
  },
);
