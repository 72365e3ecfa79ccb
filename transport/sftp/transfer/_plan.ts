import { ConnectionLostError, SshError } from "../../errors.ts";
import { quotedPath, SftpError, type SftpErrorCode } from "../errors.ts";
import type {
  TransferOptions,
  TransferProgress,
  TransferResult,
} from "./options.ts";

/** What is known of a source file before it is copied. */
export interface SourceInfo {
  readonly size: number;
  /** Permissions; `undefined` if they are not known. */
  readonly mode: number | undefined;
  /** In whole seconds since 1970; `undefined` if they are not known. */
  readonly atime: number | undefined;
  readonly mtime: number | undefined;
}

/** Something to copy. */
export interface Item {
  readonly from: string;
  readonly to: string;
  readonly info: SourceInfo;
}

/** All that is to be copied: folders from the top down. */
export interface Plan {
  readonly folders: Item[];
  readonly files: Item[];
  readonly links: Item[];
  readonly skipped: string[];
}

/** Counts, and tells the caller. */
export class Tally {
  /** Whether anything may have changed on the server. */
  hasChanged = false;
  readonly #plan: Plan;
  readonly #totalBytes: number;
  readonly #onProgress: ((progress: TransferProgress) => void) | undefined;
  #bytes = 0;
  #files = 0;

  /** Begins at nothing. */
  constructor(plan: Plan, { onProgress }: TransferOptions) {
    this.#plan = plan;
    this.#onProgress = onProgress;
    this.#totalBytes = plan.files.reduce((sum, { info }) => sum + info.size, 0);
  }

  /** Counts bytes of a file. */
  add(path: string, bytes: number): void {
    this.#bytes += bytes;
    this.#tell(path);
  }

  /** Counts a file. */
  done(path: string): void {
    this.#files++;
    this.#tell(path);
  }

  /** What was done. */
  result(): TransferResult {
    return {
      files: this.#files,
      bytes: this.#bytes,
      skipped: this.#plan.skipped,
    };
  }

  #tell(path: string): void {
    this.#onProgress?.({
      bytes: this.#bytes,
      totalBytes: this.#totalBytes,
      files: this.#files,
      totalFiles: this.#plan.files.length,
      path,
    });
  }
}

/** What the copying of one file needs to know of the whole. */
export interface Context {
  readonly tally: Tally;
  readonly signal: AbortSignal;
  readonly preserve: boolean;
  readonly resume: boolean;
}

/** Data that files in flight may have in memory, all together. */
const BUDGET_BYTES = 32 * 1024 * 1024;
const MOST_BYTES_OF_A_FILE = 4 * 1024 * 1024;

/**
 * Copies all files, some at a time. The first failure stops the others, and is
 * thrown when all have stopped.
 */
export async function copyAll(
  plan: Plan,
  options: TransferOptions,
  tally: Tally,
  copy: (item: Item, context: Context) => Promise<void>,
): Promise<void> {
  const { concurrency = 32, preserve = true, resume = false } = options;
  const stop = new AbortController();
  const signal = options.signal === undefined
    ? stop.signal
    : AbortSignal.any([options.signal, stop.signal]);
  const context: Context = { tally, signal, preserve, resume };
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  let budget = BUDGET_BYTES;
  for (const item of plan.files) {
    // A file of unknown size, as those of /proc, is small.
    const weight = Math.min(item.info.size, MOST_BYTES_OF_A_FILE);
    while (running.size >= concurrency || budget < weight) {
      await Promise.race(running);
    }
    if (failure !== undefined || signal.aborted) break;
    budget -= weight;
    const one: Promise<void> = copy(item, context).catch((error) => {
      if (error instanceof SshError && error.mayHaveRun) {
        tally.hasChanged = true;
      }
      failure ??= { error };
      stop.abort(error);
    }).finally(() => {
      budget += weight;
      running.delete(one);
    });
    running.add(one);
  }
  await Promise.all(running);
  options.signal?.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}

/**
 * Refuses paths that the caller names and that cannot be copied. In a tree what
 * is no file is left out, but a copy of nothing must not look like one that was
 * made.
 */
export function checkPaths(plan: Plan, from: string, to: string): void {
  const isFile = plan.folders.length === 0;
  const why = plan.skipped.includes(from)
    ? "it is neither a file nor a folder"
    : isFile && to.endsWith("/")
    ? `it is a file, so the target ${
      quotedPath(to)
    } must be the path of a file, without a slash at its end`
    : undefined;
  if (why === undefined) return;
  throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
}

/** Makes the error of a transfer. */
export function transferError(
  code: SftpErrorCode,
  path: string,
  detail: string,
): SftpError {
  return new SftpError(code, `Cannot copy ${quotedPath(path)}: ${detail}`, {
    path,
  });
}

/**
 * The error of a transfer whose last step failed without having run, but not
 * those before it.
 */
export function afterChanges(error: unknown): unknown {
  if (!(error instanceof SshError) || error.mayHaveRun) return error;
  const { message, host, hint } = error;
  const options = { host, hint, mayHaveRun: true, cause: error };
  if (error instanceof ConnectionLostError) {
    return new ConnectionLostError(message, options);
  }
  if (!(error instanceof SftpError)) return error;
  const { code, path, status } = error;
  return new SftpError(code, message, { ...options, path, status });
}

/** Throws if a source is not what it was when its copying began. */
export function checkUnchanged(
  path: string,
  before: SourceInfo,
  after: SourceInfo,
  copied: number,
): void {
  // Files of /proc have size 0 and a time of their own.
  if (before.size === 0 && after.size === 0 && copied > 0) return;
  const isSame = before.size === after.size && before.mtime === after.mtime;
  if (isSame && copied === after.size) return;
  if (isSame) {
    // Files of /sys say that they have 4096 bytes, whatever they have.
    throw transferError(
      "SSH_SFTP_TRANSFER_REFUSED",
      path,
      `its size is ${after.size} bytes, but ${copied} were copied`,
    );
  }
  throw transferError(
    "SSH_SFTP_SOURCE_CHANGED",
    path,
    `it changed while it was copied (${before.size} bytes before, ${after.size} after, ${copied} copied)`,
  );
}
