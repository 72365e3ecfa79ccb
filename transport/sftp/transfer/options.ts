/**
 * How to copy files and trees to a server and back.
 *
 * @module
 */

import { callback, count, flag, oneOf, signal } from "../../options/rules.ts";
import { OptionTable } from "../../options/table.ts";
import { entryFilter } from "../_option_tables.ts";
import type { FilterFunction } from "../_patterns.ts";
import type { EntryFilter } from "../options.ts";

/** Options for `upload` and `download`. */
export interface TransferOptions {
  /**
   * Gives the transfer up. Files that are whole stay; of the others nothing
   * stays, unless `resume` is set. A server that does not answer is given 5
   * seconds to remove them.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many files are copied, and folders read, at the same time. Fewer are,
   * where the server says that it cannot have so many open
   * (`limits@openssh.com`).
   *
   * @default {32}
   */
  readonly concurrency?: number;
  /**
   * What files and folders that are made get of their source. By default the
   * time, to the second, and the permissions as far as the umask allows them.
   * `true`: exactly its permissions (without set-user-id and the like).
   * `false`: neither. What was there before keeps its permissions, and a
   * folder its time too, unless this is `true`, which is about files.
   */
  readonly preserve?: boolean;
  /**
   * What to do with symbolic links in a tree: make the same link (an error
   * where the server cannot), leave it out, or copy what it leads to. A path
   * that the caller names is followed.
   *
   * @default {"copy"}
   */
  readonly symlinks?: "copy" | "skip" | "follow";
  /**
   * Replace a symbolic link that is where a file is to be. By default what it
   * leads to is replaced. Links inside a folder that is downloaded to are always
   * replaced: a server that had them made could lead out of the folder.
   *
   * @default {false}
   */
  readonly replaceLinks?: boolean;
  /**
   * How a file gets its content. `"beside"`: in a new file beside it, which is
   * then renamed, so that nobody sees half of it. `"in-place"`: in the file
   * itself. Where a file may be written and its folder may not, it is written in
   * place, and the result has a notice.
   *
   * @default {"beside"}
   */
  readonly write?: "beside" | "in-place";
  /**
   * Go on where an earlier transfer to the same file ended, and keep what has
   * been copied if this one fails.
   *
   * All that was copied before is read back and compared with the source first;
   * if it differs the file is copied from the beginning. A file that has size
   * and time of its source is compared in the same way, and is not copied again
   * if it is the same.
   *
   * @default {false}
   */
  readonly resume?: boolean;
  /**
   * Read each copied file back and compare it with its source before it gets
   * its name.
   *
   * @default {false}
   */
  readonly verify?: boolean;
  /**
   * Copy only files whose target differs in size or time, or is missing. Times
   * can be compared only if they were kept: see `preserve`.
   *
   * @default {false}
   */
  readonly changedOnly?: boolean;
  /**
   * Have `changedOnly` compare the content of files of the same size, whatever
   * their times.
   *
   * @default {false}
   */
  readonly checksum?: boolean;
  /**
   * Remove from the target folder what the source does not have, once all was
   * copied. What `filter` leaves out is kept, and so is what is behind a link in
   * it. An empty source is an error, unless this is `"even-if-empty"`.
   *
   * @default {false}
   */
  readonly delete?: boolean | "even-if-empty";
  /**
   * Change nothing; the result has what would happen in `changes`.
   *
   * @default {false}
   */
  readonly dryRun?: boolean;
  /**
   * Make the folders above the target that are missing.
   *
   * @default {false}
   */
  readonly parents?: boolean;
  /**
   * What happens when an entry of a tree cannot be copied, or removed by
   * `delete`. `"stop"`: the transfer ends with its error. `"continue"`: the
   * others are copied, and the result has it in `failures`. A name that cannot
   * be copied, since it is not UTF-8, is an error when the others are copied.
   *
   * @default {"stop"}
   */
  readonly onError?: "stop" | "continue";
  /**
   * Which entries of a tree are copied: a function of the path below the
   * source, or what is left out, as patterns of a `.gitignore`. Default: all.
   */
  readonly filter?: EntryFilter;
  /**
   * How many entries a tree may have. A server could have no end of them. An
   * upload with `delete` takes as many more at its target, at least 250,000.
   *
   * @default {250_000 for a download, no limit for an upload}
   */
  readonly maxEntries?: number;
  /**
   * Called with each piece that was copied, and at the end. What it throws ends
   * the transfer. A promise that it returns is not waited for.
   */
  readonly onProgress?: (progress: TransferProgress) => void;
}

/** The options of a transfer, ready to be used. */
export interface CheckedTransferOptions
  extends Omit<TransferOptions, "filter"> {
  readonly filter?: FilterFunction | undefined;
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
  /**
   * Whether the transfer is over: the last call. If not all files are done then,
   * it has failed, or was told to go on without some.
   */
  readonly ended: boolean;
}

/** What a transfer did. */
export interface TransferResult {
  /** How many files were copied, or were there already. */
  readonly files: number;
  /** How many bytes they have. */
  readonly bytes: number;
  /** How many files were copied. */
  readonly copied: number;
  /** How many files were there already; only with `changedOnly` or `resume`. */
  readonly same: number;
  /** How many entries of the target were removed; only with `delete`. */
  readonly deleted: number;
  /**
   * Paths in a tree that were left out: links, if `symlinks` says so, what is
   * neither a file, a folder nor a link, and unfinished files of other
   * transfers.
   */
  readonly skipped: readonly string[];
  /**
   * What went otherwise than asked for and was no reason to fail, once for each
   * kind: the path of the first source, and a sentence.
   */
  readonly notices: readonly {
    readonly path: string;
    readonly message: string;
  }[];
  /**
   * What could not be copied: the path of the source, and why. Always empty
   * unless `onError` is `"continue"`.
   */
  readonly failures: readonly {
    readonly path: string;
    readonly error: Error;
  }[];
  /** What would be done to the target; empty unless `dryRun` is set. */
  readonly changes: readonly {
    readonly kind: "copy" | "make folder" | "make link" | "delete";
    readonly path: string;
  }[];
}

/** What the options of a transfer may hold. */
export const TRANSFER_OPTIONS = new OptionTable<TransferOptions>(
  "copy",
  {
    signal,
    concurrency: count,
    preserve: flag,
    symlinks: oneOf("copy", "skip", "follow"),
    replaceLinks: flag,
    write: oneOf("beside", "in-place"),
    resume: flag,
    verify: flag,
    changedOnly: flag,
    checksum: flag,
    delete: oneOf(true, false, "even-if-empty"),
    dryRun: flag,
    parents: flag,
    onError: oneOf("stop", "continue"),
    filter: entryFilter,
    maxEntries: count,
    onProgress: callback,
  },
);
