import {
  cleanedUp,
  finished,
  isAbandoned,
  isActive,
  isUnfinished,
  tagIn,
  tagOf,
} from "../_unfinished.ts";
import {
  type Entry,
  folderOf,
  type Item,
  nameOf,
  type Plan,
  type Target,
} from "./_plan.ts";
import { TargetNames } from "./_target_names.ts";
import type { CheckedTransferOptions } from "./options.ts";

/**
 * Removes what earlier transfers have left in a folder, and notes for each file
 * what can be gone on with.
 *
 * @param entries What is in the folder. Neither of the two is in it afterwards.
 * @param files What is copied into the folder.
 */
export async function sweep(
  folder: string,
  entries: Map<string, Entry>,
  files: readonly Item[],
  target: Target,
  { resume = false }: CheckedTransferOptions,
): Promise<void> {
  const found = [...entries.keys()].filter(isUnfinished);
  if (found.length === 0) return;
  const items = new Map(files.map((item) => [tagOf(nameOf(item.to)), item]));
  const mayGoOn = resume && found.some((name) => items.has(tagIn(name)!));
  const own = mayGoOn ? await target.ownFile(folder) : undefined;
  const old = sorted(found, entries, { items, resume, own });
  const removals = old.map(async (name) => {
    await target.removeFile(folder + name);
    entries.delete(name);
    finished(name, folder, "gone");
  });
  await cleanedUp(...removals);
}

/** What is known of a folder with unfinished files. */
interface Known {
  /** What is copied into it, by the tag of its final name. */
  readonly items: ReadonlyMap<string, Item>;
  readonly resume: boolean;
  /** A new file of ours; `undefined` if there cannot be one. */
  readonly own: Entry | undefined;
}

/** Notes what can be gone on with, which is no entry any more; returns what is old. */
export function sorted(
  found: readonly string[],
  entries: Map<string, Entry>,
  { items, resume, own }: Known,
): string[] {
  return found.filter((name) => {
    const entry = entries.get(name)!;
    const item = items.get(tagIn(name)!);
    if (item !== undefined && resume && entry.kind === "file") {
      const isUsable = entry.info.size > 0 &&
        entry.info.size <= item.info.size && isOwn(entry, own);
      if (isActive(name) || isUsable) {
        (item.unfinished ??= []).push(name);
        entries.delete(name);
        return false;
      }
    }
    if (isActive(name)) return false;
    const isOfThis = item !== undefined && name.endsWith(".part");
    return isOfThis || isAbandoned(name, entry.info.mtime);
  });
}

/**
 * Whether it is ours alone: a stranger may have put it there, with the beginning
 * of the source, to read what is written to it.
 *
 * @param own A new file of ours; `undefined` if there cannot be one.
 */
function isOwn(
  { owner, names = 1, info: { mode = 0 } }: Entry,
  own: Entry | undefined,
): boolean {
  if (own === undefined) return false;
  // Some servers know no permissions, and say the same of all files.
  const more = mode & 0o022 & ~(own.info.mode ?? 0o777);
  return owner?.uid === own.owner?.uid && names === 1 && more === 0;
}

/** Does so in the folder of a single file. */
export async function sweepBeside(
  plan: Plan,
  target: Target,
  options: CheckedTransferOptions,
): Promise<void> {
  const folder = folderOf(plan.files[0]!.to);
  const kept = new TargetNames(target, folder, { ...options, delete: false });
  const entries = await target
    .list(folder === "" ? "." : folder, kept.of(new Set()))
    .catch(() => undefined); // the copy tells what is wrong
  if (entries === undefined) return;
  await sweep(folder, entries, plan.files, target, options);
}
