import { OpenHandles, protocolOf } from "../_protocol.ts";
import type { Sftp } from "../sftp.ts";
import { isAboutEntry, mayHaveChanged } from "./_errors.ts";
import type { Entry, Item, Plan } from "./_plan.ts";
import type { Tally } from "./_tally.ts";
import type { CheckedTransferOptions } from "./options.ts";
import type { RemoteHash } from "./remote_hash.ts";

/** What the copying of one file needs to know of the whole. */
export interface Context {
  readonly options: CheckedTransferOptions;
  readonly tally: Tally;
  readonly signal: AbortSignal;
  /** Whether it is one of a tree, where a source may grow. */
  readonly isTree: boolean;
  /** Hashes files on the host, if it can run commands. */
  readonly hash?: RemoteHash | undefined;
  /** Errors of opening a file on the server. */
  readonly failedOpens: WeakSet<object>;
}

/** Data that files in flight may have in memory, all together. */
const BUDGET_BYTES = 32 * 1024 * 1024;
/** The largest window, and what is read ahead of it. */
const MOST_BYTES_OF_A_FILE = 6 * 1024 * 1024;

/**
 * Copies all files, some at a time. A failure stops the others, and is thrown
 * when all have stopped; or it is noted, if the options say so.
 */
export async function copyAll(
  sftp: Sftp,
  plan: Plan,
  options: CheckedTransferOptions,
  tally: Tally,
  copy: (item: Item, context: Context) => Promise<void>,
): Promise<void> {
  const { concurrency = 32, onError = "stop" } = options;
  const handles = protocolOf(sftp)?.handles ?? new OpenHandles();
  const stop = new AbortController();
  const signal = options.signal === undefined
    ? stop.signal
    : AbortSignal.any([options.signal, stop.signal]);
  const context: Context = {
    options,
    tally,
    signal,
    isTree: plan.folders.length > 0,
    failedOpens: new WeakSet(),
  };
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
    const one: Promise<void> = copyOne(handles, item, context, copy)
      .catch((error) => {
        tally.hasChanged ||= mayHaveChanged(error);
        const isNoted = onError === "continue" && context.isTree &&
          error !== tally.thrown?.error && isAboutEntry(error);
        if (isNoted) return tally.failed(item.from, error);
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

/** Copies a file; once more if it may have failed for want of open files. */
async function copyOne(
  handles: OpenHandles,
  item: Item,
  context: Context,
  copy: (item: Item, context: Context) => Promise<void>,
): Promise<void> {
  for (;;) {
    await handles.borrow(context.signal);
    try {
      return await copy(item, context);
    } catch (error) {
      const mayPass = context.failedOpens.has(error as object) &&
        (error as { code?: unknown }).code === "SSH_SFTP_FAILURE";
      if (!mayPass || !handles.allowFewer()) throw error;
    } finally {
      handles.giveBack();
    }
  }
}

/** Whether a target has a file already that needs no copying, as far as attributes tell. */
export function looksSame(
  source: Item["info"],
  there: Entry | null | undefined,
  { changedOnly = false, checksum = false, resume = false }:
    CheckedTransferOptions,
): "no" | "yes" | "compare" {
  if (there?.kind !== "file" || there.info.size !== source.size) return "no";
  if (changedOnly && checksum) return "compare";
  const isSameTime = source.mtime !== undefined &&
    source.mtime === there.info.mtime;
  if (!isSameTime) return "no";
  return changedOnly ? "yes" : resume ? "compare" : "no";
}
