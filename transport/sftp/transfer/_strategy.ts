import { isActive, takenUp } from "../_unfinished.ts";
import type { Context } from "./_copy_all.ts";
import { transferError } from "./_errors.ts";
import type { Entry, Item, SourceInfo } from "./_plan.ts";

/** Said of a file that is replaced. */
export const OTHER_NAMES =
  "A replaced file had other names (hard links), which keep the old content";

/** Says that a file is written in place, if the caller has not asked for it. */
export function tellInPlace(
  { tally }: Context,
  from: string,
  why: string,
): void {
  if (why === "") return;
  tally.notice(
    from,
    `A file was written in place, so that others can see half of it: ${why}`,
  );
}

/**
 * The names of unfinished files of earlier copies of the same source, each of
 * which is taken up: the caller says what becomes of it.
 *
 * @param to Where the file goes, maybe behind a link that the caller has named.
 * @throws {SftpError} If one of them is being written to.
 */
export function* unfinishedOf(
  { from, to: named, unfinished = [] }: Item,
  to: string,
  { options: { resume = false } }: Context,
): Generator<string> {
  if (!resume || to !== named) return;
  for (const name of unfinished) {
    if (isActive(name)) {
      const why = "another copy of it to the same target is under way";
      throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, why);
    }
    takenUp(name);
    yield name;
  }
}

/**
 * Compares a source with what it was, and what was copied with both.
 *
 * @throws {SftpError} If it has changed, but for one of a tree that grew.
 */
export function checkCopied(
  { from }: Item,
  { before, after, copied }: {
    readonly before: SourceInfo;
    readonly after: SourceInfo;
    readonly copied: number;
  },
  { isTree, tally }: Context,
): void {
  if (!checkUnchanged(from, before, after, copied, isTree)) return;
  tally.notice(
    from,
    "A file grew while it was copied: the copy ends where it ended before",
  );
}

/**
 * The permissions that a file is to have.
 *
 * @param mode Those of its source.
 * @param there What it replaces.
 * @param umask Asks for what new files do not get.
 * @returns `undefined` if they are left as they are; no promise if they are
 * known.
 */
export function wantedMode(
  mode: number | undefined,
  there: Entry | null | undefined,
  { options: { preserve } }: Context,
  umask: () => Promise<number>,
): number | undefined | Promise<number> {
  if (preserve === true) return mode;
  const old = there?.kind === "file" ? there.info.mode : undefined;
  if (old !== undefined) return old;
  const wanted = preserve === false ? 0o666 : mode;
  if (wanted === undefined) return undefined;
  return umask().then((umask) => wanted & ~umask);
}

/**
 * Compares a source with what it was when its copying began.
 *
 * @returns Whether it only grew meanwhile, as a log does: what was copied is
 * what it was.
 * @throws {SftpError} If it has changed.
 */
export function checkUnchanged(
  path: string,
  before: SourceInfo,
  after: SourceInfo,
  copied: number,
  mayGrow = false,
): boolean {
  // Files of /proc have size 0 and a time of their own.
  if (before.size === 0 && after.size === 0 && copied > 0) return false;
  const isSame = before.size === after.size && before.mtime === after.mtime;
  if (isSame && copied === after.size) return false;
  if (mayGrow && copied === before.size && after.size > before.size) {
    return true;
  }
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
