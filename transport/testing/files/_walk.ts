/** Where a path leads to: links are followed here. */

import { FileError } from "../sftp_server/served_files.ts";

/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;

/**
 * What becomes of the end of a path. A link there is followed; looked at, unless
 * a `/` is behind it; or meant itself, whatever is behind it. `"real"` follows it
 * as OpenSSH's realpath does, to which a file may be a folder on the way.
 */
export type PathEnd = "follow" | "look" | "itself" | "real";

/** Where a path leads to. */
export interface TreePath {
  /** From the root, without links, unless one is at its end and was meant. */
  readonly path: string;
  /** A `/` is at its end, or at that of a link there: it must be a folder. */
  readonly hasSlash: boolean;
}

/** What a file system has at a path; `undefined` is nothing. */
export type Found = {
  readonly link?: string | undefined;
  readonly isFolder: boolean;
};

/**
 * Follows an absolute path: `..` in the root leads to the root, and an absolute
 * link begins there.
 *
 * @param at Gives what has a path, which has no link before its last name.
 */
export function walk(
  path: string,
  end: PathEnd,
  at: (path: string) => Found | undefined,
): TreePath {
  const rest = split(path);
  let hasSlash = path.endsWith("/");
  let names: string[] = [];
  let links = 0;
  let isInFile = false;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === ".") continue;
    if (name === "..") {
      names.pop();
      isInFile = false;
      continue;
    }
    if (isInFile) throw new FileError("ENOTDIR");
    names.push(name);
    const isLast = rest.length === 0;
    if (isLast && (end === "itself" || (end === "look" && !hasSlash))) break;
    const found = at(`/${names.join("/")}`);
    const mayBeMissing = isLast && !(end === "real" && hasSlash);
    if (found === undefined && !mayBeMissing) throw new FileError("ENOENT");
    if (found?.link !== undefined) {
      if (++links > MAX_LINKS) throw new FileError("ELOOP");
      hasSlash ||= isLast && found.link.endsWith("/");
      names = found.link.startsWith("/") ? [] : names.slice(0, -1);
      rest.unshift(...split(found.link));
    } else if (found?.isFolder === false && !isLast) {
      if (end !== "real") throw new FileError("ENOTDIR");
      isInFile = true;
    }
  }
  return { path: `/${names.join("/")}`, hasSlash };
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}

/**
 * Returns what POSIX says of a folder that is to be removed by a path without a
 * name.
 */
export function namelessError(path: string): FileError | undefined {
  if (/^\/*$/.test(path)) return new FileError("EBUSY");
  if (/(^|\/)\.\/*$/.test(path)) return new FileError("EINVAL");
  if (/(^|\/)\.\.\/*$/.test(path)) return new FileError("ENOTEMPTY");
  return undefined;
}
