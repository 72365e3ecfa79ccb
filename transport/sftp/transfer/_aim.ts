import { readlink, realpath } from "node:fs/promises";
import { basename, posix } from "node:path";
import { operationError, SftpError } from "../errors.ts";
import { isUnicodeFileName } from "../names.ts";
import type { Context } from "./_copy_all.ts";
import { NOT_UTF8, transferError } from "./_errors.ts";
import { targetOf, unreadableLink } from "./_links.ts";
import { lookIfThere } from "./_local.ts";
import { type Entry, folderOf, type Item } from "./_plan.ts";
import { realTarget, type RemoteTarget } from "./_remote.ts";

/** Where a file goes, and how. */
export interface Aim {
  readonly to: string;
  /** What is there; `null` if nothing, `undefined` if it is not known. */
  readonly there: Entry | null | undefined;
  /** Why it is written in place, if it is. */
  readonly inPlace?: string;
}

/** How often an aim may change: a link may lead to a link, and that to a folder. */
export const MAX_AIMS = 10;

/** Where the file goes instead, if what is there says so. */
export async function aimAfter(
  target: RemoteTarget,
  item: Item,
  context: Context,
  aim: Aim,
  there: Entry | null,
): Promise<Aim | undefined> {
  const { from, isNamed = false } = item;
  const { signal, options: { replaceLinks = false } } = context;
  const { to, inPlace } = aim;
  switch (there?.kind) {
    case "folder":
      if (isNamed) {
        const into = `${to.replace(/\/+$/, "")}/${basename(from)}`;
        return { ...aim, to: into, there: undefined };
      }
      throw operationError("SSH_SFTP_IS_A_DIRECTORY", {
        action: "write",
        path: to,
        host: target.protocol?.host,
      });
    case "link": {
      if (replaceLinks && inPlace === undefined) return undefined;
      const real = await realTarget(target, to, signal);
      return { ...aim, to: real, there: undefined };
    }
    case "device":
      return inPlace === undefined
        ? { to, there, inPlace: "it is a device" }
        : undefined;
    case "other":
      throw transferError(
        "SSH_SFTP_TRANSFER_REFUSED",
        from,
        "its target is there, and is no regular file",
      );
  }
  return undefined;
}

/** Where a file goes, and what is there. */
export interface LocalAim {
  readonly to: string;
  readonly there: Entry | null;
}

export async function aimAt(
  item: Item,
  { options }: Context,
): Promise<LocalAim> {
  const { from, to, isNamed = false } = item;
  const there = item.there === undefined
    ? await lookIfThere(to) ?? null
    : item.there;
  switch (there?.kind) {
    case "folder":
      if (isNamed) {
        const into = `${to.replace(/\/+$/, "")}/${posix.basename(from)}`;
        checkLocalName(from, into);
        return { to: into, there: await lookIfThere(into) ?? null };
      }
      throw Object.assign(
        new Error(`Cannot write ${JSON.stringify(to)}: is a folder`),
        { code: "EISDIR", syscall: "open", path: to },
      );
    case "link": {
      // In a tree it may be one that the server had made, and lead anywhere.
      if (!isNamed || options.replaceLinks) return { to, there };
      const real = await namedBy(to, realpath).catch(async (error) => {
        if (error instanceof SftpError) throw error;
        return posix.resolve(folderOf(to), await namedBy(to, readlink));
      });
      return { to: real, there: await lookIfThere(real) ?? null };
    }
    case "other":
      throw transferError(
        "SSH_SFTP_TRANSFER_REFUSED",
        from,
        "its target is there, and is no regular file",
      );
  }
  return { to, there };
}

/**
 * Checks that a file can have its name here: to one that is not UTF-8 a runtime
 * writes under one that looks like it.
 *
 * @throws {SftpError} If it is not UTF-8.
 */
export function checkLocalName(from: string, to: string): void {
  if (isUnicodeFileName(to)) return;
  throw transferError("SSH_SFTP_TRANSFER_REFUSED", from, NOT_UTF8);
}

/** The same goes for one that a link names. */
async function namedBy(
  link: string,
  read: Parameters<typeof targetOf>[1],
): Promise<string> {
  const target = await targetOf(link, read);
  if (isUnicodeFileName(target)) return target;
  throw unreadableLink(link);
}
