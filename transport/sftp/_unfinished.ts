import { createHash, randomBytes } from "node:crypto";
import { settledWithin } from "../abort.ts";

/**
 * Files that are not finished yet. Each has a name that nobody can foretell,
 * beside the file that it will be:
 *
 *     .sshpool-<16 hex digits of the final name>-<24 random ones>.tmp or .part
 *
 * One that is kept for `resume` ends in `.part`. The next transfer to the same
 * final name finds it by the first digits. What is moved aside until the new
 * file has its name ends in `.old`: it may be all that there is, and stays.
 */
const PATTERN = /^\.sshpool-([0-9a-f]{16})-[0-9a-f]{24}\.(tmp|part|old)$/;

/** One that nothing was written to for so long belongs to no running transfer. */
const ABANDONED_S = 24 * 60 * 60;

/** How many names are remembered that could not be removed. */
const MAX_LEFT = 10_000;

/** How long a server may take to tidy up, in milliseconds. */
const CLEAN_UP_MS = 5_000;

/** The unfinished files of this process: names are unique, whatever the host. */
const active = new Set<string>();
/** The folders of those that could not be removed, as after a lost connection. */
const left = new Map<string, string>();

/** Returns a new name for a file while it is unfinished. */
export function unfinishedName(name: string, isKept = false): string {
  const made = newName(name, isKept ? "part" : "tmp");
  active.add(made);
  return made;
}

/** Returns a new name for a file while another takes its place. */
export function nameAside(name: string): string {
  return newName(name, "old");
}

function newName(name: string, kind: string): string {
  const random = randomBytes(12).toString("hex");
  return `.sshpool-${tagOf(name)}-${random}.${kind}`;
}

/** Notes that nothing is written to it any more, and what has become of it. */
export function finished(
  name: string,
  folder: string,
  fate: "gone" | "kept" | "left",
): void {
  active.delete(name);
  left.delete(name);
  if (fate !== "left") return;
  if (left.size >= MAX_LEFT) left.delete([...left.keys()][0]!);
  left.set(name, folder);
}

/** Notes that one that was found is written to again. */
export function takenUp(name: string): void {
  active.add(name);
}

/** Whether a transfer of this process is writing to it. */
export function isActive(name: string): boolean {
  return active.has(name);
}

/** Whether a name is that of an unfinished file, which is never copied. */
export function isUnfinished(name: string): boolean {
  return PATTERN.test(name);
}

/** What the names of unfinished files of one final name have in common. */
export function tagOf(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 16);
}

/** The tag in the name of an unfinished file; `undefined` if it is none. */
export function tagIn(found: string): string | undefined {
  const [, tag, kind] = PATTERN.exec(found) ?? [];
  return kind === "old" ? undefined : tag;
}

/**
 * Whether no transfer will need it: one of this process that has failed, or one
 * that is old and not kept to be resumed.
 */
export function isAbandoned(found: string, mtime: number | undefined): boolean {
  if (PATTERN.exec(found)?.[2] !== "tmp" || active.has(found)) return false;
  return left.has(found) ||
    (mtime !== undefined && mtime < Date.now() / 1000 - ABANDONED_S);
}

/** Those that this process has left in a folder and those in it. */
export function leftBelow(folder: string): (readonly [string, string])[] {
  return [...left].filter(([, where]) => where.startsWith(folder));
}

/** Those that this process has left in a folder for a final name. */
export function leftFor(name: string, folder: string): string[] {
  const tag = tagOf(name);
  return [...left].filter(([found, where]) =>
    where === folder && tagIn(found) === tag
  ).map(([found]) => found);
}

/**
 * Waits for what is tidied up after a failure, but not for ever: a caller who
 * has aborted since the server does not answer must not wait for its answer.
 * What has been sent by then is done all the same if the server comes back.
 *
 * @param work What was begun, if anything was. Failures of it are ignored.
 */
export function cleanedUp(
  ...work: readonly (Promise<unknown> | undefined)[]
): Promise<void> {
  return settledWithin(CLEAN_UP_MS, ...work);
}
