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
  const old = found.filter((name) => {
    const entry = entries.get(name)!;
    const item = items.get(tagIn(name)!);
    if (item !== undefined && resume && entry.kind === "file") {
      const isUsable = entry.info.size > 0 &&
        entry.info.size <= item.info.size;
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
  const removals = old.map(async (name) => {
    await target.removeFile(folder + name);
    entries.delete(name);
    finished(name, folder, "gone");
  });
  await cleanedUp(...removals);
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
