import type { Sftp } from "../sftp.ts";
import { isActive } from "../_unfinished.ts";
import { type Context, copyAll, looksSame } from "./_copy_all.ts";
import { isAboutEntry, transferError } from "./_errors.ts";
import { sweep } from "./_left_over.ts";
import {
  type Entry,
  type Folder,
  folderOf,
  type Item,
  type Keeps,
  mapSome,
  nameOf,
  type Plan,
  type Target,
} from "./_plan.ts";
import type { Tally } from "./_tally.ts";
import { TargetNames } from "./_target_names.ts";
import type { CheckedTransferOptions, TransferResult } from "./options.ts";
import type { RemoteHash } from "./remote_hash.ts";

const AT_A_TIME = 32;

/** Copies one file or link. */
export interface Make {
  file(item: Item, context: Context): Promise<void>;
  link(item: Item): Promise<void>;
}

/** What a folder of the target was before the transfer. */
interface FolderState {
  readonly isNew: boolean;
  /** Whether it is behind a link that the target has below its top. */
  readonly isBehindLink: boolean;
  /** What it has; `undefined` if that could not be read. */
  readonly entries: Map<string, Entry> | undefined;
}

/** The two sides of a transfer. */
interface Sides {
  readonly target: Target;
  readonly make: Make;
}

/** What is told to do and what is told of it. */
interface Orders {
  readonly options: CheckedTransferOptions;
  readonly tally: Tally;
  /** Hashes files on the host, if it can run commands. */
  readonly hash?: RemoteHash | undefined;
}

/** Carries a plan out, and reports its end whatever that is. */
export async function copyPlan(
  sftp: Sftp,
  plan: Plan,
  sides: Sides,
  orders: Orders,
): Promise<TransferResult> {
  const { tally, options: { dryRun = false } } = orders;
  const { from } = (plan.folders[0] ?? plan.files[0])!;
  try {
    await carryOut(sftp, plan, sides, orders);
  } catch (error) {
    try {
      if (!dryRun) tally.ended(from);
    } catch {
      // The failure comes first.
    }
    throw error;
  }
  if (!dryRun) tally.ended(from);
  return tally.result();
}

async function carryOut(
  sftp: Sftp,
  whole: Plan,
  { target, make }: Sides,
  { options, tally, hash }: Orders,
): Promise<void> {
  const { signal, dryRun = false, onError = "stop" } = options;
  const states = await makeFolders(whole, target, options, tally);
  const plan = withoutFailed(whole, states);
  locate([...plan.files, ...plan.links], states);
  const filesOf = new Map<string, Item[]>(
    [...states.keys()].map((path) => [path, []]),
  );
  for (const item of plan.files) filesOf.get(folderOf(item.to))?.push(item);
  for (const [path, { entries }] of states) {
    if (entries === undefined || dryRun) continue;
    await sweep(path, entries, filesOf.get(path)!, target, options);
  }
  if (dryRun) await foresee(plan, target, options, tally);
  else {
    await copyAll(
      sftp,
      plan,
      options,
      tally,
      (item, context) => make.file(item, { ...context, hash }),
    );
    for (const link of plan.links) {
      signal?.throwIfAborted();
      try {
        await make.link(link);
        tally.hasChanged = true;
      } catch (error) {
        const isNoted = onError === "continue" && !signal?.aborted &&
          isAboutEntry(error);
        if (!isNoted) throw error;
        tally.failed(link.from, error);
      }
    }
  }
  for (const { path, error } of plan.refused) tally.failed(path, error);
  if (options.delete) await removeOthers(plan, states, target, options, tally);
  if (!dryRun) await setFolders(plan, states, target, options, tally);
  const [first] = tally.failures;
  if (first !== undefined && onError === "stop") throw first.error;
}

/** Leaves out what is in folders that could not be made. */
function withoutFailed(plan: Plan, states: FolderStates): Plan {
  const { folders, files, links } = plan;
  const isIn = ({ to }: Item) => states.has(folderOf(to));
  return folders.every(({ to }) => states.has(`${to}/`)) ? plan : {
    ...plan,
    files: files.filter(isIn),
    links: links.filter(isIn),
    folders: folders.filter(({ to }) => states.has(`${to}/`)),
  };
}

/** What each folder was, by its path with a slash at its end. */
type FolderStates = Map<string, FolderState>;

/** How many folders are made, and entries removed, at a time. */
function atATime({ concurrency = Infinity }: CheckedTransferOptions): number {
  return Math.min(AT_A_TIME, concurrency);
}

/**
 * Makes the folders that are missing, from the top down. One that cannot be
 * made has no state, and those in it have none.
 */
async function makeFolders(
  { folders }: Plan,
  target: Target,
  options: CheckedTransferOptions,
  tally: Tally,
): Promise<FolderStates> {
  const states: FolderStates = new Map();
  const kept = new TargetNames(target, folders[0]?.to ?? "", options);
  for (let depth = 0, done = 0; done < folders.length; depth++) {
    const level = folders.filter((folder) => folder.depth === depth);
    done += level.length;
    const found = await mapSome(level, atATime(options), async (folder) => {
      options.signal?.throwIfAborted();
      const above = states.get(folderOf(folder.to));
      if (above === undefined && depth > 0) return undefined;
      try {
        const keeps = kept.of(folder.names);
        return await makeOne(folder, { above, keeps }, target, options, tally);
      } catch (error) {
        const isNoted = options.onError === "continue" && depth > 0 &&
          !options.signal?.aborted && isAboutEntry(error);
        if (!isNoted) throw error;
        tally.failed(folder.from, error);
        return undefined;
      }
    });
    for (const [index, { to }] of level.entries()) {
      const state = found[index];
      if (state !== undefined) states.set(`${to}/`, state);
    }
  }
  return states;
}

async function makeOne(
  { from, to, depth }: Folder,
  { above, keeps }: { above: FolderState | undefined; keeps: Keeps },
  target: Target,
  { dryRun = false }: CheckedTransferOptions,
  tally: Tally,
): Promise<FolderState> {
  const isTop = depth === 0;
  let there = above?.isNew ? null : above?.entries?.get(nameOf(to)) ??
    (above?.entries ? null : await target.look(to));
  let isBehindLink = above?.isBehindLink ?? false;
  if (there?.kind === "link" && (isTop || target.followsLinks)) {
    there = await target.follow(to);
    isBehindLink ||= !isTop;
  }
  if (there?.kind === "folder") {
    const entries = await target.list(to, keeps);
    return { isNew: false, isBehindLink, entries };
  }
  if (there !== null) {
    throw transferError(
      "SSH_SFTP_TRANSFER_REFUSED",
      from,
      "there is something in place of the folder, maybe a link",
    );
  }
  if (dryRun) tally.changes.push({ kind: "make folder", path: to });
  else {
    await target.makeFolder(to, isTop);
    tally.hasChanged = true;
  }
  return { isNew: true, isBehindLink, entries: undefined };
}

/** Notes what is at the target of each, where the folder was read. */
function locate(
  items: readonly Item[],
  states: ReadonlyMap<string, FolderState>,
): void {
  for (const item of items) {
    const state = states.get(folderOf(item.to));
    if (state?.isNew) item.there = null;
    else if (state?.entries !== undefined) {
      item.there = state.entries.get(nameOf(item.to)) ?? null;
    }
  }
}

/** Notes what would be done. */
async function foresee(
  plan: Plan,
  target: Target,
  options: CheckedTransferOptions,
  tally: Tally,
): Promise<void> {
  await mapSome(plan.files, atATime(options), async (item) => {
    item.there ??= item.there === null ? null : await target.look(item.to);
    if (looksSame(item.info, item.there, options) === "no") {
      tally.changes.push({ kind: "copy", path: item.to });
    } else tally.same(item.from, item.info.size);
  });
  for (const { to } of plan.links) {
    tally.changes.push({ kind: "make link", path: to });
  }
}

/** Removes what the source does not have. */
async function removeOthers(
  plan: Plan,
  states: ReadonlyMap<string, FolderState>,
  target: Target,
  options: CheckedTransferOptions,
  tally: Tally,
): Promise<void> {
  const { dryRun = false, filter, onError, signal } = options;
  const [failure] = tally.failures;
  if (failure !== undefined) {
    return tally.notice(
      failure.path,
      "Nothing was deleted, since something could not be copied",
    );
  }
  const { glob } = plan;
  const stateOf = (to: string) => states.get(`${to}/`);
  const linked = plan.folders.find(({ to }) => stateOf(to)?.isBehindLink);
  if (linked !== undefined) {
    // Whoever has made the link may not be who owns what is behind it.
    tally.notice(linked.to, "Nothing was deleted behind a link of the target");
  }
  const own = plan.folders.filter(({ to }) => !stateOf(to)?.isBehindLink);
  const others = own.flatMap(({ to, names, below, isWhole }) =>
    [...stateOf(to)?.entries ?? []]
      .filter(([key]) => !names.has(key) && !isActive(key))
      // A name that is not UTF-8 has a "/" at the end of its key.
      .map(([key, entry]) => ({ ...entry, name: key.replace(/\/$/, "") }))
      .filter(({ name, kind }) => {
        const isFolder = kind === "folder";
        const isMeant = isWhole || glob!.matches(below + name, isFolder);
        const path = `${below}${name}${isFolder ? "/" : ""}`;
        return isMeant && (filter === undefined || filter(path));
      })
      .map(({ name, fault }) => ({ path: `${to}/${name}`, fault }))
  );
  await mapSome(others, atATime(options), async ({ path, fault }) => {
    signal?.throwIfAborted();
    try {
      if (fault !== undefined) throw fault;
      if (dryRun) return void tally.changes.push({ kind: "delete", path });
      await target.remove(path);
    } catch (error) {
      const isNoted = onError === "continue" && isAboutEntry(error);
      if (!isNoted) throw error;
      return tally.failed(path, error);
    }
    tally.hasChanged = true;
    tally.deleted++;
  });
}

/** Sets what the folders that were made get of their source. */
async function setFolders(
  { folders }: Plan,
  states: ReadonlyMap<string, FolderState>,
  target: Target,
  { preserve, signal }: CheckedTransferOptions,
  tally: Tally,
): Promise<void> {
  if (preserve === false) return;
  for (const { from, to, info } of folders.toReversed()) {
    if (!states.get(`${to}/`)?.isNew) continue;
    signal?.throwIfAborted();
    const { atime, mtime } = info;
    const mode = info.mode === undefined || preserve === true
      ? info.mode
      : info.mode & ~await target.umask(`${to}/`, signal);
    const times = atime === undefined || mtime === undefined
      ? undefined
      : { atime, mtime };
    try {
      await target.setFolder(to, mode, times);
    } catch (error) {
      signal?.throwIfAborted();
      const { status, code } = error as { status?: number; code?: string };
      if (status === undefined && code !== "EPERM") throw error;
      tally.notice(from, "Folders keep neither permissions nor times");
    }
  }
}
