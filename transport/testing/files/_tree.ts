/** The names of a memory file system: how a path is followed. */

import { encodeFileName } from "../../sftp/names.ts";
import { FileError } from "../sftp_server/served_files.ts";
import { FolderNode, LinkNode, type Node } from "./_node.ts";

/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;
const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;

/** Where a path leads to. */
export interface Place {
  /** The folder that has the name, or is to have it. */
  readonly folder: FolderNode;
  /** The name; "" for the folder itself: `/`, `.` or `..` at the end. */
  readonly name: string;
  /** What has the name; `undefined` if nothing has. */
  readonly node: Node | undefined;
  /** The path, or a link at its end, ends with `/`: it must be a folder. */
  readonly hasSlash: boolean;
}

/**
 * What becomes of a link at the end: it is followed; it is looked at, unless a
 * `/` is behind it; or it is meant itself, whatever is behind it.
 */
export type LastLink = "follow" | "look" | "itself";

/** How a path is followed. */
export interface FollowOptions {
  readonly root: FolderNode;
  /** Where a relative path begins. */
  readonly home: string;
  /** Throws unless the folder may be entered. */
  enter(folder: FolderNode): void;
  readonly last: LastLink;
}

/** Follows a path up to its last name, which need not be there. */
export function follow(path: string, options: FollowOptions): Place {
  const { root, home, enter, last } = options;
  if (path === "") throw new FileError("ENOENT");
  checkBytes(path, MAX_PATH_BYTES);
  const rest = split(path.startsWith("/") ? path : `${home}/${path}`);
  let hasSlash = path.endsWith("/");
  const followsLast = last === "follow" || (last === "look" && hasSlash);
  let folder = root;
  let links = 0;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    enter(folder);
    if (name === ".") continue;
    if (name === "..") {
      folder = folder.parent;
      continue;
    }
    checkBytes(name, MAX_NAME_BYTES);
    const node = folder.entries.get(name);
    const isLast = rest.length === 0;
    if (
      node instanceof LinkNode && (!isLast || followsLast)
    ) {
      if (++links > MAX_LINKS) throw new FileError("ELOOP");
      hasSlash ||= isLast && node.target.endsWith("/");
      if (node.target.startsWith("/")) folder = root;
      rest.unshift(...split(node.target));
    } else if (isLast) return { folder, name, node, hasSlash };
    else folder = asFolder(node);
  }
  return { folder, name: "", node: folder, hasSlash };
}

/** Where a path begins, and who follows it. */
type RealPathOptions = Pick<FollowOptions, "root" | "home" | "enter">;

/**
 * The path without links, as OpenSSH makes it: `.` and `..` are taken out also
 * behind what is no folder, and the last name need not be there.
 */
export function realPath(path: string, options: RealPathOptions): string {
  const { root, home, enter } = options;
  checkBytes(path, MAX_PATH_BYTES);
  const rest = split(path.startsWith("/") ? path : `${home}/${path}`);
  let hasSlash = path.endsWith("/");
  let trail: { readonly name: string; readonly node: Node }[] = [];
  let links = 0;
  const text = (last: string[] = []) =>
    `/${[...trail.map(({ name }) => name), ...last].join("/")}`;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === ".") continue;
    if (name === "..") {
      trail.pop();
      continue;
    }
    const isLast = rest.length === 0 && !hasSlash;
    const folder = asFolder(trail.at(-1)?.node ?? root);
    enter(folder);
    checkBytes(name, MAX_NAME_BYTES);
    const node = folder.entries.get(name);
    if (node === undefined) {
      if (isLast) return text([name]);
      throw new FileError("ENOENT");
    }
    if (node instanceof LinkNode) {
      if (++links > MAX_LINKS) throw new FileError("ELOOP");
      if (node.target.startsWith("/")) trail = [];
      if (isLast) hasSlash = node.target.endsWith("/");
      rest.unshift(...split(node.target));
    } else trail.push({ name, node });
  }
  return text();
}

/** Gives a folder; throws if it is something else, or missing. */
export function asFolder(node: Node | undefined): FolderNode {
  if (node instanceof FolderNode) return node;
  throw new FileError(node === undefined ? "ENOENT" : "ENOTDIR");
}

/** What POSIX says of a folder that is to be removed by a path without a name. */
export function namelessError(path: string): FileError | undefined {
  if (/^\/*$/.test(path)) return new FileError("EBUSY");
  if (/(^|\/)\.\/*$/.test(path)) return new FileError("EINVAL");
  if (/(^|\/)\.\.\/*$/.test(path)) return new FileError("ENOTEMPTY");
  return undefined;
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}

function checkBytes(text: string, most: number): void {
  // Three bytes are the most that a UTF-16 unit becomes.
  if (text.length * 3 > most && encodeFileName(text).length > most) {
    throw new FileError("ENAMETOOLONG");
  }
}
