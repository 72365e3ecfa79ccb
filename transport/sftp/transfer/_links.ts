import { rename, rm, symlink } from "node:fs/promises";
import { SftpError } from "../errors.ts";
import { decodeFileName, isUnicodeFileName } from "../names.ts";
import type { Sftp } from "../sftp.ts";
import { cleanedUp, finished, unfinishedName } from "../_unfinished.ts";
import { transferError } from "./_errors.ts";
import { folderOf, type Item, nameOf } from "./_plan.ts";
import type { RemoteTarget } from "./_remote.ts";
import type { Tally } from "./_tally.ts";

/** Makes a link on the server. */
export async function uploadLink(
  target: RemoteTarget,
  says: string,
  { from, to, there: known }: Item,
  { tally, signal }: {
    readonly tally: Tally;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { sftp, protocol } = target;
  const there = known === undefined ? await target.look(to) : known;
  try {
    if (there === null) return await placeLink(sftp, says, to, signal);
    if (
      there.kind === "link" && await sftp.readLink(to, { signal }) === says
    ) return;
    // Others may follow the link that they are to rename: proftpd does.
    const isOpenSsh = protocol?.has("lsetstat@openssh.com", "1") &&
      protocol.has("posix-rename@openssh.com", "1") &&
      protocol.has("expand-path@openssh.com", "1");
    const folder = folderOf(to);
    const name = unfinishedName(nameOf(to));
    const path = folder + name;
    try {
      // First: where no link can be made, what is there stays.
      await sftp.symlink(says, path, { signal });
      if (isOpenSsh || there.kind === "folder") {
        await sftp.rename(path, to, { signal });
        return finished(name, folder, "gone");
      }
      tally.notice(from, "A link was replaced by removing the old one first");
      await sftp.remove(to, { signal });
      await placeLink(sftp, says, to, signal);
    } catch (error) {
      await target.discard(undefined, path);
      throw error;
    }
    await target.discard(undefined, path);
  } catch (error) {
    const isRefused = error instanceof SftpError && error.status !== undefined;
    if (signal?.aborted || !isRefused) throw error;
    const { code, status, host } = error;
    throw new SftpError(
      code,
      transferError(code, from, "the link cannot be made").message,
      {
        path: from,
        host,
        status,
        cause: error,
        hint:
          'symlinks: "skip" leaves links out, "follow" copies what they lead to',
      },
    );
  }
}

/** Makes a link; removes what a request may have made that was given up. */
async function placeLink(
  sftp: Sftp,
  says: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await sftp.symlink(says, path, { signal });
  } catch (error) {
    if (signal?.aborted) await cleanedUp(sftp.remove(path));
    throw error;
  }
}

/**
 * Where a local link leads to, also if that is not UTF-8.
 *
 * @param path The link.
 * @param read `readlink` or `realpath`.
 */
export async function targetOf(
  path: string,
  read: (path: string, encoding: "buffer") => Promise<Uint8Array | string>,
): Promise<string> {
  try {
    const target = await read(path, "buffer");
    return typeof target === "string" ? target : decodeFileName(target);
  } catch (error) {
    // Deno gives text whatever it is asked for, and throws where it is none.
    if ((error as Error).name !== "InvalidData") throw error;
    throw unreadableLink(path);
  }
}

/** The error of a link to a name that this side cannot tell. */
export function unreadableLink(path: string): SftpError {
  return transferError(
    "SSH_SFTP_TRANSFER_REFUSED",
    path,
    "it is a link to a name that is not UTF-8",
  );
}

/** Makes a local link, in place of whatever is no folder. */
export async function downloadLink(
  target: string,
  { from, to }: Item,
): Promise<void> {
  if (!isUnicodeFileName(target)) throw unreadableLink(from);
  const folder = folderOf(to);
  const name = unfinishedName(nameOf(to));
  try {
    await symlink(target, folder + name);
    await rename(folder + name, to);
  } catch (error) {
    await rm(folder + name, { force: true });
    throw error;
  } finally {
    finished(name, folder, "gone");
  }
}
