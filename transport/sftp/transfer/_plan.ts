import { Glob } from "../_patterns.ts";
import { isUnfinished } from "../_unfinished.ts";
import { isAboutEntry, mayHaveChanged, transferError } from "./_errors.ts";
import { TreeBounds } from "./_tree_bounds.ts";
import type { CheckedTransferOptions, TransferResult } from "./options.ts";

/** What is known of a source file before it is copied. */
export interface SourceInfo {
  readonly size: number;
  /** Permissions; `undefined` if they are not known. */
  readonly mode: number | undefined;
  /** In whole seconds since 1970; `undefined` if they are not known. */
  readonly atime: number | undefined;
  readonly mtime: number | undefined;
}

/** What there is at a path, on either side. */
export interface Entry {
  readonly path: string;
  readonly kind: "file" | "folder" | "link" | "device" | "other";
  readonly info: SourceInfo;
  /** Owner and group, if they are known. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** How many names it has, if that is known. */
  readonly names?: number;
  /** Why it cannot be removed, if it cannot. */
  readonly fault?: Error;
}

/** An entry of a folder; or a name of which nothing can be copied. */
export type Child =
  | (Entry & { readonly name: string; readonly refused?: undefined })
  | {
    readonly name: string;
    readonly path: string;
    /** Why. */
    readonly refused: string;
  };

/** Something to copy. */
export interface Item {
  readonly from: string;
  readonly to: string;
  readonly info: SourceInfo;
  /** What is at the target; `null` if nothing, `undefined` if it is not known. */
  there?: Entry | null;
  /** Unfinished files of earlier transfers to the same target. */
  unfinished?: string[];
  /** Whether the caller has named it, so that a link at its target is followed. */
  readonly isNamed?: boolean;
}

/** A folder to make, with what the target may have in it. */
export interface Folder extends Item {
  readonly depth: number;
  /** The path below the top, with a slash at its end; empty for the top. */
  readonly below: string;
  readonly names: Set<string>;
  /** Whether all that is in it is meant. */
  readonly isWhole: boolean;
  /** Whether it is there only for what is in it. */
  readonly isPassage: boolean;
}

/** All that is to be copied: folders from the top down. */
export interface Plan {
  readonly folders: Folder[];
  readonly files: Item[];
  readonly links: Item[];
  readonly skipped: string[];
  /** What of the tree is meant, if not all. */
  readonly glob: Glob | undefined;
  /** What cannot be copied, as was found before anything is. */
  readonly refused: TransferResult["failures"][number][];
}

/** The side that is copied from. */
export interface Source {
  /** How many entries a tree may have unless the options say. */
  readonly maxEntries: number;
  /** Reads a folder; calls `count` for each entry. */
  list(path: string, count: () => void): Promise<Child[]>;
  /** Looks where a link leads to; `undefined` if nowhere. */
  follow(path: string): Promise<Entry | undefined>;
}

/**
 * Whether to keep in mind what a folder of the target has under this name;
 * `undefined` if the folder has too much to be read to its end.
 */
export type Keeps = (name: string) => boolean | undefined;

/** The side that is copied to. */
export interface Target {
  /** Whether a link in a tree may stand for the folder that it leads to. */
  readonly followsLinks: boolean;
  /** Looks at a path, and follows no link. */
  look(path: string): Promise<Entry | null>;
  /** Looks where a path leads to. */
  follow(path: string): Promise<Entry | null>;
  /** How many entries are kept in mind that the source does not have. */
  readonly maxEntries: number;
  /** Reads a folder; `undefined` if that is not allowed, or it has too much. */
  list(path: string, keeps: Keeps): Promise<Map<string, Entry> | undefined>;
  makeFolder(path: string, recursive: boolean): Promise<void>;
  /** Removes a tree, if it is there. */
  remove(path: string): Promise<void>;
  /** Removes a file or link, whatever it is. */
  removeFile(path: string): Promise<void>;
  /** What a file is that we make in a folder; `undefined` if we may not. */
  ownFile(folder: string): Promise<Entry | undefined>;
  /** The permissions that new files do not get. */
  umask(folder: string, signal: AbortSignal | undefined): Promise<number>;
  setFolder(
    path: string,
    mode: number | undefined,
    times: FileTimes | undefined,
  ): Promise<void>;
}

/** When something was last read and written, in seconds since 1970. */
export interface FileTimes {
  readonly atime: number;
  readonly mtime: number;
}

/** What the caller has named: a file or folder, or a pattern and its base. */
export interface Named {
  readonly top: Entry;
  readonly glob?: Glob | undefined;
}

/**
 * Looks for a source. A path that is there is taken for what it is, whatever
 * characters it has; another one may be a pattern.
 *
 * @param look Throws if there is nothing.
 */
export async function findSource(
  path: string,
  look: (path: string) => Promise<Entry>,
): Promise<Named> {
  try {
    return { top: await look(path) };
  } catch (error) {
    const { code } = error as { code?: unknown };
    const isMissing = code === "ENOENT" || code === "SSH_SFTP_NOT_FOUND";
    const glob = isMissing ? Glob.of(path) : undefined;
    if (glob === undefined) throw error;
    const top = await look(glob.base || ".");
    if (top.kind === "folder") return { top, glob };
    throw error;
  }
}

/** How many folders are read at a time. */
const FOLDERS_AT_A_TIME = 16;

/**
 * Finds what is to be copied.
 *
 * @param named What the caller has named.
 * @param to Where it goes.
 */
export async function makePlan(
  source: Source,
  named: Named,
  to: string,
  options: CheckedTransferOptions,
): Promise<Plan> {
  const { top, glob } = named;
  const plan: Plan = {
    glob,
    folders: [],
    files: [],
    links: [],
    skipped: [],
    refused: [],
  };
  const atATime = Math.min(FOLDERS_AT_A_TIME, options.concurrency ?? Infinity);
  const { maxEntries = source.maxEntries, onError, signal } = options;
  const bounds = new TreeBounds(top.path, maxEntries, source.maxEntries);
  const count = () => bounds.count();
  const placing: Placing = { plan, source, options, glob };
  const isWhole = glob === undefined;
  let next = await place(top, { to, below: "", isWhole }, placing);
  for (let depth = 0; next.length > 0; depth++) {
    bounds.descend(depth);
    const level = next;
    next = [];
    const lists = await mapSome(level, atATime, async (folder) => {
      signal?.throwIfAborted();
      try {
        return await source.list(folder.from, count);
      } catch (error) {
        if (onError !== "continue" || !isAboutEntry(error)) throw error;
        plan.refused.push({ path: folder.from, error });
        return [];
      }
    });
    for (const [index, children] of lists.entries()) {
      const { to, names, below, isWhole } = level[index]!;
      for (const { name, ...child } of children) {
        names.add(name);
        const at = { to: `${to}/${name}`, below: below + name, isWhole };
        bounds.measure(at.below);
        next.push(...await place(child, at, placing));
      }
    }
  }
  return glob === undefined ? plan : withoutPassages(plan, top);
}

/** Leaves out folders that were only read to find what is in them. */
function withoutPassages(plan: Plan, top: Entry): Plan {
  const { folders, files, links } = plan;
  const above = ({ to }: Item) => to.slice(0, to.lastIndexOf("/"));
  const used = new Set([...files, ...links].map(above));
  const kept = folders.toReversed().filter((folder) => {
    const isKept = !folder.isPassage || used.has(folder.to) ||
      folder.from === top.path;
    if (isKept) used.add(above(folder));
    return isKept;
  });
  return { ...plan, folders: kept.reverse() };
}

interface TreePath {
  readonly to: string;
  /** The path below the top. */
  readonly below: string;
  /** Whether all is meant that is in the folder. */
  readonly isWhole: boolean;
}

/** What places entries in a plan. */
interface Placing {
  readonly plan: Plan;
  readonly source: Source;
  readonly options: CheckedTransferOptions;
  readonly glob: Glob | undefined;
}

/** Adds an entry to the plan; returns the folder to read next, if it is one. */
async function place(
  entry: Entry | Omit<Extract<Child, { refused: string }>, "name">,
  { to, below, isWhole }: TreePath,
  { plan, source, options, glob }: Placing,
): Promise<Folder[]> {
  const { symlinks = "copy", filter } = options;
  const isTop = below === "";
  const isFolder = "kind" in entry && entry.kind === "folder";
  const isMeant = isWhole || (!isTop && glob!.matches(below, isFolder));
  const may = isMeant || isTop ? "yes" : glob!.mayHave(below);
  if (!isMeant && may === "no") return [];
  if (!isTop && isUnfinished(below.slice(below.lastIndexOf("/") + 1))) {
    plan.skipped.push(entry.path);
    return [];
  }
  if ("refused" in entry) {
    const { path, refused } = entry;
    if (!isMeant) return [];
    if (filter !== undefined && !filter(below)) return [];
    const error = transferError("SSH_SFTP_TRANSFER_REFUSED", path, refused);
    plan.refused.push({ path, error });
    return [];
  }
  const { path: from } = entry;
  let { kind, info } = entry;
  const slash = kind === "folder" ? "/" : "";
  if (!isTop && filter !== undefined && !filter(below + slash)) return [];
  if (!isMeant && kind === "link") {
    // A pattern may name a link, but takes none for any number of folders.
    const found = may === "named" ? await source.follow(from) : undefined;
    if (found?.kind === "folder") ({ kind, info } = found);
  }
  if (!isMeant && kind !== "folder") return [];
  if (kind === "link" && symlinks === "follow") {
    const found = await source.follow(from);
    if (found === undefined) {
      const why = "it is a link that leads nowhere";
      const error = transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
      plan.refused.push({ path: from, error });
      return [];
    }
    ({ kind, info } = found);
  }
  const item: Item = { from, to, info, isNamed: isTop };
  if (kind === "file") plan.files.push(item);
  else if (kind === "link" && symlinks === "copy") plan.links.push(item);
  else if (kind === "folder") {
    const depth = isTop ? 0 : below.split("/").length;
    const folder: Folder = {
      ...item,
      depth,
      names: new Set(),
      below: isTop ? "" : `${below}/`,
      isWhole: isWhole || (isMeant && glob!.takesAll(below)),
      isPassage: !isMeant,
    };
    plan.folders.push(folder);
    return [folder];
  } else plan.skipped.push(from);
  return [];
}

/** Runs an action on each value, some at a time; results keep the order. */
export async function mapSome<T, R>(
  values: readonly T[],
  atATime: number,
  action: (value: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array(values.length);
  let next = 0;
  const work = async () => {
    while (next < values.length) {
      const index = next++;
      try {
        results[index] = await action(values[index]!);
      } catch (error) {
        next = values.length;
        throw error;
      }
    }
  };
  const workers = Math.min(atATime, values.length);
  const ends = await Promise.allSettled(Array.from({ length: workers }, work));
  const errors = ends.flatMap((end) =>
    end.status === "rejected" ? [end.reason] : []
  );
  // Of those that a lost session ends, one may say that nothing has changed.
  if (errors.length > 0) throw errors.find(mayHaveChanged) ?? errors[0];
  return results;
}

/**
 * Refuses what the caller names and that cannot be copied. In a tree what is no
 * file is left out, but a copy of nothing must not look like one that was made.
 */
export function checkPlan(
  plan: Plan,
  from: string,
  { delete: removes = false }: CheckedTransferOptions,
): void {
  const { folders, files, links, refused, skipped, glob } = plan;
  if (skipped.includes(from)) {
    const why = "it is neither a file nor a folder";
    throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
  }
  const isEmpty = folders.length <= 1 && files.length + links.length === 0;
  if (glob !== undefined && isEmpty && refused.length === 0) {
    throw transferError("SSH_SFTP_NOT_FOUND", from, "nothing matches it");
  }
  if (isEmpty && refused[0] !== undefined) throw refused[0].error;
  if (isEmpty && removes === true) {
    throw transferError(
      "SSH_SFTP_TRANSFER_REFUSED",
      from,
      'it is empty, so delete would remove all that the target has: use delete: "even-if-empty" for that',
    );
  }
}

/** The folder of a path, with the separator at its end; empty for a mere name. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** The last name of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
