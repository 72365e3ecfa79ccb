import type { Plan } from "./_plan.ts";
import type {
  CheckedTransferOptions,
  TransferProgress,
  TransferResult,
} from "./options.ts";

/** Counts what a transfer does, and reports its progress. */
export class Tally {
  /** Whether anything may have changed on the server. */
  hasChanged = false;
  /** What `onProgress` has thrown, which no setting makes a failure of a file. */
  thrown: { readonly error: unknown } | undefined;
  readonly failures: TransferResult["failures"][number][] = [];
  readonly changes: TransferResult["changes"][number][] = [];
  /** One of a kind: a thousand files may have the same. */
  readonly #notices = new Map<string, string>();
  readonly #plan: Plan;
  readonly #totalBytes: number;
  readonly #onProgress: ((progress: TransferProgress) => void) | undefined;
  #bytes = 0;
  #copied = 0;
  #same = 0;
  deleted = 0;

  /** Begins at nothing. */
  constructor(plan: Plan, { onProgress }: CheckedTransferOptions) {
    this.#plan = plan;
    this.#onProgress = onProgress;
    this.#totalBytes = plan.files.reduce((sum, { info }) => sum + info.size, 0);
  }

  /** Counts bytes of a file. */
  add(path: string, bytes: number): void {
    this.#bytes += bytes;
    this.#report(path);
  }

  /** Counts a file that was copied. */
  copied(path: string): void {
    this.#copied++;
    this.#report(path);
  }

  /** Counts a file that needs no copying. */
  same(path: string, bytes: number): void {
    this.#same++;
    this.#bytes += bytes;
    this.#report(path);
  }

  /** Notes what went otherwise than asked for, once for each kind. */
  notice(path: string, message: string): void {
    if (!this.#notices.has(message)) this.#notices.set(message, path);
  }

  /** Notes an entry that could not be copied. */
  failed(path: string, error: Error): void {
    this.failures.push({ path, error });
  }

  /**
   * Reports the end.
   *
   * @param path What the caller has named.
   */
  ended(path: string): void {
    this.#report(path, true);
  }

  /** What was done. */
  result(): TransferResult {
    return {
      files: this.#copied + this.#same,
      bytes: this.#bytes,
      copied: this.#copied,
      same: this.#same,
      deleted: this.deleted,
      skipped: this.#plan.skipped,
      notices: [...this.#notices].map(([message, path]) => ({ path, message })),
      failures: this.failures,
      changes: this.changes,
    };
  }

  #report(path: string, ended = false): void {
    try {
      this.#onProgress?.({
        bytes: this.#bytes,
        totalBytes: this.#totalBytes,
        files: this.#copied + this.#same,
        totalFiles: this.#plan.files.length,
        path,
        ended,
      });
    } catch (error) {
      this.thrown ??= { error };
      throw error;
    }
  }
}
